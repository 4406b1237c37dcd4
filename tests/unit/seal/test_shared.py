"""The key that two sides find in one place: when it is asked for, when not, and what is done while the place is away."""

from __future__ import annotations

import secrets

import pytest

from bethink.errors import SealDenied, SealUnavailable
from bethink.seal.aesgcm import AesGcmSeal
from bethink.seal.shared import SharedKeys


class Drawer:
    """A place in memory that may be away or forbidden."""

    def __init__(self) -> None:
        self.key: bytes | None = None
        self.error: Exception | None = None
        self.asked = 0

    def wire_key(self, *, make: bool) -> bytes | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.key is None and make:
            self.key = secrets.token_bytes(32)
        return self.key


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def side(drawer: Drawer, clock: Clock) -> AesGcmSeal:
    return AesGcmSeal("wire", SharedKeys(drawer, clock))


def test_it_is_asked_for_at_the_first_secret_and_then_remembered() -> None:
    drawer, clock = Drawer(), Clock()
    one, two = side(drawer, clock), side(drawer, clock)
    assert drawer.asked == 0
    for _ in range(10):
        sealed = one.seal("ann", "m", "n", "clear" + "text")
        assert two.open("ann", "m", "n", sealed.blob, sealed.meta) == "cleartext"
    assert drawer.asked == 2
    assert drawer.key is not None and drawer.key.hex() not in repr(one.keys.current()) + str(one.describe()) + str(sealed.meta)


def test_a_key_that_was_replaced_is_looked_up_when_a_message_names_it() -> None:
    drawer, clock = Drawer(), Clock()
    one, two = side(drawer, clock), side(drawer, clock)
    sealed = one.seal("ann", "m", "n", "s")
    assert two.open("ann", "m", "n", sealed.blob, sealed.meta) == "s"
    drawer.key = secrets.token_bytes(32)
    later = side(drawer, clock).seal("ann", "m", "n", "s")
    assert two.open("ann", "m", "n", later.blob, later.meta) == "s"
    # Messages under keys that nobody has do not make it ask each time.
    strange = side(Drawer(), clock).seal("ann", "m", "n", "s")
    asked = drawer.asked
    for _ in range(5):
        with pytest.raises(SealDenied):
            two.open("ann", "m", "n", strange.blob, strange.meta)
    assert drawer.asked == asked + 1
    # Whoever knows an old one sees the new one after a while, or when told so.
    assert one.seal("ann", "m", "n", "s").meta["key"] == sealed.meta["key"]
    clock.now += 3600
    assert one.seal("ann", "m", "n", "s").meta["key"] == later.meta["key"]
    drawer.key = secrets.token_bytes(32)
    assert isinstance(one.keys, SharedKeys)
    one.keys.forget()
    assert one.seal("ann", "m", "n", "s").meta["key"] not in (sealed.meta["key"], later.meta["key"])


def test_while_the_place_is_away_the_known_key_goes_on_and_nothing_is_taken_for_wrong() -> None:
    drawer, clock = Drawer(), Clock()
    one, two = side(drawer, clock), side(drawer, clock)
    sealed = one.seal("ann", "m", "n", "s")
    drawer.error = SealUnavailable("away")
    clock.now += 3600
    assert one.open("ann", "m", "n", sealed.blob, sealed.meta) == "s"
    assert one.seal("ann", "m", "n", "s").meta == sealed.meta
    for _ in range(3):
        with pytest.raises(SealUnavailable):
            two.open("ann", "m", "n", sealed.blob, sealed.meta)
        with pytest.raises(SealUnavailable):
            two.seal("ann", "m", "n", "s")
    drawer.error = None
    assert two.open("ann", "m", "n", sealed.blob, sealed.meta) == "s"


def test_a_refusal_stands_for_a_while_and_not_for_ever() -> None:
    drawer, clock = Drawer(), Clock()
    one = side(drawer, clock)
    drawer.error = SealDenied("forbidden", hint="ask for the right")
    for _ in range(5):
        with pytest.raises(SealDenied, match="forbidden"):
            one.seal("ann", "m", "n", "s")
    assert drawer.asked == 1
    drawer.error = None
    clock.now += 61
    assert one.seal("ann", "m", "n", "s").tier == "wire"


def test_what_only_opens_makes_no_key() -> None:
    drawer, clock = Drawer(), Clock()
    strange = side(Drawer(), clock).seal("ann", "m", "n", "s")
    with pytest.raises(SealDenied):
        side(drawer, clock).open("ann", "m", "n", strange.blob, strange.meta)
    assert drawer.key is None
