"""The words of a question are those that the index finds in it as a whole, remembered or not."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from store import questions
from store.questions import QuestionWords
from store.table import MemoryTable
from store.words import spelled_out

PIECES = [
    *"Anna's tea running ABC-123_x C++ 東京に 住んでいます กรุงเทพ שלום ёлка a.b@c.de naïve don't The".split(),
    *"config.yaml 🚲 3.14 2023-05-08 München 안녕하세요 … e\u0301 nbsp\u00a0here x\u2028y".split(" "),
]


@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=6).map(" ".join), max_size=6))
@settings(max_examples=40, deadline=None)
async def test_remembered_words_are_those_of_the_index(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = await MemoryTable.open(Path(folder), "fast")
        words = QuestionWords(table)
        for text in [*texts, *texts]:
            [expected] = await table.words_of_each([spelled_out(text)])
            assert await words.of(text) == expected, text
        table.close()


async def test_words_are_asked_for_once_and_not_remembered_for_ever(table: MemoryTable) -> None:
    asked: list[str] = []

    class Listening(MemoryTable):
        async def words_of_each(self, texts: list[str]) -> list[list[str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
            asked.extend(texts)
            return await super().words_of_each(texts)

    words = QuestionWords(await Listening.open(table.folder))
    assert await words.of("green tea, green cups") == await words.of("green tea, green cups")
    assert asked == ["green", "tea,", "cups"]
    for number in range(questions.REMEMBERED // 100 + 1):
        await words.of(" ".join(f"word{number}x{n}" for n in range(100)))
    asked.clear()
    await words.of("green")
    assert asked == ["green"]
