"""What may come in: limits and shapes of everything that a caller hands over.

Each guard returns the value as it will be stored, or raises `InvalidRequestError` that says what was wrong, what is
valid and what to do. Nothing is stored before every guard has passed.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import cast

from store.errors import InvalidRequestError
from store.filters import Selection
from store.models import EVERYWHERE, MEMORY_TYPES, MemoryType

MAX_CONTENT = 32_000
MAX_CONTENTS = 100
MAX_TAGS = 32
MAX_TAG = 64
MAX_METADATA = 16_000
MAX_DEPTH = 20
MAX_NAME = 256
MAX_QUERY = 8_000
MAX_LIMIT = 100


def content(text: str) -> str:
    """Return a memory's text, 1 to 32,000 characters, without white space around it."""
    stripped = _clean("content", text).strip()
    if not stripped:
        raise InvalidRequestError("content is empty. Pass one self-contained statement of 1 to 32,000 characters.")
    if len(stripped) > MAX_CONTENT:
        raise InvalidRequestError(
            f"content has {len(stripped):,} characters; a memory holds at most {MAX_CONTENT:,}. "
            "Split it into several statements and pass them as contents. Nothing was stored."
        )
    return stripped


def contents(one: str, several: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of `content` or of `contents`: exactly one of the two is to be given."""
    if bool(one.strip()) == bool(several):
        raise InvalidRequestError("Pass either content (one statement) or contents (a list of them), and not both.")
    if len(several) > MAX_CONTENTS:
        raise InvalidRequestError(
            f"contents has {len(several):,} statements; one call takes at most {MAX_CONTENTS}. "
            "Pass the rest in further calls. Nothing was stored."
        )
    return tuple(content(text) for text in several or (one,))


def search_query(text: str, selection: Selection) -> str:
    """Return what to search for, at most 8,000 characters; empty only where something else selects."""
    stripped = _clean("query", text).strip()
    if not stripped and selection == Selection():
        raise InvalidRequestError(
            "query is empty. Pass a question or topic, or filters such as types, tags or since; "
            "list_memories pages through everything."
        )
    if len(stripped) > MAX_QUERY:
        raise InvalidRequestError(
            f"query has {len(stripped):,} characters; at most {MAX_QUERY:,} are searched. Ask a shorter question."
        )
    return stripped


def tags(values: Sequence[str]) -> tuple[str, ...]:
    """Return tags without repetitions: up to 32, each of 1 to 64 characters."""
    unique = tuple(dict.fromkeys(_clean("tags", tag).strip() for tag in values))
    if len(unique) > MAX_TAGS:
        raise InvalidRequestError(f"tags has {len(unique)} entries; a memory has at most {MAX_TAGS}.")
    for tag in unique:
        if not 1 <= len(tag) <= MAX_TAG:
            raise InvalidRequestError(f"A tag has {len(tag)} characters; each tag has 1 to {MAX_TAG}.")
    return unique


def types(values: Sequence[str]) -> tuple[MemoryType, ...]:
    """Return types to narrow by."""
    for value in values:
        if value not in MEMORY_TYPES:
            raise InvalidRequestError(f"type is {value[:40]!r}; valid are {', '.join(MEMORY_TYPES)}.")
    return tuple(one for one in MEMORY_TYPES if one in values)


def metadata(values: Mapping[str, object]) -> dict[str, object]:
    """Return metadata: a JSON object of up to 16,000 bytes."""
    if _depth(values) > MAX_DEPTH:
        raise InvalidRequestError(f"metadata is nested more than {MAX_DEPTH} levels deep. Flatten it.")
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRequestError(_SURROGATE.format(name="metadata")) from None
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequestError("metadata must be a JSON object of plain values, without NaN or Infinity.") from None
    if size > MAX_METADATA:
        raise InvalidRequestError(
            f"metadata has {size:,} bytes of JSON; at most {MAX_METADATA:,}. Put long text into content instead."
        )
    return dict(values)


def name(field: str, value: str) -> str:
    """Return an identifier of the scope, or a memory id: at most 256 characters."""
    stripped = _clean(field, value).strip()
    if len(stripped) > MAX_NAME:
        raise InvalidRequestError(f"{field} has {len(stripped):,} characters; at most {MAX_NAME}.")
    return stripped


def place(field: str, value: str) -> str:
    """Return a project or agent to store under: one, not `*`."""
    if value.strip() == EVERYWHERE:
        raise InvalidRequestError(f"{field} is '*', which is for reading: name one, or leave it empty for all.")
    return name(field, value)


def memory_id(value: str) -> str:
    """Return the id of a memory."""
    stripped = name("memory_id", value)
    if not stripped:
        raise InvalidRequestError("memory_id is empty. Take one from search_memory or list_memories.")
    return stripped


def memory_ids(values: Sequence[str]) -> tuple[str, ...]:
    """Return 1 to 100 ids of memories."""
    if not 1 <= len(values) <= MAX_CONTENTS:
        raise InvalidRequestError(
            f"memory_ids has {len(values)} entries; one call takes 1 to {MAX_CONTENTS}. Nothing was deleted."
        )
    return tuple(memory_id(value) for value in values)


def fraction(field: str, value: float) -> float:
    """Return a number from 0 to 1."""
    if not 0.0 <= value <= 1.0:  # also refuses NaN
        raise InvalidRequestError(f"{field} is {value:g}; it goes from 0 to 1.")
    return value


def limit(value: int) -> int:
    """Return how many results to return: 1 to 100."""
    if not 1 <= value <= MAX_LIMIT:
        raise InvalidRequestError(f"limit is {value:,}; it goes from 1 to {MAX_LIMIT}. Page for more.")
    return value


def content_hash(text: str) -> str:
    """Return what two texts have in common if they say the same to the letter.

    Upper and lower case, kinds and amounts of white space, composed or decomposed accents and a closing full stop do
    not count.
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    words = re.sub(r"\s+", " ", folded).strip().removesuffix(".")
    return hashlib.sha256(words.encode()).hexdigest()


def _depth(value: object) -> int:
    """Return how deep lists and objects are nested, counting no further than matters."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        inner = [cast("dict[str, object]", one).values() for one in level if isinstance(one, dict)]
        inner += [cast("list[object]", one) for one in level if isinstance(one, list)]
        level = [one for values in inner for one in values]
        depth += 1
    return depth


_SURROGATE = "{name} has half of a surrogate pair, which is no character. Pass valid Unicode. Nothing was stored."


def _clean(name: str, text: str) -> str:
    """Return the text, if it can be written as UTF-8 at all."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(_SURROGATE.format(name=name)) from None
    return text
