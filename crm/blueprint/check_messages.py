"""Checks of forms and messages: words that mean one thing, texts that fit, names that something fills."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Final

from crm.blueprint.check_products import folded
from crm.blueprint.conditions import check_condition
from crm.blueprint.forms import (
    ERROR_PLACEHOLDERS,
    REPLY_PLACEHOLDERS,
    Act,
    FormDef,
    FormField,
    MessageVocabulary,
)
from crm.blueprint.functions import CannedReply, ChannelKind
from crm.blueprint.names import form_names
from crm.blueprint.problems import Problem, listed, problem
from crm.blueprint.products import PriceKind
from crm.blueprint.source import DataPath
from crm.blueprint.subject import Subject, Unique

# Two parts of a message in UCS-2: 2 x 67, since each part spends six bytes on the joining header
# (3GPP TS 23.040, 9.2.3.24.1).
MAX_MESSAGE_UNITS: Final = 134

# Acts whose messages are counted under the command's own name.
_COUNTED: Final = (Act.CASE, Act.CONSENT, Act.REFUSE)
CANNED_NAMES: Final = frozenset(
    {
        "party",
        "case",
        "case_kind",
        "state",
        "agent",
        "company",
        "product",
        "answer",
        "due",
        "date",
        "link",
        "queue",
    }
)


def check_messages(subject: Subject) -> Iterator[Problem]:
    for messages in subject.of("messages"):
        yield from _check_vocabulary(subject, messages)
    yield from _check_words(subject)
    for form in subject.of("forms"):
        yield from _check_form(subject, form)
    yield from _check_addresses(subject)
    signature = next((messages.signature for messages in subject.of("messages")), "")
    shortcuts = Unique(subject, what="a shortcut")
    for reply in subject.of("canned_replies"):
        yield from _check_canned(subject, reply, signature)
        if reply.shortcut is not None:
            path = ("canned_replies", reply.id, "shortcut")
            if complaint := shortcuts.see(reply.shortcut, reply.id, path):
                yield complaint


def units(text: str) -> int:
    """The length of a text in UCS-2 units, as the network counts it."""
    return len(text.encode("utf-16-be")) // 2


def _check_vocabulary(subject: Subject, messages: MessageVocabulary) -> Iterator[Problem]:
    path = ("messages",)
    yield from _resolve(subject, "forms", "Form", messages.default_form, (*path, "default_form"))
    for index, command in enumerate(messages.commands):
        here = (*path, "commands", index)
        if command.case is not None:
            yield from _resolve(subject, "case_kinds", "Case kind", command.case, (*here, "case"))
        if command.intent is not None or command.act in _COUNTED:
            intent, said = (command.intent, "intent") if command.intent else (command.key, "key")
            yield from _resolve(subject, "intents", "Intent", intent, (*here, said))
    if messages.unknown_case is not None:
        yield from _resolve(
            subject, "case_kinds", "Case kind", messages.unknown_case, (*path, "unknown_case")
        )
    default = next((form for form in subject.of("forms") if form.form == messages.default_form), None)
    if default is not None and (default.lines is None or default.channels.sms is None):
        place = subject.place((*path, "default_form"))
        yield problem("default_form_unsuited", place, name=messages.default_form)
    for part, names in (("replies", REPLY_PLACEHOLDERS), ("errors", ERROR_PLACEHOLDERS)):
        for code, text in getattr(messages, part).items():
            yield from _check_text(subject, text, names, (*path, part, code), messages.signature)


def _check_text(
    subject: Subject, text: str, names: frozenset[str], path: DataPath, signature: str | None
) -> Iterator[Problem]:
    """`signature` is None where the length is not limited."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        yield problem("text_unreadable", subject.place(path))
        return
    for _, name, detail, conversion in parts:
        if name is not None and (name not in names or detail or conversion):
            yield problem("placeholder_unknown", subject.place(path), name=name, known=listed(names))
    if signature is not None:
        length = units(signature + "".join(fixed for fixed, *_ in parts))
        if length > MAX_MESSAGE_UNITS:
            yield problem("message_too_long", subject.place(path), length=length, limit=MAX_MESSAGE_UNITS)


def _check_canned(subject: Subject, reply: CannedReply, signature: str) -> Iterator[Problem]:
    path = ("canned_replies", reply.id, "text")
    by_sms = not reply.channels or ChannelKind.SMS in reply.channels
    for locale, text in (("zh-Hans", reply.text.hans), ("zh-Hant", reply.text.hant), ("en", reply.text.en)):
        if text is not None:
            # English travels in seven bits, 306 letters in two parts; its length is not the limit here.
            limit = signature if by_sms and locale != "en" else None
            yield from _check_text(subject, text, CANNED_NAMES, (*path, locale), limit)


