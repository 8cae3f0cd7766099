"""Keep results small: long memories are shortened around what matched, so that every hit gets a fair share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

RESULT_TOKENS = 2_000
ENTRY_TOKENS = 60
"""What the fields around one content cost: id, type, two dates, score."""

_MINIMUM = 20
_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True)
class Shortened:
    """A text that fits, and whether something was left out."""

    text: str
    shortened: bool = False


def tokens(text: str) -> int:
    """Return about how many tokens a text costs: four ASCII characters, or one of another script, are one."""
    ascii_count = len(text.encode("ascii", "ignore"))
    return (ascii_count + 3) // 4 + len(text) - ascii_count


def fit(texts: Sequence[str], budget: int = RESULT_TOKENS, query: str = "") -> list[Shortened]:
    """Return texts that together stay within a budget of tokens.

    Short texts stay whole; what they leave of their share goes to the long ones.
    """
    left = budget - ENTRY_TOKENS * len(texts)
    allowed = [0] * len(texts)
    by_size = sorted(range(len(texts)), key=lambda index: tokens(texts[index]))
    for position, index in enumerate(by_size):
        share = max(_MINIMUM, left // (len(texts) - position))
        allowed[index] = min(share, tokens(texts[index]))
        left -= allowed[index]
    return [_shorten(text, limit, query) for text, limit in zip(texts, allowed, strict=True)]


def _shorten(text: str, limit: int, query: str) -> Shortened:
    """Return a window of at most `limit` tokens around the first word of the query, marked where it was cut."""
    if tokens(text) <= limit:
        return Shortened(text)
    length = max(1, len(text) * limit // tokens(text))
    start = max(0, min(_first_match(text, query) - length // 4, len(text) - length))
    window = text[start : start + length].strip()
    return Shortened(("…" if start else "") + window + ("…" if start + length < len(text) else ""), shortened=True)


def _first_match(text: str, query: str) -> int:
    lowered = text.lower()
    positions = [lowered.find(word) for word in _WORD.findall(query.lower())]
    return min((position for position in positions if position >= 0), default=0)
