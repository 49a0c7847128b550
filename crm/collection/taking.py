"""Taking a reading: what a message said becomes submissions and observations, what it answered settles held ones."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from core.database import Tx
from core.log.entries import Logged
from core.tables import Party
from crm.blueprint.forms import FormDef
from crm.collection.figures import FigureKey
from crm.collection.periods import late_from, span_of
from crm.desk.known import Known
from crm.forms.readings import Intent, Reading, ReadItem, Status
from crm.receipts import receipt
from crm.tables import Normal, Observation, Submission


@dataclass(slots=True)
class Taker:
    """Applies readings within one transaction and remembers which figures they touched."""

    tx: Tx
    known: Known
    timezone: ZoneInfo
    touched: set[FigureKey]

    def take(self, entry: Logged, party: Party, reading: Reading, form: FormDef | None) -> None:
        match reading.intent:
            case Intent.REPORT if form is not None:
                self._report(entry, party, reading, form)
            case Intent.CORRECT if form is not None:
                self._correct(entry, party, reading, form)
            case Intent.CANCEL if reading.status is Status.CANCELLED:
                self._cancel(entry, party, reading)
            case Intent.CONFIRM:
                self._confirm(entry, party, reading)
            case _:
                return

    def _report(self, entry: Logged, party: Party, reading: Reading, form: FormDef) -> None:
        if not reading.items and not reading.pending:
            return
        day = reading.date or entry.occurred_at.astimezone(self.timezone).date()
        span = span_of(form.period, day)
        late = late_from(form.period, span, self.timezone)
        submission = Submission(
            seq=entry.seq,
            party_id=party.id,
            form=form.form,
            period=span.key,
            day=day.isoformat(),
            channel=entry.channel,
            state="held" if not reading.items else "accepted",
            receipt=receipt(entry.seq),
            normal=reading.text,
            received_at=entry.occurred_at,
            is_late=late is not None and entry.occurred_at >= late,
            blueprint=entry.blueprint,
        )
        self.tx.session.add(submission)
        self.known.reports[party.id] = [
            report for report in self.known.reports[party.id] if report.form != form.form
        ] + [submission]
        self._settle_held(party.id, form.form, reading.supersedes, "withdrawn", entry.seq)
        self._observe(entry, submission, form, reading)

    def _correct(self, entry: Logged, party: Party, reading: Reading, form: FormDef) -> None:
        submission = self._last(party.id, form.form)
        if submission is None:
            return
        self._settle_held(party.id, form.form, reading.supersedes, "withdrawn", entry.seq)
        self._observe(entry, submission, form, reading)
        submission.state = "corrected"

    def _observe(self, entry: Logged, submission: Submission, form: FormDef, reading: Reading) -> None:
        number = 0
        for state, items in (("accepted", reading.items), ("held", reading.pending)):
            for item in items:
                for observation in observations(entry, submission, form, item, number, state):
                    number += 1
                    self._add(observation)

    def _add(self, observation: Observation) -> None:
        if observation.state == "accepted":
            self.replace_standing(observation)
        else:
            self.known.held[observation.party_id].append(observation)
        self.known.observations[observation.submission].append(observation)
        self.tx.session.add(observation)
        self.touched.add(FigureKey.of(observation))

    def replace_standing(self, newer: Observation) -> None:
        """Within one submission a figure stands once: what stood before is replaced and keeps its place in history."""
        for older in self.known.observations[newer.submission]:
            if older is newer or older.state != "accepted":
                continue
            if FigureKey.of(older) == FigureKey.of(newer):
                older.state = "replaced"
                older.settled_seq = newer.settled_seq or newer.seq
                newer.supersedes_seq, newer.supersedes_number = older.seq, older.number

    def _cancel(self, entry: Logged, party: Party, reading: Reading) -> None:
        withdrawn_receipt = withdrawn(reading)
        for submission in self.known.reports[party.id]:
            if submission.receipt != withdrawn_receipt:
                continue
            submission.state = "withdrawn"
            for observation in self.known.observations[submission.seq]:
                if observation.state in ("accepted", "held"):
                    self._settle(observation, "withdrawn", entry.seq)
        self._forget_settled(party.id)

    def _confirm(self, entry: Logged, party: Party, reading: Reading) -> None:
        by_source = defaultdict(list)
        for observation in self.known.held[party.id]:
            by_source[source_of(observation)].append(observation)
        for item in reading.items:
            for observation in by_source[item.source]:
                self.accept(observation, entry.seq)
                self._learn(observation)
        for dropped in reading.dropped:
            for observation in [each for each in self.known.held[party.id] if each.sku == dropped]:
                self._settle(observation, "rejected", entry.seq)
        self._forget_settled(party.id)

    def accept(self, observation: Observation, seq: int) -> None:
        """A held observation stands from now on."""
        self._settle(observation, "accepted", seq)
        self.replace_standing(observation)
        for submission in self.known.reports[observation.party_id]:
            if submission.seq == observation.submission and submission.state == "held":
                submission.state = "accepted"

    def _learn(self, observation: Observation) -> None:
        normals = self.known.normals[observation.party_id]
        key = (observation.form, observation.sku, observation.field)
        if key in normals:
            normals[key].value = observation.value
            return
        normals[key] = Normal(
            party_id=observation.party_id,
            form=observation.form,
            sku=observation.sku,
            field=observation.field,
            value=observation.value,
        )
        self.tx.session.add(normals[key])

    def _settle_held(self, party: UUID, form: str, skus: Iterable[str], state: str, seq: int) -> None:
        wanted = set(skus)
        for observation in self.known.held[party]:
            if observation.form == form and observation.sku in wanted:
                self._settle(observation, state, seq)
        self._forget_settled(party)

    def _settle(self, observation: Observation, state: str, seq: int) -> None:
        observation.state = state
        observation.settled_seq = seq
        self.touched.add(FigureKey.of(observation))

    def _forget_settled(self, party: UUID) -> None:
        self.known.held[party] = [each for each in self.known.held[party] if each.state == "held"]

    def _last(self, party: UUID, form: str) -> Submission | None:
        for submission in self.known.reports[party]:
            if submission.form == form and submission.state != "withdrawn":
                return submission
        return None


def withdrawn(reading: Reading) -> str | None:
    """The receipt of the report that the sender takes back."""
    receipts = (each.removeprefix("withdraw:") for each in reading.effects if each.startswith("withdraw:"))
    return next(receipts, None)


def source_of(observation: Observation) -> str:
    """What ties the values of one held item together: they came in the same entry, for the same product."""
    return f"{observation.seq}:{observation.sku}"


def observations(
    entry: Logged, submission: Submission, form: FormDef, item: ReadItem, number: int, state: str
) -> Sequence[Observation]:
    """One observation a value, numbered from `number`, each with the characters that say it."""
    if form.lines is None:
        return []
    held_until = entry.occurred_at + timedelta(hours=form.dialogue.pending_hours) if state == "held" else None
    return [
        Observation(
            seq=entry.seq,
            number=number + offset,
            submission=submission.seq,
            party_id=submission.party_id,
            form=form.form,
            period=submission.period,
            sku=item.sku,
            field=form.lines.field(value.field).id,
            value=value.value if isinstance(value.value, int) else 0,
            text=value.value if isinstance(value.value, str) else "",
            state=state,
            warn=str(item.warn) if item.warn and state == "held" else "",
            matched_by=str(item.matched_by) if item.matched_by else "",
            span_start=value.span[0],
            span_end=value.span[1],
            held_until=held_until,
            at=entry.occurred_at,
        )
        for offset, value in enumerate(item.values)
    ]
