"""Places: how many jobs run side by side, so that neither a broadcast nor one slow account keeps replies waiting."""

from collections import Counter
from collections.abc import Mapping, Sequence

from core.claims import Head
from core.outbox import Item, Lane

ALL = 256
FOR_REPLIES = 64  # always kept free of everything else

# A provider that hangs takes up no more than this, so that the others go on.
REPLIES_OF_ONE_ACCOUNT = 192
OTHERS_OF_ONE_ACCOUNT = 128

# Fewer free places are not worth a claim, which is a transaction: more come free in a moment.
LEAST_FOR_REPLIES = 16
LEAST_FOR_OTHERS = 64

Taken = Mapping[tuple[bool, str], int]
"""How many jobs run, by whether they are replies and by account."""


class Places:
    """The jobs that run in this process."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[bool, str]] = Counter()

    def take(self, item: Item) -> None:
        self._taken[is_reply(item), item.account] += 1

    def leave(self, item: Item) -> None:
        self._taken[is_reply(item), item.account] -= 1

    @property
    def free(self) -> int:
        return ALL - self._taken.total()

    def share(self, due: Sequence[Head]) -> list[tuple[Head, int]]:
        return share(due, self._taken)


def share(due: Sequence[Head], taken: Taken) -> list[tuple[Head, int]]:
    """How many items each due head may take: replies first, those of one lane in equal parts."""
    free = ALL - sum(taken.values())
    others = sum(number for (of_replies, _), number in taken.items() if not of_replies)
    shares = _equally([head for head in due if is_reply(head)], free, taken)
    free = min(free, ALL - FOR_REPLIES - others)
    for lane in sorted({head.lane for head in due if not is_reply(head)}):
        given = _equally([head for head in due if head.lane == lane], free, taken)
        free -= sum(number for _, number in given)
        shares += given
    return shares


def is_reply(what: Item | Head) -> bool:
    return what.lane == Lane.REPLY.number


def _equally(heads: Sequence[Head], free: int, taken: Taken) -> list[tuple[Head, int]]:
    """Parts of what is free in one lane; a head whose account runs enough already gets none."""
    rooms = {head: _room(head, taken) for head in heads}
    served = [head for head in heads if rooms[head] and free >= _least(head)][:free]
    return [(head, min(rooms[head], free // len(served))) for head in served]


def _room(head: Head, taken: Taken) -> int:
    most = REPLIES_OF_ONE_ACCOUNT if is_reply(head) else OTHERS_OF_ONE_ACCOUNT
    room = most - taken.get((is_reply(head), head.account), 0)
    return room if room >= _least(head) else 0


def _least(head: Head) -> int:
    return LEAST_FOR_REPLIES if is_reply(head) else LEAST_FOR_OTHERS
