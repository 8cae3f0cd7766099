"""The words of questions, as the full-text index sees them."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from store.words import spelled_out

if TYPE_CHECKING:
    from store.table import MemoryTable

REMEMBERED = 10_000


class QuestionWords:
    """Splits questions into words and remembers them: to ask the index takes a tenth of a search, and words come again.

    What stands between blanks is split by itself: no rule of the index looks across a blank.
    """

    def __init__(self, table: "MemoryTable") -> None:
        self._table = table
        self._known: OrderedDict[str, list[str]] = OrderedDict()

    async def of(self, text: str) -> list[str]:
        """Return the words of a text: stemmed, folded, without stop words."""
        parts = spelled_out(text).split()
        words = {part: self._known[part] for part in parts if part in self._known}
        new = [part for part in dict.fromkeys(parts) if part not in words]
        if new:
            words |= zip(new, await self._table.words_of_each(new), strict=True)
        for part, its_words in words.items():
            self._known[part] = its_words
            self._known.move_to_end(part)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return [word for part in parts for word in words[part]]
