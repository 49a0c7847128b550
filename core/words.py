"""The hub's own words in every language, from the one gettext catalogue that the browser's pages use too."""

from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

CATALOGUE = Path(__file__).parent.parent / "web" / "locale"
LOCALES = ("zh-Hans", "zh-Hant", "en")


@cache
def _texts(locale: str) -> dict[str, str]:
    path = CATALOGUE / locale.replace("-", "_") / "messages.po"
    with path.open("rb") as file:
        return {
            message.id: message.string
            for message in read_po(file)
            if isinstance(message.id, str) and isinstance(message.string, str) and message.string
        }


def say(locale: str, msgid: str, **values: object) -> str:
    """The text for an English msgid; the msgid itself where the catalogue has none."""
    text = _texts(locale).get(msgid, msgid) if locale in LOCALES else msgid
    return text.format(**values) if values else text
