"""Keep results small: long memories are shortened around what matched, so that every hit gets a fair share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from store.words import STOP_WORDS

RESULT_TOKENS = 2_000
ENTRY_TOKENS = 60
"""What the fields around one content cost: id, type, two dates, score."""

_MINIMUM = 20


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
    """Return the window of at most `limit` tokens with the most words of the query, marked where it was cut."""
    if tokens(text) <= limit:
        return Shortened(text)
    length = max(1, len(text) * limit // tokens(text))
    start = max(0, min(_best_place(text, query, length) - length // 4, len(text) - length))
    window = text[start : start + length].strip()
    return Shortened(("…" if start else "") + window + ("…" if start + length < len(text) else ""), shortened=True)


def _best_place(text: str, query: str, length: int) -> int:
    """Return where the stretch of text begins that has the most different words of the query."""
    lowered = text.lower()
    places = sorted((match.start(), stem) for stem in _stems(query) for match in re.finditer(re.escape(stem), lowered))[
        :_MANY
    ]
    best, most = 0, 0
    for position, (start, _) in enumerate(places):
        within = {stem for at, stem in places[position:] if at < start + length * 3 // 4}
        if len(within) > most:
            best, most = start, len(within)
    return best


_MANY = 200
_ENDING = 3


def _stems(query: str) -> set[str]:
    """Return the beginnings of the words that tell something; of scripts without blanks, pairs of characters."""
    stems: set[str] = set()
    for word in re.findall(r"\w+", query.lower()):
        if not word.isascii() and len(word) > 1:
            stems |= {word[at : at + 2] for at in range(len(word) - 1)}
        elif word not in STOP_WORDS:
            stems.add(word[: max(3, len(word) - _ENDING)])
    return stems
