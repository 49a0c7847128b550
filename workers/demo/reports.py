"""What the demo's shops report week by week: stock and prices with their seasons, late ones, slips and silences."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from crm.blueprint.model import Blueprint
from crm.blueprint.products import PriceKind
from crm.collection.expected import Expected
from workers.demo.story import Step
from workers.demo.world import Actor, World, said
from workers.demo.writing import Pen, Stocked

_SILENT_SINCE = 4  # weeks: the shops that fell silent reported then for the last time


class Shelves:
    """What stands in each shop in a week. Weeks are counted back from the present one, which is 0."""

    def __init__(self, blueprint: Blueprint, seed: int, day: date) -> None:
        self._market: Mapping[str, Any] = said("market")
        self._seed = seed
        self._day = day
        self._carton: int = said("phrases")["carton"]
        self._guides = {
            product.sku: int(price.amount * 100) // blueprint.unit_set(product.unit_set).size(price.per)
            for product in blueprint.products
            if (price := product.prices.get(PriceKind.GUIDE)) is not None
        }
        self._expected = Expected(blueprint, "retailer", day)

    def stocked(self, shop: Actor, week: int) -> list[Stocked]:
        rng = Random(f"shelf {self._seed} {shop.id} {week}")
        skus = self._expected.of(shop.territory, shop.stage, "", shop.fields)
        launch = self._market["launch"]
        return [
            Stocked(sku, self._packs(rng, shop, sku, week), self._price(rng, shop, sku, week))
            for sku in skus
            if sku != launch["sku"] or week < launch["weeks"] - shop.fields["tier"] % 4
        ]

    def _packs(self, rng: Random, shop: Actor, sku: str, week: int) -> int:
        short = self._market["shortage"]
        usual = (
            self._market["cartons"].get(sku, 2.0) * 1.045 ** (shop.fields["tier"] - 15) * self._season(week)
        )
        packs = round(rng.lognormvariate(0, 0.55) * usual * self._carton)
        if rng.random() < 0.55:
            packs = round(packs / self._carton) * self._carton
        if (
            (shop.territory, sku) == (short["territory"], short["sku"])
            and short["to_week"] <= week <= short["from_week"]
            and rng.random() < short["share"]
        ) or rng.random() < 0.03:
            return 0
        most = int(self._market["most_cartons"]) * self._carton
        return int(min(packs, most))

    def _price(self, rng: Random, shop: Actor, sku: str, week: int) -> int:
        war = self._market["price_war"]
        spread = self._market["price_spread"]
        level = {**self._market["scarce"], **self._market["ordinary"]}.get(sku, 1.0)
        if shop.territory == war["territory"] and sku in war["skus"] and week < war["weeks"]:
            level *= war["factor"]
        guide: float = self._guides[sku] * level * (1 + max(-spread, min(spread, rng.gauss(0, spread / 3))))
        return max(50, round(guide / 50) * 50)

    def _season(self, week: int) -> float:
        day = (self._day - timedelta(weeks=week)).strftime("%m-%d")
        for season in self._market["seasons"]:
            if season["from"] <= day <= season["to"]:
                return float(season["factor"])
        return 1.0


class Reports:
    """The steps by which the shops report. The same seed and moment give the same steps."""

    def __init__(self, blueprint: Blueprint, world: World, seed: int, now: datetime, zone: ZoneInfo) -> None:
        self._world = world
        self._seed = seed
        self._zone = zone
        self._now = now.astimezone(zone)
        self._monday = self._now.date() - timedelta(days=self._now.weekday())
        self._market: Mapping[str, Any] = said("market")
        self._phrases: Mapping[str, Any] = said("phrases")
        self._pen = Pen(blueprint)
        self.shelves = Shelves(blueprint, seed, self._now.date())
        faithful = sorted(world.shops, key=lambda shop: -shop.diligence)
        middling = [shop for shop in faithful if shop.number][100:]
        self.silent = tuple(Random(f"silent {seed}").sample(middling, self._market["silent_shops"]))

    def steps(self, weeks: int) -> Iterator[Step]:
        """The reports of the present week and of those before it."""
        for week in reversed(range(weeks)):
            for shop in self.reporters(week):
                yield from self._of_shop(shop, week)

    def reporters(self, week: int) -> list[Actor]:
        rng = Random(f"week {self._seed} {week}")
        share = rng.uniform(*self._market["coverage"]) if week else self._market["this_week"]
        able = [
            shop
            for shop in self._world.shops
            if shop.number
            and not (shop in self.silent and week < _SILENT_SINCE)
            and not (week == 0 and shop.diligence == 3.0)
        ]
        # The diligent report more often; chance does the rest.
        last_words = self.silent if week == _SILENT_SINCE else ()
        ranked = sorted(
            able, key=lambda shop: (shop not in last_words, -(shop.diligence * 0.5 + rng.random()))
        )
        return ranked[: round(share * len(self._world.shops))]

    def weekly(self, rng: Random, shop: Actor) -> str:
        """A report for now, as live traffic sends it."""
        return self._pen.report(rng, shop.styles[0], self.shelves.stocked(shop, 0))

    def _of_shop(self, shop: Actor, week: int) -> Iterator[Step]:
        rng = Random(f"report {self._seed} {shop.id} {week}")
        items = self.shelves.stocked(shop, week)
        style = shop.styles[0]
        key = f"{shop.number}:{week}"
        market = self._market
        if week and rng.random() < market["late_share"]:
            yield self._late(rng, shop, week, items, key)
            return
        at = self._moment(rng, week)
        if rng.random() < market["wrong_share"]:
            yield from self._wrong(rng, shop, items, at, key)
            return
        text = self._pen.report(rng, style, items, typo=rng.random() < market["typo_share"])
        yield Step(at=at, actor=shop, key=key, text=text)
        if not self._pen.is_priced(style) and rng.random() < market["price_share"]:
            at += timedelta(minutes=rng.randrange(1, 6))
            yield from self._if_past(
                Step(at=at, actor=shop, key=f"{key}:price", text=self._pen.prices(rng, items))
            )
        elif rng.random() < market["thanks_share"]:
            at += timedelta(seconds=rng.randrange(25, 400))
            thanks = rng.choice(self._phrases["thanks"])
            yield from self._if_past(Step(at=at, actor=shop, key=f"{key}:thanks", text=thanks))

    def _late(self, rng: Random, shop: Actor, week: int, items: Sequence[Stocked], key: str) -> Step:
        """For a week that is over: dated back to its last day, sent after the deadline."""
        last = self._monday - timedelta(weeks=week - 1, days=1)
        at = datetime.combine(last, time(18, 5), self._zone) + timedelta(days=2, minutes=rng.randrange(2_000))
        if at > self._now:
            at = self._moment(rng, week)
        late = self._phrases["late"]
        told = self._pen.rest(rng, late["style"], items)
        return Step(
            at=at, actor=shop, key=key, text=late["open"].format(month=last.month, day=last.day) + told
        )

    def _wrong(
        self, rng: Random, shop: Actor, items: Sequence[Stocked], at: datetime, key: str
    ) -> Iterator[Step]:
        slip = rng.choice(self._phrases["wrong"])
        first, rest = items[0].sku, self._pen.rest(rng, "keyed", items[1:])
        yield Step(at=at, actor=shop, key=key, text=slip["say"].format(first=first, rest=rest))
        if slip["fix"]:
            at += timedelta(minutes=rng.randrange(2, 20))
            yield from self._if_past(
                Step(at=at, actor=shop, key=f"{key}:fix", text=slip["fix"].format(first=first))
            )

    def _if_past(self, step: Step) -> Iterator[Step]:
        if step.at < self._now:
            yield step

    def _moment(self, rng: Random, week: int) -> datetime:
        """Some time in the week at which a shop is awake; in the present week, before now."""
        monday = self._monday - timedelta(weeks=week)
        for _ in range(40):
            day = rng.choices(range(7), self._market["weekday_weights"])[0]
            hours, weights = zip(*self._market["hours"], strict=True)
            hour = rng.choices(hours, weights)[0]
            at = datetime.combine(
                monday + timedelta(days=day), time(hour, rng.randrange(60), rng.randrange(60)), self._zone
            )
            if at < self._now - timedelta(minutes=5):
                return at
        # Early on a Monday there is little of the week: the reports share what there is.
        began = datetime.combine(monday, time(), self._zone)
        return began + (self._now - began) * rng.uniform(0.1, 0.9)
