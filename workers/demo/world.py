"""The demo's invented world: the same seed always makes the same shops, people, names and numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any, Final
from uuid import UUID, uuid5

import yaml

from core.values import Address
from workers.demo.people import FOLDER

_NAMESPACE: Final = UUID("0b8bfb0e-9e54-5c9b-9a52-0d3b1f6f51c1")
_PREFIX: Final = "+86139000"  # numbers that belong to the demo; it never dials


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Actor:
    """Somebody who may write: a customer as the hub will know it, or a stranger whom it does not know."""

    id: UUID
    kind: str
    name: str
    number: str = ""  # empty: has no telephone yet
    territory: str = ""
    stage: str = ""
    fields: Mapping[str, Any]
    keys: Mapping[str, str]  # numbers by which others name it
    persons: tuple[Mapping[str, str], ...] = ()
    styles: tuple[str, ...] = ()  # how it writes its reports
    diligence: float = 0.0  # how surely it reports

    @property
    def address(self) -> Address:
        """Where it writes from; without a telephone the hub itself, so that acts about it have their place."""
        return Address("tel", self.number) if self.number else Address("hub", str(self.id))


@dataclass(frozen=True, slots=True)
class World:
    shops: tuple[Actor, ...]
    consumers: tuple[Actor, ...]
    companies: tuple[Actor, ...]
    groups: tuple[Actor, ...]
    strangers: tuple[Actor, ...]

    @property
    def customers(self) -> tuple[Actor, ...]:
        """Everybody whom the hub knows from the start."""
        return (*self.companies, *self.shops, *self.consumers, *self.groups)

    @property
    def phones(self) -> dict[str, Actor]:
        return {actor.number: actor for actor in (*self.customers, *self.strangers) if actor.number}


@cache
def said(name: str) -> Any:
    """One of the demo's files."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def make_world(seed: int, day: date) -> World:
    """`day` only places dates such as a licence's end; names and numbers depend on the seed alone."""
    rng = Random(f"world {seed}")
    names = said("names")
    companies = tuple(_companies(rng, seed, names))
    return World(
        shops=tuple(_shops(rng, seed, day, names, companies)),
        consumers=tuple(_consumers(rng, seed, day, names)),
        companies=companies,
        groups=tuple(_groups(rng, seed, names)),
        strangers=tuple(_stranger(seed, number) for number in range(1, 40)),
    )


def _id(seed: int, *parts: object) -> UUID:
    return uuid5(_NAMESPACE, ":".join(str(part) for part in (seed, *parts)))


def telephone(number: int) -> str:
    return f"{_PREFIX}{number:05}"


def _person(rng: Random, names: Mapping[str, Any]) -> str:
    return f"{rng.choice(names['surnames'])}{rng.choice(names['given'])}"


def _companies(rng: Random, seed: int, names: Mapping[str, Any]) -> Iterator[Actor]:
    provinces: dict[str, str] = {}
    for number, entry in enumerate(names["companies"], start=1):
        id = _id(seed, "company", number)
        if entry["level"] == "province":
            provinces[entry["territory"][:5]] = str(id)
        posts = rng.sample(["manager", "marketing", "monopoly", "finance"], 2)
        erp = f"C{entry['territory']}"
        yield Actor(
            id=id,
            kind="tobacco_company",
            name=entry["name"],
            territory=entry["territory"],
            stage="active",
            fields={
                "erp_no": erp,
                "level": entry["level"],
                "contract_no": f"HT-{rng.randrange(10_000):04}",
                **({} if entry["level"] == "province" else {"parent_company": _above(provinces, entry)}),
            },
            keys={"erp_no": erp},
            persons=tuple(
                {"id": str(_id(seed, "company", number, post)), "name": _person(rng, names), "post": post}
                for post in posts
            ),
        )


def _above(provinces: Mapping[str, str], entry: Mapping[str, str]) -> str:
    return max((key, id) for key, id in provinces.items() if key <= entry["territory"][:5])[1]


def _shops(
    rng: Random, seed: int, day: date, names: Mapping[str, Any], companies: Sequence[Actor]
) -> Iterator[Actor]:
    cities = [each for each in companies if each.fields["level"] == "city"]
    taken: set[str] = set()
    serials = {each.territory: 33 for each in cities}
    numbers = (n for n in range(3, 100_000) if n != names["unknown_number"])
    for entry in names["first_shops"]:
        supplier = next(each for each in cities if each.territory == entry["territory"])
        taken.add(entry["name"])
        yield _shop(rng, seed, day, names, supplier, entry)
    for index in range(names["shops"] - len(names["first_shops"])):
        supplier = cities[index % len(cities)]
        serials[supplier.territory] += 8
        market = "C" if rng.random() < names["town_share"] else "X"
        form = rng.choices(list(names["forms"]), list(names["forms"].values()))[0]
        entry = {
            "name": _shop_name(rng, names, market, form, taken),
            "number": next(numbers),
            "serial": f"{serials[supplier.territory]:05}",
            "market": market,
            "form": form,
            "owner": _person(rng, names),
        }
        yield _shop(rng, seed, day, names, supplier, entry)


