"""A console as a browser keeps it: loaded once, kept true by frames, resumed after every loss, and never loaded anew
unless the hub says so."""

import asyncio
import contextlib
from typing import Any

import aiohttp

from tests.bench.messages import ORIGIN
from workers.web.session_api import COOKIE

_SILENCE = 12.0  # seconds, as web/src/lib/live.svelte.ts has it
_FIRST_RETRY = 0.5
_LAST_RETRY = 2.0  # shorter than a browser's, so that a run needs no patience
_PAGE = 50
_LOAD_TRIES = 40


class Console:
    """Watches a view of the inbox and, with `party`, one timeline. `run` until cancelled."""

    def __init__(self, url: str, token: str, *, view: str = "open", party: str | None = None) -> None:
        self._url = url
        self._view = view
        self._party = party
        self._http = aiohttp.ClientSession(
            headers={"Origin": ORIGIN, "Cookie": f"{COOKIE}={token}"},
            connector=aiohttp.TCPConnector(ssl=False),
            timeout=aiohttp.ClientTimeout(total=10),
        )
        self.head = 0
        self.rows: dict[str, dict[str, Any]] = {}
        self.lines: dict[int, dict[str, Any]] = {}
        self.losses = 0
        self.reloads = 0
        self.saw_database_away = False
        self.is_loaded = asyncio.Event()

    async def close(self) -> None:
        await self._http.close()

    async def run(self) -> None:
        await self._load()
        self.is_loaded.set()
        tries = 0
        while True:
            try:
                async with self._http.ws_connect(f"{self._url}/api/live") as socket:
                    await socket.send_json({"op": "hello", "since": self.head})
                    await socket.send_json(
                        {"op": "watch", "inbox": {"view": self._view, "queue": None}, "party": self._party}
                    )
                    while True:
                        frame = await socket.receive_json(timeout=_SILENCE)
                        tries = 0
                        await self._take(frame)
            except (aiohttp.ClientError, OSError, TimeoutError, TypeError, ValueError):
                # TypeError: the socket was closed, and what came is no frame.
                self.losses += 1
                await asyncio.sleep(min(_FIRST_RETRY * 2**tries, _LAST_RETRY))
                tries += 1

    async def fresh(self) -> "Seen":
        """What a console that opens now would show."""
        rows, lines, _ = await self._page()
        return Seen(rows, lines)

    @property
    def shown(self) -> "Seen":
        return Seen(self.rows, self.lines)

    async def _take(self, frame: dict[str, Any]) -> None:
        if frame.get("service", {}).get("database") == "away":
            self.saw_database_away = True
        if frame.get("reload"):
            self.reloads += 1
            await self._load()
        for row in frame.get("rows", ()):
            known = self.rows.get(row["party"])
            if known is None or known["version"] <= row["version"]:
                self.rows[row["party"]] = row
        for party in frame.get("gone", ()):
            self.rows.pop(party, None)
        if self._party is not None:
            # The view's lines come along; those of the party are told from them by whom they are from.
            self.lines |= {line["seq"]: line for line in frame.get("lines", ()) if self._is_of_party(line)}
        self.head = max(self.head, frame.get("head", 0))

    def _is_of_party(self, line: dict[str, Any]) -> bool:
        return bool(line.get("party") == self._party)

    async def _load(self) -> None:
        for _ in range(_LOAD_TRIES):
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                self.rows, self.lines, head = await self._page()
                self.head = max(self.head, head)
                return
            await asyncio.sleep(_FIRST_RETRY)
        raise TimeoutError("The hub did not let a console load its list.")

    async def _page(self) -> tuple[dict[str, dict[str, Any]], dict[int, dict[str, Any]], int]:
        """All pages of the list: the browser loads the next when it is scrolled to."""
        rows: dict[str, dict[str, Any]] = {}
        head, after = 0, ""
        while True:
            page = await self._get("/api/inbox", view=self._view, limit=str(_PAGE), after=after)
            rows |= {row["party"]: row for row in page["rows"]}
            head = head or page["head"]
            if page["next"] is None:
                break
            after = page["next"]
        lines = {}
        if self._party is not None:
            timeline = await self._get(f"/api/parties/{self._party}/timeline", limit=str(_PAGE))
            lines = {line["seq"]: line for line in timeline["lines"]}
        return rows, lines, head

    async def _get(self, path: str, **query: str) -> Any:
        async with self._http.get(f"{self._url}{path}", params=query) as answer:
            answer.raise_for_status()
            return await answer.json()


class Seen:
    """A list and a timeline, as far as two consoles must agree on them."""

    def __init__(self, rows: dict[str, dict[str, Any]], lines: dict[int, dict[str, Any]]) -> None:
        self.rows = {party: (row["version"], row["last_seq"]) for party, row in rows.items()}
        self.lines = sorted(lines)

    def differs(self, fresh: "Seen") -> list[str]:
        """How this one, kept true by frames, differs from one that was loaded now."""
        found = [
            f"party {party}: shown {self.rows.get(party)}, is {fresh.rows.get(party)}"
            for party in sorted(self.rows.keys() | fresh.rows.keys())
            if self.rows.get(party) != fresh.rows.get(party)
        ]
        newest = [seq for seq in self.lines if seq >= min(fresh.lines, default=0)]
        if newest != fresh.lines:
            found.append(f"timeline: shown {newest}, is {fresh.lines}")
        return found
