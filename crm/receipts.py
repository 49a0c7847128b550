"""Receipts: four characters that name a report, short enough to say and to type."""

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 characters, none of which looks like another
_SPACE = len(_ALPHABET) ** 4
_STEP = 669_973  # odd, so that it runs through the whole space before a receipt comes again


def receipt(seq: int) -> str:
    """The receipt of the interaction `seq`. Neighbours look different; it repeats after 1,048,576 entries."""
    number = seq * _STEP % _SPACE
    letters = []
    for _ in range(4):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)