def _check_words(subject: Subject) -> Iterator[Problem]:
    """A word that opens a message means one command or one form, and is no product's name."""
    words = Unique(subject, "words_collide")
    spoken: list[tuple[str, str, DataPath]] = []
    for messages in subject.of("messages"):
        for index, command in enumerate(messages.commands):
            path: DataPath = ("messages", "commands", index, "words")
            spoken += [(word, command.key, (*path, i)) for i, word in enumerate(command.words)]
    for form in subject.of("forms"):
        for index, mode in enumerate(form.channels.sms.modes if form.channels.sms else ()):
            path = ("forms", form.form, "channels", "sms", "modes", index, "words")
            owner = f"{form.form}/{mode.key}"
            spoken += [(word, owner, (*path, i)) for i, word in enumerate(mode.words)]
    for word, owner, path in spoken:
        if complaint := words.see(folded(word) or word, owner, path, shown=word):
            yield complaint
    for product in subject.of("products"):
        for index, alias in enumerate(product.aliases):
            if (taken := words.owner(folded(alias))) is not None:
                place = subject.place(("products", product.sku, "aliases", index))
                other, first = taken
                yield problem(
                    "words_collide", place, name=alias, other=other, file=first.file, line=first.line
                )


def _check_form(subject: Subject, form: FormDef) -> Iterator[Problem]:
    path = ("forms", form.form)
    yield from _resolve(subject, "entities", "Record", form.about, (*path, "about"))
    for index, role in enumerate(form.who.roles):
        yield from _resolve(subject, "roles", "Role", role, (*path, "who", "roles", index))
    for index, role in enumerate(form.merge.rank if form.merge else ()):
        yield from _resolve(subject, "roles", "Role", role, (*path, "merge", "rank", index))
    yield from _check_form_fields(subject, form)
    names = form_names(subject, form)
    for index, check in enumerate(form.checks):
        yield from check_condition(check.when, names, subject.place((*path, "checks", index, "when")))
    for index, effect in enumerate(form.on_accept):
        if effect.when is not None:
            yield from check_condition(effect.when, names, subject.place((*path, "on_accept", index, "when")))


def _check_form_fields(subject: Subject, form: FormDef) -> Iterator[Problem]:
    path: DataPath = ("forms", form.form)
    fields: list[tuple[DataPath, FormField]]
    fields = [((*path, "header", index), field) for index, field in enumerate(form.header)]
    if form.lines is not None:
        fields += [
            ((*path, "lines", "fields", index), field) for index, field in enumerate(form.lines.fields)
        ]
    ids, words = Unique(subject, what="a field"), Unique(subject, "words_collide")
    party = next((kind for kind in subject.of("customer_kinds") if kind.id == form.about), None)
    for where, field in fields:
        if complaint := ids.see(field.id, str(where), (*where, "id")):
            yield complaint
        for index, word in enumerate(field.words):
            if complaint := words.see(folded(word), field.key, (*where, "words", index), shown=word):
                yield complaint
        band = getattr(field, "band", None)
        if band is not None and band.of not in set(PriceKind):
            place = subject.place((*where, "band", "of"))
            known = listed({kind.value for kind in PriceKind})
            yield problem("reference_unknown", place, target="Price", name=band.of, known=known)
        factor = getattr(field, "scale_by", None)
        if factor is not None and party is not None and factor not in {each.id for each in party.fields}:
            known = listed([each.id for each in party.fields])
            place = subject.place((*where, "scale_by"))
            yield problem("reference_unknown", place, target="Field", name=factor, known=known)


def _check_addresses(subject: Subject) -> Iterator[Problem]:
    """A mail's subject tag and a post's tag lead to one form."""
    tags = Unique(subject, "words_collide")
    for form in subject.of("forms"):
        path = ("forms", form.form, "channels")
        if form.channels.email is not None:
            tag = form.channels.email.subject_tag
            if complaint := tags.see(
                f"email {folded(tag)}", form.form, (*path, "email", "subject_tag"), shown=tag
            ):
                yield complaint
        if form.channels.forum is not None:
            tag, board = form.channels.forum.tag, form.channels.forum.board
            if complaint := tags.see(f"{board} {folded(tag)}", form.form, (*path, "forum", "tag"), shown=tag):
                yield complaint


def _resolve(subject: Subject, section: str, target: str, name: str, path: DataPath) -> Iterator[Problem]:
    known = subject.known(section)
    if name not in known and not subject.is_unsure(section):
        yield problem("reference_unknown", subject.place(path), target=target, name=name, known=listed(known))
