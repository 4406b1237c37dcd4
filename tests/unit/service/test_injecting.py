"""What is no question of its own gets nothing."""

from __future__ import annotations

import pytest

from bethink.service.injecting import is_chatter


@pytest.mark.parametrize("prompt", ["", "ok", "great, go on", "and now?", "option 2 please", "3", "weiter bitte", "👍", "?!"])
def test_what_only_steers_asks_nothing(prompt: str) -> None:
    assert is_chatter(prompt)


@pytest.mark.parametrize("prompt", ["which port?", "port 5433", "HTTP 404", "now deploy billing", "ok " * 100, "データベース"])
def test_what_names_something_asks(prompt: str) -> None:
    assert not is_chatter(prompt)
