"""The load: a provider's senders on raw sockets, one process of its own, with requests made before it begins."""

import json
import select
import socket
import sys
from collections import deque
from itertools import islice
from time import perf_counter, process_time
from typing import Any

from tests.bench.messages import Wired, wired
from tests.bench.processes import say

_WARM = 1.0  # seconds that are not counted
_LATE = 20.0  # how long the last answers may take


class _Sender:
    """One kept connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self.at = 0
        self._rest = b""

    def send(self, wire: bytes) -> None:
        self.socket.sendall(wire)

    def receive(self) -> bytes | None:
        """The status of the answer once it is whole."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("The hub closed a sender's connection.")
        self._rest += data
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._rest[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._rest) < end + 4 + length:
            return None
        status, self._rest = self._rest[9:12], b""
        return status


class Load:
    """Answers the commands `make`, `closed` and `open`."""

    def __init__(self) -> None:
        self._made: list[Wired] = []

    def make(self, *, count: int, shops: int, seed: int) -> dict[str, Any]:
        self._made = list(islice(wired(shops, seed), count))
        return {"made": len(self._made)}

    def closed(self, *, port: int, senders: int, seconds: float, again: bool) -> dict[str, Any]:
        """Each sender sends its next request when the last was answered. `again` starts over when all are sent."""
        requests = [each.request for each in self._made]
        pool = {sender.socket.fileno(): sender for sender in (_Sender(port) for _ in range(senders))}
        poll = _polling(pool)
        taken: list[float] = []
        by_second = [0] * (int(seconds) + 1)
        refused: dict[str, int] = {}
        sent = 0
        busy = process_time()
        start = perf_counter() + _WARM
        for sender in pool.values():
            sender.since = perf_counter()
            sender.send(requests[sent])
            sent += 1
        end, on_their_way = start + seconds, senders
        while on_their_way and perf_counter() < end + _LATE:
            for handle, _ in poll.poll(0.5):
                sender = pool[handle]
                status = sender.receive()
                if status is None:
                    continue
                at = perf_counter()
                on_their_way -= 1
                if status != b"200":
                    refused[status.decode()] = refused.get(status.decode(), 0) + 1
                elif start <= at < end:
                    taken.append(at - sender.since)
                    by_second[int(at - start)] += 1
                if at < end:
                    if sent == len(requests):
                        if not again:
                            raise RuntimeError("The requests ran out; make more.")
                        sent = 0
                    sender.since = perf_counter()
                    sender.send(requests[sent])
                    sent += 1
                    on_their_way += 1
        busy = process_time() - busy
        _close(pool)
        return {
            "rate": len(taken) / seconds,
            **_spread(taken),
            "refused": refused,
            "unanswered": on_their_way,
            "generator": busy / (seconds + _WARM),
            "by_second": by_second[: int(seconds)],
        }

    def open(self, *, port: int, rate: float, seconds: float, senders: int) -> dict[str, Any]:
        """One request each 1/rate seconds, whatever became of those before; what is late counts from its due time."""
        pool = {sender.socket.fileno(): sender for sender in (_Sender(port) for _ in range(senders))}
        poll = _polling(pool)
        free = deque(pool.values())
        count = int(rate * seconds)
        if count > len(self._made):
            raise RuntimeError("There are not enough requests; make more.")
        start = perf_counter() + 0.1
        due = [start + number / rate for number in range(count)]
        taken: list[float] = []
        refused: dict[str, int] = {}
        sent = 0
        while len(taken) + sum(refused.values()) < count and perf_counter() < due[-1] + _LATE:
            now = perf_counter()
            while sent < count and free and due[sent] <= now:
                sender = free.popleft()
                sender.at = sent
                sender.send(self._made[sent].request)
                sent += 1
            wait = max(0.0, due[sent] - perf_counter()) if sent < count and free else 0.5
            for handle, _ in poll.poll(wait):
                sender = pool[handle]
                status = sender.receive()
                if status is None:
                    continue
                free.append(sender)
                if status == b"200":
                    taken.append(perf_counter() - due[sender.at])
                else:
                    refused[status.decode()] = refused.get(status.decode(), 0) + 1
        _close(pool)
        return {
            "due": [(self._made[number].phone, due[number]) for number in range(count)],
            **_spread(taken),
            "refused": refused,
            "unanswered": count - len(taken) - sum(refused.values()),
        }


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies; `values` need not be sorted."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "p50_ms": percentile(seconds, 0.5) * 1000,
        "p99_ms": percentile(seconds, 0.99) * 1000,
        "most_ms": max(seconds, default=float("nan")) * 1000,
    }


def _polling(pool: dict[int, _Sender]) -> select.epoll:
    poll = select.epoll()
    for handle in pool:
        poll.register(handle, select.EPOLLIN)
    return poll


def _close(pool: dict[int, _Sender]) -> None:
    for sender in pool.values():
        sender.socket.close()


def main() -> None:
    load = Load()
    say({})
    for line in sys.stdin:
        asked = json.loads(line)
        say(getattr(load, asked.pop("do"))(**asked))


if __name__ == "__main__":
    main()
