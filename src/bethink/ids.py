"""Ids. Apart from the nouns, so that a hook which only writes a file down does not load them."""

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7) as text: 48 bits of milliseconds, then a counter, then chance.

    Ids made by one process are strictly increasing, so that the order of writing survives.
    """
    global _last
    with _lock:
        # 12 bits below the millisecond (method 3 of section 6.2) and never twice the same stamp.
        stamp = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = stamp
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