def _shop_name(rng: Random, names: Mapping[str, Any], market: str, form: str, taken: set[str]) -> str:
    while True:
        head = rng.choice(names["shop_heads"] if market == "C" else names["villages"])
        middle = "" if market == "C" or rng.random() < 0.4 else rng.choice(names["shop_heads"])
        name = f"{head}{middle}{rng.choice(names['shop_tails'][form])}"
        if name not in taken:
            taken.add(name)
            return name


def _shop(
    rng: Random, seed: int, day: date, names: Mapping[str, Any], supplier: Actor, entry: Mapping[str, Any]
) -> Actor:
    id = _id(seed, "shop", supplier.territory, entry["serial"])
    owner_type = "2" if entry["form"] in "SN" else "1"
    licence = f"{supplier.territory}{owner_type}{entry['serial']}"
    tier = max(1, min(30, round(rng.gauss(15.5, 5))))
    phrases = said("phrases")["styles"]
    weights = [style["weight"] for style in phrases.values()]
    fields = {
        "licence": licence,
        "licence_valid_to": (day + timedelta(days=rng.randrange(90, 1500))).isoformat(),
        "owner_type": owner_type,
        "market": entry["market"],
        "form": entry["form"],
        "size": "1" if tier > 22 else "2" if tier > 12 else "3",
        "size_factor": 2.0 if tier > 22 else 1.0,
        "tier": tier,
        "own_class": "key" if tier > 22 else "main" if tier > 16 else "normal",
        "supplier": str(supplier.id),
        "visit_cycle": "week" if tier > 20 else "fortnight" if tier > 10 else "month",
        "order_weekday": rng.choice(names["weekdays"]),
        "display_class": "A" if tier > 24 else "B" if tier > 12 else "C",
        "collection_point": tier > 18,
    }
    is_bound = entry["number"] > 0
    return Actor(
        id=id,
        kind="retailer",
        name=entry["name"],
        number=telephone(entry["number"]) if is_bound else "",
        territory=supplier.territory,
        stage="active" if is_bound else "prospect",
        fields={**fields, "class_code": fields["market"] + fields["form"] + fields["size"]},
        keys={"licence": licence},
        persons=({"id": str(uuid5(id, "owner")), "name": entry["owner"], "post": "owner"},),
        styles=tuple(entry.get("styles") or rng.choices(list(phrases), weights)),
        diligence=3.0 if entry.get("steady") else rng.betavariate(5, 1.6),
    )


def _consumers(rng: Random, seed: int, day: date, names: Mapping[str, Any]) -> Iterator[Actor]:
    for number in range(1, names["consumers"] + 1):
        first = names["pseudonyms"][(number - 1) % len(names["pseudonyms"])]
        name = first if number <= len(names["pseudonyms"]) else f"{first}{number}"
        yield Actor(
            id=_id(seed, "consumer", number),
            kind="consumer",
            name=name,
            number=telephone(1000 + number),
            territory=rng.choice(names["companies"])["territory"],
            stage="active",
            fields={
                "pseudonym": name,
                "age_verified": True,
                "birth_year": day.year - rng.randrange(24, 66),
                "taste": rng.choice(["light", "medium", "strong"]),
            },
            keys={},
        )


def _groups(rng: Random, seed: int, names: Mapping[str, Any]) -> Iterator[Actor]:
    for number, entry in enumerate(names["groups"], start=1):
        yield Actor(
            id=_id(seed, "group", number),
            kind="group_consumer",
            name=entry["name"],
            number=telephone(2000 + number),
            territory=entry["territory"],
            stage="active",
            fields={"group_type": entry["type"], "headcount": entry["headcount"]},
            keys={},
            persons=(
                {
                    "id": str(_id(seed, "group", number, "buyer")),
                    "name": _person(rng, names),
                    "post": "buyer",
                },
            ),
        )


def _stranger(seed: int, number: int) -> Actor:
    return Actor(
        id=_id(seed, "stranger", number),
        kind="unknown",
        name="",
        number=telephone(3000 + number),
        fields={},
        keys={},
    )
