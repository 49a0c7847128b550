"""What the internet sends: each hostile request gets a clear answer, and nothing acknowledged is lost by it."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar, WSServerHandshakeError
from aiohttp.client_exceptions import ClientError
from sqlalchemy import select
from sqlmodel import col
from yarl import URL

from core.log import reader
from core.log.entries import Logged
from core.tables import Delivery, Endpoint
from crm.tables import Case
from tests.support.fake_twilio import FORM, message_fields, sid, status_fields
from tests.support.serve import (
    GATEWAY,
    PASSWORD,
    TWILIO,
    Served,
    sealed,
    serving,
    signed_fields,
    signed_sms,
)
from workers.web.app import create_app
from workers.web.session_api import COOKIE
from workers.web.webhooks import LARGEST_BODY

SHOP = "+8613900000001"
REPORT = "KC 101 3"


@pytest.fixture
async def served(prepared: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(prepared, tmp_path / "data") as served:
        yield served


async def _post(
    served: Served,
    body: Any,
    headers: Mapping[str, str],
    account: str = TWILIO,
    action: str = "message",
) -> tuple[int, dict[str, Any] | str]:
    async with served.http.post(served.hook(account, action), data=body, headers=headers) as answer:
        return answer.status, await _said(answer)


async def _said(answer: ClientResponse) -> dict[str, Any] | str:
    text = await answer.text()
    if answer.content_type != "application/json":
        return text
    told: dict[str, Any] = json.loads(text)
    return told


def _code(said: dict[str, Any] | str) -> str:
    assert isinstance(said, dict)
    code: str = said["error"]["code"]
    return code


async def _log(served: Served) -> Sequence[Logged]:
    async with served.hub.db.read() as session:
        return await reader.after(session, 0, 1_000)


async def _received(served: Served) -> list[Logged]:
    return [entry for entry in await _log(served) if (entry.kind, entry.direction) == ("message", "in")]


async def _is_well(served: Served) -> bool:
    """The hub takes the next honest message as if nothing had happened."""
    status, _ = await _post(served, *signed_sms(sid(999_999), "还在吗", "+8613900000099"))
    return status == 200 and (await _log(served))[-1].text == "还在吗"


# Who it is from.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Twilio-Signature": ""},
        {"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {"X-Twilio-Signature": "x" * 5_000},
        {"X-Twilio-Signature": "签名".encode().decode("latin-1")},
    ],
)
async def test_an_unsigned_or_forged_message_is_refused_and_not_kept(
    served: Served, headers: dict[str, str]
) -> None:
    body, _ = signed_sms(sid(1), REPORT, SHOP)
    status, said = await _post(served, body, {"Content-Type": FORM, **headers})
    assert (status, _code(said)) == (403, "signature_invalid")
    assert await _log(served) == []


async def test_a_signature_holds_for_its_own_words_and_address_only(served: Served) -> None:
    fields = message_fields(sid(1), REPORT, SHOP)
    _, headers = signed_fields(fields)
    other, _ = signed_fields(fields | {"Body": "KC 101 300"})
    body, for_status = signed_fields(fields, action="status")
    _, by_somebody = signed_fields(fields, token="f" * 32)
    answers = [
        await _post(served, other, headers),
        await _post(served, body, for_status),
        await _post(served, body, by_somebody),
        await _post(served, body, headers, action="status"),
    ]
    assert [status for status, _ in answers] == [403] * 4
    assert await _log(served) == []


@pytest.mark.parametrize(
    ("account", "action", "answered"),
    [
        ("nobody", "message", 404),
        (TWILIO, "nothing", 404),
        ("hub", "message", 404),
        ("..%2f..%2fhealthz", "message", 404),
        (f"{TWILIO}%00", "message", 404),
        (f"{TWILIO}%0d%0aSet-Cookie:%20a=b", "message", 404),
    ],
)
async def test_a_hook_that_is_not_there_is_not_found(
    served: Served, account: str, action: str, answered: int
) -> None:
    body, headers = signed_sms(sid(1), REPORT, SHOP)
    path = f"/hooks/{account}/{action}"
    status, answer_headers, _ = await _raw(served, "POST", path, headers, body)
    assert status == answered
    assert "set-cookie" not in answer_headers


# What it says.


@pytest.mark.parametrize(
    "fields",
    [
        {"From": ""},
        {"From": "drop table party"},
        {"From": "+" * 5_000},
        {"MessageSid": "", "SmsSid": ""},
        {"MessageSid": "a\r\nb"},
        {"AccountSid": "AC" + "0" * 32},
    ],
)
async def test_a_malformed_message_is_answered_why_and_kept_whole(
    served: Served, fields: dict[str, str]
) -> None:
    body, headers = signed_fields(message_fields(sid(1), REPORT, SHOP) | fields)
    status, said = await _post(served, body, headers)
    (entry,) = await _log(served)
    assert (status, entry.kind) == (400, "unreadable")
    assert said == entry.data["reason"]
    async with served.hub.db.read() as session:
        assert await reader.raw(session, entry.id) == (body, "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"id": NaN}', b"[" * 200_000, b"9" * 500_000]
)
async def test_what_is_no_message_at_all_is_kept_and_said_to_be(served: Served, body: bytes) -> None:
    status, said = await _post(served, *sealed(body), account=GATEWAY)
    (entry,) = await _log(served)
    assert (status, entry.kind) == (400, "unreadable")
    assert said == entry.data["reason"]


@pytest.mark.parametrize(
    "text",
    ["KC 101 3".encode("gb18030") + "库存".encode("gb18030"), "\ud83d".encode("utf-8", "surrogatepass")],
)
async def test_a_wrong_charset_is_said_and_the_bytes_are_kept(served: Served, text: bytes) -> None:
    status, _ = await _post(
        served, *sealed(b'{"id":"1","from":"13900000001","text":"' + text + b'"}'), account=GATEWAY
    )
    (entry,) = await _log(served)
    assert (status, entry.kind) == (400, "unreadable")
    assert await _is_well(served)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\u202e反的", "\u202e反的"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("'; DROP TABLE log; --", "'; DROP TABLE log; --"),
        ("KC 101 3\r\nSet-Cookie: a=b\r\n\r\n<html>", "KC 101 3\r\nSet-Cookie: a=b\r\n\r\n<html>"),
        ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
    ],
)
async def test_words_are_only_words(served: Served, text: str, stored: str) -> None:
    async with served.http.post(served.hook(), **_request(signed_sms(sid(1), text, SHOP))) as answer:
        said = await answer.text()
    (entry,) = await _received(served)
    assert (answer.status, entry.text) == (200, stored)
    assert text not in said
    assert "Set-Cookie" not in answer.headers


def _request(signed: tuple[bytes, dict[str, str]]) -> dict[str, Any]:
    return {"data": signed[0], "headers": signed[1]}


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=36_500), timedelta(days=-36_500)])
async def test_a_far_date_is_not_believed_and_said_to_be_odd(served: Served, ahead: timedelta) -> None:
    before = served.hub.clock()
    at = (before + ahead).isoformat()
    message = {"id": "1", "from": SHOP, "text": REPORT, "at": at}
    status, _ = await _post(served, *sealed(message), account=GATEWAY)
    (entry,) = await _received(served)
    assert status == 200
    assert before - timedelta(minutes=1) < entry.occurred_at <= served.hub.clock()
    assert entry.data["defects"] in (["time_in_future"], ["time_long_past"])


@pytest.mark.parametrize(
    "at", ["", "yesterday", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "-1"]
)
async def test_a_date_that_is_none_costs_no_message(served: Served, at: str) -> None:
    message = {"id": "1", "from": SHOP, "text": REPORT, "at": at}
    status, _ = await _post(served, *sealed(message), account=GATEWAY)
    (entry,) = await _received(served)
    assert (status, entry.text, len(entry.data["defects"])) == (200, REPORT, 1)


# How much of it.


async def test_an_oversized_message_is_refused_by_its_announced_length(served: Served) -> None:
    body, headers = signed_sms(sid(1), "x" * LARGEST_BODY, SHOP)
    status, said = await _post(served, body, headers)
    assert (status, _code(said)) == (413, "payload_too_large")
    assert await _log(served) == []
    assert await _is_well(served)


async def test_an_oversized_message_without_a_length_is_refused_while_it_comes(served: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 65_536 + 2):
            yield b"x" * 65_536

    _, headers = signed_sms(sid(1), REPORT, SHOP)
    status, said = await _post(served, endless(), headers)
    assert (status, _code(said)) == (413, "payload_too_large")
    assert await _is_well(served)


async def test_a_compressed_bomb_is_not_unpacked(served: Served) -> None:
    bomb = gzip.compress(b"Body=" + b"0" * (64 * 1024 * 1024))
    _, headers = signed_sms(sid(1), REPORT, SHOP)
    status, _ = await _post(served, bomb, headers | {"Content-Encoding": "gzip"})
    assert status in (400, 413)
    assert await _log(served) == []
    assert await _is_well(served)


async def test_a_form_of_ten_thousand_fields_is_not_read(served: Served) -> None:
    fields = message_fields(sid(1), REPORT, SHOP) | {f"f{number}": "x" for number in range(10_000)}
    status, _ = await _post(served, *signed_fields(fields))
    assert status in (400, 403)
    assert await _received(served) == []
    assert await _is_well(served)


async def test_an_answer_of_the_api_has_a_limit_too(served: Served) -> None:
    async with served.http.post(f"{served.url}/api/session", data=b"x" * (LARGEST_BODY + 1)) as answer:
        assert (answer.status, _code(await _said(answer))) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"login":' * 50_000,
        b'{"login": ' + b"9" * 400_000 + b"}",
        b'{"login": "\\ud800", "password": "x"}',
        b'{"login": "a", "password": "x", "__proto__": {}}',
        b"\xff",
        b"",
    ],
)
async def test_a_json_bomb_is_bad_input(served: Served, body: bytes) -> None:
    async with served.http.post(f"{served.url}/api/session", data=body) as answer:
        assert (answer.status, _code(await _said(answer))) == (400, "bad_input")
    assert await _is_well(served)


# How often and in which order.


async def test_a_message_that_comes_twenty_times_at_once_is_one(served: Served) -> None:
    body, headers = signed_sms(sid(1), REPORT, SHOP)
    answers = await asyncio.gather(*(_post(served, body, headers) for _ in range(20)))
    await served.hub.caught_up()
    assert {status for status, _ in answers} == {200}
    assert len(await _received(served)) == 1


async def test_a_report_that_comes_before_its_elders_is_not_undone_by_them(served: Served) -> None:
    for word in ("delivered", "sent", "queued", "delivered"):
        status, _ = await _post(
            served, *signed_fields(status_fields(sid(7), word, SHOP), "status"), action="status"
        )
        assert status == 200
    await served.hub.caught_up()
    async with served.hub.db.read() as session:
        row = await session.get(Delivery, (TWILIO, sid(7)))
    assert row is not None
    assert row.state == "delivered"
    assert len(await _log(served)) == 3


# Files and pages.


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../index.html",
        "/assets/..%2f..%2f..%2fpyproject.toml",
        "/assets/%2e%2e/%2e%2e/pyproject.toml",
        "/assets/..%5c..%5cpyproject.toml",
        "/assets/%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/.htaccess",
        "/assets/%00",
        "/assets/" + "a" * 3_000,
    ],
)
async def test_no_path_leads_out_of_the_assets(served: Served, path: str) -> None:
    status, _, body = await _raw(served, "GET", path, {})
    assert status in (400, 404)
    assert b"[project]" not in body
    assert b"root:" not in body


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /hooks/x/y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /hooks/x/y HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 20_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00" * 100 + b"\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_and_hurts_nobody(served: Served, head: bytes) -> None:
    said = await _talk(served, head, hangs_up=True)
    assert b" 200 " not in said.partition(b"\r\n")[0]
    assert await _is_well(served)


async def _raw(
    served: Served, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """A request whose path no client tidies up."""
    lines = [f"{method} {path} HTTP/1.1", "Host: switchboard.test", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    said = await _talk(served, "\r\n".join(lines).encode() + body)
    head, _, content = said.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return int(first.split()[1]), told, content


async def _talk(served: Served, said: bytes, *, hangs_up: bool = False) -> bytes:
    port = int(served.url.rpartition(":")[2])
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
    try:
        outgoing.write(said)
        await outgoing.drain()
        if hangs_up:
            outgoing.write_eof()
        async with asyncio.timeout(20):
            return await incoming.read()
    finally:
        outgoing.close()


# Sessions and rights.


class Browser:
    """A signed-in browser: its cookies, and the token that its pages send."""

    def __init__(self, served: Served, http: ClientSession) -> None:
        self._served = served
        self._http = http
        self.csrf = ""

    async def sign_in(self, login: str, password: str = PASSWORD) -> int:
        async with self.request("POST", "/api/session", {"login": login, "password": password}) as answer:
            said = await answer.json()
            self.csrf = said.get("csrf", "")
            return int(answer.status)

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        sent = {"Origin": self._served.url, "X-CSRF": self.csrf} if headers is None else headers
        return self._http.request(method, f"{self._served.url}{path}", json=body, headers=sent)

    async def status(self, method: str, path: str, body: Any = None, **more: Any) -> int:
        async with self.request(method, path, body, **more) as answer:
            await answer.read()
            return int(answer.status)

    def token(self) -> str:
        return next(cookie.value for cookie in self._http.cookie_jar if cookie.key == COOKIE)

    def plant(self, token: str) -> None:
        self._http.cookie_jar.update_cookies({COOKIE: token}, response_url=URL(self._served.url))


@pytest.fixture
async def browser(served: Served) -> AsyncIterator[Browser]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:
        yield Browser(served, http)


async def _known_shop(served: Served) -> dict[str, str]:
    """Ids of a party, a case and a message that are somebody else's."""
    await _post(served, *signed_sms(sid(1), "投诉 假烟", SHOP))
    await served.hub.caught_up()
    async with served.hub.db.read() as session:
        party = await session.scalar(select(col(Endpoint.party_id)).where(col(Endpoint.value) == SHOP))
        case = await session.scalar(select(col(Case.id)))
    message = (await _received(served))[0]
    return {"party": str(party), "case": str(case), "message": str(message.id)}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF": ""},
        {"X-CSRF": "wrong"},
        {"X-CSRF": "é"},
        {"Origin": "https://evil.example"},
        {"Origin": "null", "X-CSRF": "wrong"},
    ],
)
async def test_a_change_without_the_pages_token_is_refused(
    served: Served, browser: Browser, headers: dict[str, str]
) -> None:
    ids = await _known_shop(served)
    await browser.sign_in("agent")
    body = {"act_id": str(uuid4()), "text": "x"}
    assert await browser.status("POST", f"/api/parties/{ids['party']}/notes", body, headers=headers) == 403
    assert [entry for entry in await _log(served) if entry.kind == "act"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://switchboard.test.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_foreign_page_cannot_sign_anybody_in(
    served: Served, browser: Browser, headers: dict[str, str]
) -> None:
    body = {"login": "agent", "password": PASSWORD}
    assert await browser.status("POST", "/api/session", body, headers=headers) == 403


