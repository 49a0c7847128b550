"""Identifiers: UUIDv7 (RFC 9562), ordered by the millisecond in which they were made."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    stamp = time.time_ns() // 1_000_000
    tail = int.from_bytes(os.urandom(10), "big")
    value = (stamp & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76
    value |= ((tail >> 62) & 0xFFF) << 64
    value |= 0b10 << 62
    value |= tail & 0x3FFFFFFFFFFFFFFF
    return UUID(int=value)
