"""What the shops write in a benchmark, and the signed requests by which it reaches the hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

from tests.support.fake_twilio import AUTH_TOKEN, message_fields, signed_webhook

ACCOUNT = "sms-main"
ORIGIN = "https://hub.example"
"""Signatures are made over it, so requests can be signed before the server has its port."""

URL = f"{ORIGIN}/hooks/{ACCOUNT}/message"
_COMPLAINT_IN = 500
_GUIDE = {"101": 10, "102": 16, "103": 20, "104": 25, "105": 30, "106": 7, "107": 5, "108": 18}
_NAMES = {"101": "楚岚硬", "102": "楚岚软", "104": "江陵月硬", "106": "白云渡", "107": "硬白云"}
_COMPLAINTS = (
    "投诉 这批楚岚硬味道不对，烟丝有霉味，顾客要退货",
    "投诉 送来的白云渡条盒压坏了，没有人处理",
    "投诉 上周说好的陈列架一直没有送到店里",
)


@dataclass(frozen=True, slots=True)
class Wired:
    """A request as bytes, and the number that it comes from."""

    phone: str
    request: bytes


def phone(shop: int) -> str:
    """The number of a shop; the last four digits, which everybody may see, tell up to 10,000 shops apart."""
    return f"+861390000{shop:04}"


def text(rng: Random) -> str:
    """One message: mostly stock, often prices, seldom something for a person."""
    if not rng.randrange(_COMPLAINT_IN):
        return rng.choice(_COMPLAINTS)
    kind = rng.random()
    skus = rng.sample(sorted(_GUIDE), rng.randint(1, 3))
    if kind < 0.45:
        return "KC " + ";".join(f"{sku} {rng.randint(1, 40)}条{rng.randint(1, 9)}包" for sku in skus)
    if kind < 0.65:
        names = rng.sample(sorted(_NAMES), rng.randint(1, 2))
        return "库存 " + "，".join(f"{_NAMES[sku]}{rng.randint(1, 40)}条" for sku in names)
    if kind < 0.9:
        return "JG " + ";".join(f"{sku} {_GUIDE[sku] + rng.randint(-2, 4)}" for sku in skus)
    return "断货 " + " ".join(skus)


def wired(shops: int, seed: int) -> Iterator[Wired]:
    """Requests without end, shop after shop, each a message of its own. Twilio's ids are random, so these are."""
    rng = Random(seed)
    target = urlsplit(URL)
    order = list(range(shops))
    while True:
        rng.shuffle(order)
        for shop in order:
            number = phone(shop)
            fields = message_fields(f"SM{rng.randbytes(16).hex()}", text(rng), number)
            body, headers = signed_webhook(URL, fields, AUTH_TOKEN)
            lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            yield Wired(number, "\r\n".join([*lines, "", ""]).encode() + body)
