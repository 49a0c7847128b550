"""What a process of the hub does. One process may do it all; see docs/adr/0011-many-processes.md."""

from enum import StrEnum


class Role(StrEnum):
    WEB = "web"  # pages, webhooks, live sockets
    JOBS = "jobs"  # what the outbox holds: sending, fetching
    DIGEST = "digest"  # the consumers of the log, and its seals
    LISTENERS = "listeners"  # lines that we connect to, one owner each
    SCHEDULE = "schedule"  # what the clock asks for


ALL = frozenset(Role)
WORKING = frozenset({Role.WEB, Role.JOBS, Role.DIGEST})
"""What a hub needs to take, read and answer messages: enough for commands and tests."""
