"""Full text alone finds words of every script, and codes: without a model, one memory in each language in one store."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from store.clock import utc_now
from store.ids import TimeOrderedIds
from store.models import Scope, Source
from store.table import MemoryTable
from tools.memories import Memories
from tools.outcomes import Draft

CASES = [
    ("我住在北京，在一家医院工作", "北京"),
    ("我对花生过敏", "花生"),
    ("妈妈的生日是五月八日", "生日"),
    ("他喜欢打篮球", "篮球"),
    ("我們下週去臺北", "臺北"),
    ("東京の大学で働いています", "大学"),
    ("毎朝コーヒーを飲みます", "コーヒー"),
    ("猫の名前はミロです", "名前"),
    ("アレルギーは卵です", "アレルギー"),
    ("저는 서울에서 살고 있어요", "서울"),
    ("우리 강아지의 이름은 보리예요", "강아지"),
    ("회의는 월요일에 있습니다", "월요일"),
    ("저는 커피를 안 마셔요", "커피"),
    ("ผมอาศัยอยู่ที่กรุงเทพ", "กรุงเทพ"),
    ("แม่ชอบดื่มชาเขียว", "ชาเขียว"),
    ("أعيش في القاهرة مع عائلتي", "القاهرة"),
    ("موعد الطبيب يوم الثلاثاء", "الطبيب"),
    ("אני גר בתל אביב", "אביב"),
    ("הפגישה ביום שלישי", "שלישי"),
    ("मैं दिल्ली में रहता हूँ", "दिल्ली"),
    ("मुझे मूंगफली से एलर्जी है", "एलर्जी"),
    ("Я живу в Москве", "Москве"),
    ("Она любит зелёный чай", "зелёный"),
    ("Meine Krankenversicherung ist bei der Techniker", "Krankenversicherung"),
    ("Der Straßenbahnfahrer kommt um acht", "strassenbahnfahrer"),
    ("Die Haftpflichtversicherung läuft ab", "Haftpflicht"),
    ("Der Regenschirm steht im Flur", "Schirm"),
    ("Unser Kindergarten schließt um vier", "kindergarten"),
    ("Zürich ist im Winter kalt", "zurich"),
    ("El niño come jalapeños", "jalapenos"),
    ("Łódź jest miastem", "lodz"),
    ("Smørrebrød til frokost", "smorrebrod"),
    ("İstanbul'da yaşıyorum", "istanbul"),
    ("Ξέρω λίγα ελληνικά", "ελληνικά"),
    ("Tôi sống ở Hà Nội", "ha noi"),
    ("Ticket ABC-123_x is blocked", "ABC-123_x"),
    ("Settings live in config.yaml", "config.yaml"),
    ("She writes C++ at work", "C++"),
    ("He prefers C# for tools", "C#"),
    ("Write to anna.berg+news@example.org", "anna.berg+news@example.org"),
    ("Issue #4711 is fixed", "#4711"),
    ("Fixed in PR 982", "982"),
    ("Deploy with v2.14.3-rc1", "v2.14.3-rc1"),
    ("Error E0502 in the borrow checker", "E0502"),
    ("Server is 192.168.10.4", "192.168.10.4"),
    ("The flag --no-verify is banned", "--no-verify"),
    ("Path /usr/local/bin/uv", "/usr/local/bin/uv"),
    ("Runs .NET 9 in prod", ".NET"),
    ("snake_case_name is the rule", "snake_case_name"),
    ("Uses the useEffectEvent hook", "useEffectEvent"),
    ("Emoji 🧠 means memory", "🧠"),
    ("Plays in F# minor", "F#"),
    ("Её брат купил ёлку", "елку"),
    ("Ce café est préféré d'Élodie", "Élodie"),
    ("Their site is https://souvenir.test/docs", "souvenir.test"),
    ("Die Küchenmaschine ist defekt", "Küchenmaschine"),
]

USER = Scope("default")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("languages")

    async def fill() -> None:
        memories = await opened(made)
        await memories.add([Draft(content=text) for text, _ in CASES], USER, Source())
        memories.close()

    anyio.run(fill)
    return made


async def opened(folder: Path) -> Memories:
    return Memories(await MemoryTable.open(folder), None, clock=utc_now, new_id=TimeOrderedIds())


@pytest.fixture
async def memories(folder: Path) -> AsyncGenerator[Memories]:
    memories = await opened(folder)
    yield memories
    memories.close()


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize(("text", "question"), CASES)
async def test_a_word_finds_the_memory_that_has_it(memories: Memories, text: str, question: str) -> None:
    outcome = await memories.search(question, USER)
    assert outcome.hits, question
    assert outcome.hits[0].memory.content == text


async def test_signs_tell_languages_apart(memories: Memories) -> None:
    for question, text in (("C++", "She writes C++ at work"), ("C#", "He prefers C# for tools")):
        assert [hit.memory.content for hit in (await memories.search(question, USER)).hits] == [text]