async def test_a_planted_session_is_worth_nothing_after_the_sign_in(served: Served, browser: Browser) -> None:
    browser.plant("a" * 43)
    await browser.sign_in("agent")
    first = browser.token()
    await browser.sign_in("agent")
    assert first not in ("a" * 43, browser.token())
    for planted in ("a" * 43, first):
        browser.plant(planted)
        assert await browser.status("GET", "/api/boot") == 401


async def test_a_signed_out_session_stays_out(served: Served, browser: Browser) -> None:
    await browser.sign_in("agent")
    token = browser.token()
    await browser.status("DELETE", "/api/session")
    browser.plant(token)
    assert await browser.status("GET", "/api/boot") == 401


@pytest.mark.parametrize("token", ["", "a", "' OR 1=1 --", "x" * 4_000, "%00", "a" * 43])
async def test_a_made_up_session_is_none(served: Served, browser: Browser, token: str) -> None:
    browser.plant(token)
    assert await browser.status("GET", "/api/boot") == 401


async def test_guessing_passwords_is_slowed_down(served: Served, browser: Browser) -> None:
    answers = [await browser.sign_in("chief", f"wrong guess {number}") for number in range(12)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert await browser.sign_in("chief") == 429


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_socket_from_a_foreign_page_is_refused(served: Served, browser: Browser, origin: str) -> None:
    await browser.sign_in("agent")
    with pytest.raises(WSServerHandshakeError) as refused:
        await browser._http.ws_connect(f"{served.url}/api/live", headers={"Origin": origin})
    assert refused.value.status == 403


async def test_a_socket_takes_no_nonsense_and_stays(served: Served, browser: Browser) -> None:
    await browser.sign_in("agent")
    async with browser._http.ws_connect(f"{served.url}/api/live", headers={"Origin": served.url}) as socket:
        for nonsense in (
            "",
            "{",
            "[" * 2_000,
            '{"op":"hello","since":-1}',
            '{"op":"hello","since":99999999999999999999}',
            '{"op":"watch","party":"x"}',
            "\ud83d",
        ):
            await socket.send_bytes(nonsense.encode("utf-8", "replace"))
            await socket.send_str(nonsense.encode("utf-8", "replace").decode())
        await socket.send_str('{"op":"ping"}')
        frame = await socket.receive_json(timeout=20)
    assert frame == {"head": served.hub.live.head}


# Every route that tells or changes something about customers. A new route belongs into this list or the next.
_OF_CUSTOMERS = [
    ("GET", "/api/boot", None),
    ("GET", "/api/inbox?view=open", None),
    ("GET", "/api/search?q=假烟", None),
    ("GET", "/api/parties/{party}", None),
    ("GET", "/api/parties/{party}/timeline", None),
    ("POST", "/api/parties/{party}/reply", {"text": "x"}),
    ("POST", "/api/parties/{party}/notes", {"text": "x"}),
    ("POST", "/api/parties/{party}/assign", {"user": None}),
    ("POST", "/api/parties/{party}/resolve", {}),
    ("POST", "/api/parties/{party}/reopen", {}),
    ("POST", "/api/parties/{party}/snooze", {"until": "2030-01-01T00:00:00Z"}),
    ("POST", "/api/parties/{party}/queue", {"queue": "complaint"}),
    ("POST", "/api/parties/{party}/read", {"seq": 1}),
    ("POST", "/api/parties/{party}/merge", {"into": "{party}"}),
    ("POST", "/api/parties/{party}/unmerge", {"act_seq": 1}),
    ("POST", "/api/parties/{party}/bind", {"party": "{party}"}),
    ("POST", "/api/parties/{party}/cases", {"kind": "complaint", "title": "x"}),
    ("POST", "/api/cases/{case}/state", {"state": "closed"}),
    ("POST", "/api/cases/{case}/assign", {"user": None}),
    ("GET", "/api/interactions/{message}/raw", None),
    ("GET", "/api/live", None),
    (
        "POST",
        "/api/collection/figure",
        {
            "party": "{party}",
            "form": "x",
            "period": "x",
            "sku": "x",
            "field": "x",
            "verb": "accept",
            "observation": "1.0",
        },
    ),
]
# Those that show each what its roles' rows allow: a stranger's rows are none.
_OF_ROWS = [
    "/api/collection",
    "/api/collection/export?format=csv",
    "/api/collection/figure?party={party}&sku=101&field=stock",
]
_OF_ANYBODY = {
    "/api/session",
    "/api/session/locale",
    "/api/session/password",
    "/api/session/totp",
    "/api/session/totp/confirm",
}


@pytest.mark.parametrize(("login", "answered"), [("", {401, 403}), ("shopkeeper", {403, 404})])
async def test_who_has_no_right_to_customers_sees_and_changes_none(
    served: Served, browser: Browser, login: str, answered: set[int]
) -> None:
    ids = await _known_shop(served)
    for one in [login] if login else []:
        await browser.sign_in(one)
    before = len(await _log(served))
    answers = {
        f"{method} {path}": await browser.status(method, path.format(**ids), _filled(body, ids))
        for method, path, body in _OF_CUSTOMERS
    }
    assert {route: status for route, status in answers.items() if status not in answered} == {}
    assert len(await _log(served)) == before


def _filled(body: Any, ids: Mapping[str, str]) -> Any:
    if body is None:
        return None
    return {"act_id": str(uuid4())} | {
        name: value.format(**ids) if isinstance(value, str) else value for name, value in body.items()
    }


async def test_rows_of_others_are_not_shown_to_a_shop(served: Served, browser: Browser) -> None:
    ids = await _known_shop(served)
    await _post(served, *signed_sms(sid(2), "KC 101 3", SHOP))
    await served.hub.caught_up()
    await browser.sign_in("shopkeeper")
    for path in _OF_ROWS:
        async with browser.request("GET", path.format(**ids)) as answer:
            said = await answer.text()
        assert SHOP not in said
        assert ids["party"] not in said or answer.status in (403, 404)


async def test_every_route_of_the_api_is_in_a_list_of_who_may(served: Served) -> None:
    routes = {
        route.resource.canonical
        for route in create_app(served.hub).router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    listed = {_canonical(path) for path in (*(path for _, path, _ in _OF_CUSTOMERS), *_OF_ROWS)} | _OF_ANYBODY
    # The administrators' routes have a walk of their own: tests/workers/web/test_admin_access.py.
    others = {path for path in routes if path.startswith(("/api/simulator/", "/api/demo/", "/api/admin/"))}
    assert routes - listed - others == set()


def _canonical(path: str) -> str:
    bare = path.partition("?")[0]
    for name in ("party", "case", "message"):
        bare = bare.replace(f"{{{name}}}", "{id}")
    return bare


@pytest.mark.parametrize(
    "path",
    [
        "/api/simulator/phones",
        "/api/simulator/phones/13900000001/messages",
        "/api/simulator/traffic",
        "/api/simulator/examples",
    ],
)
async def test_the_demos_doors_are_shut_outside_the_demo(served: Served, browser: Browser, path: str) -> None:
    assert await browser.status("POST", "/api/demo/doors/agent", {}) == 404
    await browser.sign_in("agent")
    assert await browser.status("GET", path) == 404


# Looking as somebody who may.


@pytest.mark.parametrize(
    "path",
    [
        "/api/parties/x",
        "/api/parties/00000000-0000-0000-0000-000000000000",
        "/api/parties/..%2f..%2fboot",
        "/api/parties/{party}/timeline?before=x",
        "/api/parties/{party}/timeline?before=-1",
        "/api/parties/{party}/timeline?limit=99999999999999999999",
        "/api/inbox?view=none",
        "/api/inbox?view=open&after=%00",
        "/api/inbox?view=open&after=AAAA",
        "/api/search?q=%00",
        "/api/search?q=%EF%BF%BD%FF",
        "/api/search?q=" + "%F0%9F%9A%AC" * 300,
        "/api/search?q=a&limit=-5",
        "/api/interactions/x/raw",
        "/api/interactions/00000000-0000-0000-0000-000000000000/raw",
        "/api/collection?form=none",
        "/api/collection?period=9999-W99",
        "/api/collection?after=%00",
        "/api/collection?after=W10=",
        "/api/collection?territory='%20OR%201=1",
        "/api/collection/figure?party=x&sku=x&field=x",
        "/api/collection/export?format=exe",
        "/api/collection/export?form=a%0d%0aSet-Cookie:%20b",
    ],
)
async def test_no_address_of_the_api_brings_an_inner_error(
    served: Served, browser: Browser, path: str
) -> None:
    ids = await _known_shop(served)
    await browser.sign_in("agent")
    status, headers, body = await _raw(
        served, "GET", path.format(**ids), {"Cookie": f"{COOKIE}={browser.token()}"}
    )
    assert status in (200, 400, 403, 404), body
    assert "set-cookie" not in headers


async def test_a_raw_message_is_never_a_page(served: Served, browser: Browser) -> None:
    ids = await _known_shop(served)
    await browser.sign_in("agent")
    async with browser.request("GET", f"/api/interactions/{ids['message']}/raw") as answer:
        kind = answer.headers["Content-Type"]
    assert kind.startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


# All of it at once.


async def test_honest_messages_get_through_a_storm_of_hostile_ones(served: Served) -> None:
    honest = [signed_sms(sid(number), f"第{number}条", f"+86139000002{number:02d}") for number in range(40)]
    hostile: Iterable[tuple[Any, Mapping[str, str]]] = [
        (b"Body=x", {"Content-Type": FORM}),
        (b"x" * (LARGEST_BODY + 1), {"Content-Type": FORM, "X-Twilio-Signature": "x"}),
        (b"\xff\xfe", {"Content-Type": "text/plain; charset=utf-7"}),
        signed_fields(message_fields(sid(1), REPORT, "nobody at all")),
    ]
    answers = await asyncio.gather(
        *(_post(served, *one) for one in honest),
        *(_survived(served, body, headers) for body, headers in [*hostile] * 5),
    )
    assert [answer[0] for answer in answers[:40] if answer is not None] == [200] * 40
    assert sorted(entry.text for entry in await _received(served)) == sorted(f"第{n}条" for n in range(40))


async def _survived(served: Served, body: Any, headers: Mapping[str, str]) -> tuple[int, Any] | None:
    """A refusal; a sender that goes on talking may lose the connection before it hears of it."""
    try:
        return await _post(served, body, headers)
    except ClientError:
        return None
