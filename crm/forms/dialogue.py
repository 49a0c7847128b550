"""One message of a sender, read whole: a command, an answer to what is held, or a report.

Where the grammar leaves a choice, this is what was chosen, so that a figure is asked for rather than guessed:

- A number too many (E_EXTRA) is named, and the item in front of it is stored as it was said.
- Two different days in one message refuse it (E_DATE), since a report is about one day.
- Held lines beside stored ones are asked for (R_CONFIRM); the text names what was stored and refused as well.
- `Y` with products confirms those and says nothing of the rest, which stays held.
- `cancel` with a product or a number behind it withdraws nothing: it cannot withdraw a part.
- The same order of magnitude is a factor that the form's `dialogue.normal_factor` gives.
- A message nobody can read gets the help reply, which carries E_UNKNOWN's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from crm.blueprint.forms import Act, Command, IntegerField, Mode, MoneyField, QuantityField
from crm.forms.checks import check_value, most_urgent
from crm.forms.drafts import Line
from crm.forms.grammar import FormGrammar, Grammar, Opening, word_at
from crm.forms.lexer import tokenise
from crm.forms.lines import Lines, build_lines
from crm.forms.readings import (
    Context,
    Held,
    Intent,
    LastReport,
    ReadError,
    Reading,
    ReadItem,
    ReadValue,
    Refusal,
    Reply,
    Status,
    Warn,
)
from crm.forms.text import MatchingCopy, matching_copy
from crm.forms.tokens import Kind, Token, Tokens

# A text longer than any channel's message is read up to here; nothing behind it is stored unread.
MOST_CHARACTERS: Final = 100_000
_BARE_VALUES: Final = frozenset({Kind.NUMBER, Kind.COUNT, Kind.PLACEHOLDER, Kind.ZERO})


def read(text: str, context: Context, grammar: Grammar) -> Reading:
    """What the message says. Never raises, whatever the text; changes nothing."""
    copy = matching_copy(text[:MOST_CHARACTERS])
    return _Reader(copy, context, grammar).read()


class _Reader:
    def __init__(self, copy: MatchingCopy, context: Context, grammar: Grammar) -> None:
        self.copy, self.context, self.grammar = copy, context, grammar
        self.text = copy.text
        self.held = _still_held(context, grammar)

    def read(self) -> Reading:
        if self.context.redelivered:
            return self._result(Intent.DUPLICATE, Status.IGNORED, Reply.NONE)
        start = self._skip_greeting()
        opening = self._opening(start)
        if opening is not None and opening.command is not None and opening.command.act in (Act.YES, Act.NO):
            end = start + len(opening.word)
            answer = self._answer(opening.command, end)
            if answer is not None:
                return answer
            start = self._behind_answer(start, end)
            opening = self._opening(start)
        command = opening.command if opening else None
        end = start + len(opening.word) if opening else start
        if self._is_polite(start):
            return self._result(Intent.THANKS, Status.IGNORED, Reply.NONE)
        if opening is not None and command is not None:
            if not command.whole or self._nothing_from(end):
                return self._act(command, end)
            opening = None
        return self._lines(opening, end if opening else start, Intent.REPORT)

    # Openings.

    def _skip_greeting(self) -> int:
        """Where the message proper begins: separators and words that say nothing stand before it."""
        place = 0
        while place < len(self.text):
            char = self.text[place]
            word = word_at(self.grammar.fillers, self.text, place) if char.isalnum() else None
            if word is not None:
                place += len(word)
            elif char.isalnum() or self._opening(place) or char in self.grammar.money.signs or char in "-.":
                break
            else:
                place += 1
        return place if place < len(self.text) else 0

    def _opening(self, place: int) -> Opening | None:
        """The longest command at `place`, unless a product's name reaches further."""
        for opening in self.grammar.openings.get(self.text[place : place + 1], ()):
            end = place + len(opening.word)
            if not self.text.startswith(opening.word, place):
                continue
            if (
                opening.word.isascii()
                and opening.word[-1].isalpha()
                and "A" <= self.text[end : end + 1] <= "Z"
            ):
                continue
            named = self.grammar.catalogue.match(self.text, place)
            if named is not None and named.end > end:
                return None
            return opening
        return None

    def _nothing_from(self, place: int) -> bool:
        """Whether only separators, signs and polite words remain."""
        while place < len(self.text):
            if not self.text[place].isalnum():
                place += 1
                continue
            word = word_at(self.grammar.polite_words, self.text, place)
            if word is None:
                return False
            place += len(word)
        return True

    def _is_polite(self, place: int) -> bool:
        return place < len(self.text) and self.text[place].isalnum() and self._nothing_from(place)

    # Answers to what is held.

    def _answer(self, command: Command, end: int) -> Reading | None:
        """Yes or no to what is held; None where the word only leads into something else."""
        if self._nothing_from(end):
            if self.held:
                return self._settle(command, self.held)
            if self._is_polite(0):
                return self._result(Intent.THANKS, Status.IGNORED, Reply.NONE)
            return self._refused(Intent.CONFIRM, Refusal.NOPENDING)
        tokens = tokenise(self.grammar, self.grammar.default, self.text, end, after_command=False).found
        named = [token for token in tokens if token.kind is not Kind.END]
        if not named or any(token.kind not in (Kind.PRODUCT, Kind.CODE) for token in named):
            return None
        skus = {token.sku for token in named}
        chosen = tuple(each for each in self.held if each.sku in skus)
        missing = [token for token in named if all(token.sku != each.sku for each in chosen)]
        if not chosen:
            return self._refused(Intent.CONFIRM, Refusal.NOPENDING, missing[0])
        errors = tuple(self._error(Refusal.NOPENDING, token) for token in missing)
        return self._settle(command, chosen, errors)

    def _behind_answer(self, start: int, end: int) -> int:
        """A no may lead into a report that puts it right; 好运来 is a word that only begins like a yes."""
        while end < len(self.text) and not self.text[end].isalnum():
            end += 1
        if self._opening(end) is not None:
            return end
        first = tokenise(self.grammar, self.grammar.default, self.text[: end + 40], end, after_command=False)
        is_product = bool(first.found) and first.found[0].kind in (Kind.PRODUCT, Kind.CODE)
        return end if is_product else start

    def _settle(
        self, command: Command, chosen: Sequence[Held], errors: tuple[ReadError, ...] = ()
    ) -> Reading:
        if command.act is Act.NO:
            return self._result(
                Intent.CONFIRM,
                Status.CANCELLED,
                Reply.DROPPED,
                errors=errors,
                dropped=tuple(each.sku for each in chosen),
            )
        return self._result(
            Intent.CONFIRM,
            Status.PARTIAL if errors else Status.ACCEPTED,
            Reply.PARTIAL if errors else Reply.OK,
            items=tuple(_confirmed(each, self.grammar.default) for each in chosen),
            errors=errors,
        )

    # Commands.

    def _act(self, command: Command, end: int) -> Reading:
        if self.context.party is None and not command.open_to_all:
            return self._refused(Intent.UNKNOWN_SENDER, Refusal.SENDER)
        match command.act:
            case Act.CORRECT:
                return self._correct(end)
            case Act.CANCEL:
                return self._cancel(end)
            case Act.CASE:
                return self._open_case(command, end)
            case Act.BIND:
                return self._bind(end)
            case Act.CONSENT:
                effects = (command.effect,) if command.effect else ()
                return self._result(_intent(command), Status.ACCEPTED, Reply.OK, effects=effects)
            case Act.REFUSE:
                return self._refused(_intent(command), command.error or Refusal.UNKNOWN)
            case Act.REPEAT:
                return self._repeat_last()
            case Act.HELP | Act.YES | Act.NO:
                return self._result(Intent.HELP, Status.INFO, Reply.HELP)

    def _correct(self, end: int) -> Reading:
        report = self._correctable()
        if report is None and self.context.repeat_of is None:
            return self._refused(Intent.CORRECT, Refusal.NOREPORT)
        return self._lines(None, end, Intent.CORRECT, report)

    def _cancel(self, end: int) -> Reading:
        report = self._correctable()
        if report is None:
            return self._refused(Intent.CANCEL, Refusal.NOREPORT)
        rest = self.text[end:].strip(" #:,.。")
        if rest and rest != report.receipt.upper():
            form = self._form_of(report)
            tokens = tokenise(self.grammar, form, self.text, end, after_command=False).found
            values = (Kind.PRODUCT, Kind.CODE, Kind.NUMBER, Kind.COUNT, Kind.MONEY)
            partial = next((token for token in tokens if token.kind in values), None)
            if partial is not None:
                return self._refused(Intent.CANCEL, Refusal.EXTRA, partial)
        effects = (f"withdraw:{report.receipt}",)
        return self._result(Intent.CANCEL, Status.CANCELLED, Reply.OK, effects=effects)

    def _open_case(self, command: Command, end: int) -> Reading:
        start = end
        while start < len(self.text) and not self.text[start].isalnum():
            start += 1
        if start == len(self.text):
            return self._refused(_intent(command), Refusal.EMPTY)
        return self._result(
            _intent(command),
            Status.ACCEPTED,
            Reply.OK,
            case=self._case(command.case),
            free_text=self.copy.span(start, len(self.text)),
        )

    def _case(self, kind: str | None) -> Mapping[str, str | None] | None:
        about = self.grammar.default.definition.about
        return None if kind is None else {"kind": kind, about: self.context.party}

    def _bind(self, end: int) -> Reading:
        binding = self.grammar.vocabulary.binding
        number = "".join(char for char in self.text[end:] if char.isalnum())
        party = None
        if binding is not None and number.isascii() and number.isdigit() and len(number) == binding.digits:
            party = self.context.unbound(number)
        if party is None:
            return self._refused(Intent.BIND, Refusal.LICENCE)
        return self._result(Intent.BIND, Status.PENDING, Reply.CONFIRM, effects=(f"verify:{party}",))

    def _repeat_last(self) -> Reading:
        report = self.context.last_report
        if report is None:
            return self._refused(Intent.REPORT, Refusal.NOREPORT)
        form = self._form_of(report)
        again = tuple(_confirmed(each, form) for each in report.items)
        return self._result(Intent.REPORT, Status.PENDING, Reply.CONFIRM, pending=again, form=form.form)

    # Reports.

    def _lines(
        self, opening: Opening | None, start: int, intent: Intent, report: LastReport | None = None
    ) -> Reading:
        form = self._form(opening, report)
        mode = opening.mode if opening and opening.mode else form.bare_mode
        after_command = opening is not None or intent is Intent.CORRECT
        repeated = self._repeat_in_mode(opening, start)
        if repeated is not None:
            return repeated
        wanted = len(mode.positional)
        tokens = tokenise(self.grammar, form, self.text, start, after_command=after_command, wanted=wanted)
        if intent is Intent.REPORT and self._is_awaited(tokens):
            return self._fill_awaited(form, mode, tokens.found)
        lines = build_lines(self.grammar, form, mode, self.copy, tokens)
        if not after_command and self._is_not_understood(lines):
            return self._not_understood()
        if self.context.party is None or self._is_closed(form):
            return self._refused(Intent.UNKNOWN_SENDER, Refusal.SENDER)
        repeat_of = self._repeat_of(form)
        if repeat_of is not None:
            return self._result(Intent.DUPLICATE, Status.IGNORED, Reply.REPEAT, receipt=repeat_of)
        if intent is Intent.CORRECT and report is None:
            return self._refused(Intent.CORRECT, Refusal.NOREPORT)
        day, wrong_date = self._day(form, lines.dates)
        if wrong_date is not None:
            return self._refused(intent, Refusal.DATE, wrong_date, form=form.form, mode=mode.key)
        if not lines.found and not lines.errors:
            return self._refused(intent, Refusal.EMPTY, form=form.form, mode=mode.key)
        items = [self._item(form, line) for line in lines.found]
        return self._report(intent, form, mode, items, lines.errors, day)

    def _report(
        self,
        intent: Intent,
        form: FormGrammar,
        mode: Mode,
        items: Sequence[ReadItem],
        errors: Sequence[ReadError],
        day: date | None,
    ) -> Reading:
        stored = tuple(each for each in items if not each.warns)
        held = tuple(each for each in items if each.warns)
        if stored:
            status = Status.PARTIAL if errors or held else Status.ACCEPTED
        elif held:
            status = Status.PARTIAL if errors else Status.PENDING
        else:
            status = Status.REJECTED
        reply = {Status.PARTIAL: Reply.PARTIAL, Status.ACCEPTED: Reply.OK}.get(status, Reply.ERROR)
        return self._result(
            intent,
            status,
            Reply.CONFIRM if held else reply,
            items=stored,
            errors=tuple(self._shown(error) for error in errors),
            pending=held,
            date=day,
            form=form.form,
            mode=mode.key,
        )

    def _form(self, opening: Opening | None, report: LastReport | None) -> FormGrammar:
        if opening is not None and opening.form is not None:
            return self.grammar.forms[opening.form]
        return self._form_of(report) if report else self.grammar.default

    def _form_of(self, report: LastReport) -> FormGrammar:
        return self.grammar.forms.get(report.form or "", self.grammar.default)

    def _is_closed(self, form: FormGrammar) -> bool:
        return self.context.forms is not None and form.form not in self.context.forms

    def _is_not_understood(self, lines: Lines) -> bool:
        if lines.knows_product:
            return False
        return not lines.has_number or lines.longest_unknown > self.grammar.vocabulary.sentence_length

    def _not_understood(self) -> Reading:
        return self._result(
            Intent.UNKNOWN,
            Status.REJECTED,
            Reply.HELP,
            errors=(ReadError(Refusal.UNKNOWN),),
            case=self._case(self.grammar.vocabulary.unknown_case),
        )

    def _repeat_of(self, form: FormGrammar) -> str | None:
        """The receipt of the sender's latest report if this is the same text again, soon enough."""
        if self.context.repeat_of is not None:
            return self.context.repeat_of
        report = self.context.last_report
        minutes = timedelta(minutes=form.definition.dialogue.repeat_minutes)
        if report is None or report.text is None or not self._is_recent(report.at, minutes):
            return None
        return report.receipt if report.text == self.text else None

    def _repeat_in_mode(self, opening: Opening | None, start: int) -> Reading | None:
        """A form's word in front of 同上 adds nothing."""
        if opening is None or self.context.party is None:
            return None
        while start < len(self.text) and not self.text[start].isalnum():
            start += 1
        inner = self._opening(start)
        command = inner.command if inner else None
        if inner is None or command is None or command.act is not Act.REPEAT:
            return None
        return self._repeat_last() if self._nothing_from(start + len(inner.word)) else None

    # A bare list after a reminder.

    def _is_awaited(self, tokens: Tokens) -> bool:
        values = [token for token in tokens.found if token.kind is not Kind.END]
        return (
            self.context.party is not None
            and bool(self.context.awaiting)
            and len(values) == len(self.context.awaiting)
            and all(token.kind in _BARE_VALUES for token in values)
            and self._repeat_of(self.grammar.default) is None
        )

    def _fill_awaited(self, form: FormGrammar, mode: Mode, tokens: Sequence[Token]) -> Reading:
        """The numbers in the reminder's order, each read as if its product stood before it."""
        items: list[ReadItem] = []
        errors: list[ReadError] = []
        values = [token for token in tokens if token.kind is not Kind.END]
        for sku, token in zip(self.context.awaiting, values, strict=True):
            if token.kind is Kind.PLACEHOLDER:
                continue
            product = Token(Kind.PRODUCT, token.start, token.start, sku, sku=sku)
            lines = build_lines(self.grammar, form, mode, self.copy, Tokens([product, token]))
            items += [self._item(form, line) for line in lines.found]
            errors += lines.errors
        if not items and not errors:
            return self._refused(Intent.REPORT, Refusal.EMPTY, form=form.form, mode=mode.key)
        return self._report(Intent.REPORT, form, mode, items, errors, None)

    # Values, days and times.

    def _item(self, form: FormGrammar, line: Line) -> ReadItem:
        product = self.grammar.catalogue.products.get(line.sku)
        warns: set[Warn] = set()
        values = []
        for key, (figure, said) in line.values.items():
            definition = form.fields[key]
            if isinstance(figure, int) and isinstance(definition, QuantityField | IntegerField | MoneyField):
                checked = check_value(
                    definition,
                    figure,
                    product,
                    is_ambiguous=said.is_ambiguous,
                    is_unmarked=said.is_unmarked,
                    normal=self.context.confirmed.get((line.sku, definition.name)),
                    normal_factor=form.definition.dialogue.normal_factor,
                    factors=self.context.factors,
                )
                figure = checked.value
                warns |= {checked.warn} if checked.warn else set()
            values.append(ReadValue(key, definition.name, figure, self.copy.span(said.start, said.end)))
        return ReadItem(
            sku=line.sku,
            values=tuple(values),
            span=self.copy.span(line.start, line.end),
            product_span=self.copy.span(line.start, line.product_end),
            matched_by=line.matched_by,
            warns=most_urgent(warns),
        )

    def _day(self, form: FormGrammar, dates: Sequence[Token]) -> tuple[date | None, Token | None]:
        """The earlier day that the report is about, or the date that cannot be."""
        today = self.context.now.astimezone(self.context.timezone).date()
        found: date | None = None
        for token in dates:
            day = _resolve_day(token, today)
            if day is None or not 0 <= (today - day).days <= form.definition.backdate_days:
                return None, token
            if found is not None and found != day:
                return None, token
            found = day
        return (None if found == today else found), None

    def _is_recent(self, at: datetime | None, limit: timedelta) -> bool:
        return at is None or self.context.now - at <= limit

    def _correctable(self) -> LastReport | None:
        report = self.context.last_report
        if report is None:
            return None
        hours = timedelta(hours=self._form_of(report).definition.dialogue.correct_hours)
        return report if self._is_recent(report.at, hours) else None

    # Results.

    def _error(self, code: str, token: Token | None = None) -> ReadError:
        if token is None:
            return ReadError(code)
        return self._shown(ReadError(code, token.text, self.copy.span(token.start, token.end)))

    def _shown(self, error: ReadError) -> ReadError:
        """Names the token only where the answer does."""
        if error.code in self.grammar.tokens_shown:
            return error
        return ReadError(error.code, None, error.span, error.options)

    def _refused(
        self,
        intent: Intent,
        code: str,
        token: Token | None = None,
        *,
        form: str | None = None,
        mode: str | None = None,
    ) -> Reading:
        errors = (self._error(code, token),)
        return self._result(intent, Status.REJECTED, Reply.ERROR, errors=errors, form=form, mode=mode)

    def _result(
        self,
        intent: Intent,
        status: Status,
        reply: Reply,
        *,
        items: tuple[ReadItem, ...] = (),
        errors: tuple[ReadError, ...] = (),
        pending: tuple[ReadItem, ...] = (),
        date: date | None = None,
        receipt: str | None = None,
        case: Mapping[str, str | None] | None = None,
        effects: tuple[str, ...] = (),
        form: str | None = None,
        mode: str | None = None,
        dropped: tuple[str, ...] = (),
        free_text: tuple[int, int] = (0, 0),
    ) -> Reading:
        return Reading(
            intent=intent,
            status=status,
            reply=reply,
            items=items,
            errors=errors,
            pending=pending,
            date=date,
            receipt=receipt,
            case=case,
            effects=effects,
            form=form,
            mode=mode,
            text=self.text,
            dropped=dropped,
            free_text=free_text,
        )


def _intent(command: Command) -> Intent:
    return Intent(command.intent or command.key)


def _still_held(context: Context, grammar: Grammar) -> tuple[Held, ...]:
    limit = timedelta(hours=grammar.default.definition.dialogue.pending_hours)
    return tuple(each for each in context.held if each.at is None or context.now - each.at <= limit)


def _confirmed(held: Held, form: FormGrammar) -> ReadItem:
    """A held item as it is stored; its characters are in the message that reported it."""
    keys = {definition.name: key for key, definition in form.fields.items()}
    values = tuple(
        ReadValue(keys.get(name, name), name, value, (0, 0)) for name, value in held.values.items()
    )
    return ReadItem(sku=held.sku, values=values, source=held.source)


def _resolve_day(token: Token, today: date) -> date | None:
    if token.meaning is not None and token.meaning.days_back is not None:
        return today - timedelta(days=token.meaning.days_back)
    if token.month_day is None:
        return None
    month, day = token.month_day
    # People leave out the year: the last such day is meant, in January also one of December.
    for year in (today.year, today.year - 1):
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found <= today:
            return found
    return None
