"""An operator's HTTP gateway: takes a sealed JSON or form request and answers with a code and an id."""

import hmac
import json
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support.fake_provider import Behaviour, FakeProvider, Seen

OUTBOUND_KEY = "the-outbound-key-of-the-gateway"
PASSWORD = "the-password-of-the-gateway"


class FakeGateway(FakeProvider):
    """Its codes: 0 taken, 1001 no such number, 1002 the recipient left, 1003 wrong password, 9 anything else."""

    def __init__(self, charset: str = "utf-8") -> None:
        super().__init__()
        self._charset = charset
        self._ids = count(70_001)

    def answer(self, seen: Seen) -> web.Response:
        proof = hmac.new(OUTBOUND_KEY.encode(), seen.body, sha256).hexdigest()
        if self.behaviour is Behaviour.REJECTS_US or seen.headers.get("X-Signature") != proof:
            return self._say(401, {"code": 1003, "text": "密码错误"})
        order = self.order(seen)
        if order.get("password") != PASSWORD:
            return self._say(200, {"code": 1003, "text": "密码错误"})
        if self.behaviour is Behaviour.RECIPIENT_LEFT:
            return self._say(200, {"code": 1002, "text": "用户已退订"})
        if self.behaviour is Behaviour.NO_SUCH_RECIPIENT or not str(order.get("mobile")).isdigit():
            return self._say(200, {"code": 1001, "text": "号码无效"})
        if not order.get("content"):
            return self._say(200, {"code": 9, "text": "内容为空"})
        return self._say(200, {"code": 0, "data": {"id": next(self._ids)}})

    def order(self, seen: Seen) -> dict[str, Any]:
        """What a request asks for, read as the operator's side reads it."""
        if seen.headers["Content-Type"].startswith("application/json"):
            read = json.loads(seen.body.decode(self._charset))
            return {**read, **read.get("message", {})}
        return dict(parse_qsl(seen.body.decode("ascii"), encoding=self._charset, strict_parsing=True))

    def _say(self, status: int, said: dict[str, Any]) -> web.Response:
        body = json.dumps(said, ensure_ascii=False).encode(self._charset)
        return web.Response(status=status, body=body, content_type="application/json")


class FakeSink(FakeProvider):
    """Where the simulator's messages go when its account names a sink."""

    def answer(self, seen: Seen) -> web.Response:
        refusals = {
            Behaviour.RECIPIENT_LEFT: (409, "recipient_opted_out"),
            Behaviour.NO_SUCH_RECIPIENT: (409, "recipient_invalid"),
            Behaviour.REJECTS_US: (401, "provider_rejected_us"),
        }
        if self.behaviour in refusals:
            status, code = refusals[self.behaviour]
            return web.json_response({"error": code}, status=status)
        return web.json_response({"id": "sink-" + json.loads(seen.body)["id"]})
