from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.models import MEMORY_TYPES, Fingerprint, Memory, Source
from store.schema import (
    COLUMNS,
    SCHEMA_VERSION,
    canonical_json,
    dimension,
    fingerprint,
    fingerprint_metadata,
    from_arrow,
    schema_version,
    search_text,
    table_schema,
    to_arrow,
    vector_field,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
memories = st.builds(
    Memory,
    memory_id=texts,
    version=st.integers(1, 2**31 - 1),
    content=texts,
    content_hash=texts,
    user_id=texts,
    created_at=times,
    updated_at=times,
    type=st.sampled_from(MEMORY_TYPES),
    tags=st.lists(texts, max_size=4).map(tuple),
    metadata=st.dictionaries(texts, json_values, max_size=4),
    project=texts,
    agent_id=texts,
    run_id=texts,
    source=st.builds(Source, texts, texts, texts, st.sampled_from(["user", "agent", "import", "extraction"])),
    importance=st.integers(0, 100).map(lambda percent: percent / 100),
    confidence=st.integers(0, 100).map(lambda percent: percent / 100),
    pinned=st.booleans(),
    occurred_at=st.none() | times,
    superseded_at=st.none() | times,
    deleted_at=st.none() | times,
    deleted_reason=texts,
    expires_at=st.none() | times,
)


@given(st.lists(memories, max_size=3))
def test_a_memory_comes_back_from_arrow_as_it_went_in(given_memories: list[Memory]) -> None:
    assert from_arrow(to_arrow(given_memories, table_schema())) == given_memories


def test_the_schema_has_every_column_of_the_design_and_its_version() -> None:
    schema = table_schema()
    assert schema_version(schema) == SCHEMA_VERSION
    assert set(schema.names) - set(COLUMNS) == {"vector", "search_text", "live_scope", "card", "metadata_pairs"}
    assert {
        "row_id", "memory_id", "version", "content", "type", "tags", "metadata", "user_id", "agent_id", "run_id",
        "project", "source", "importance", "confidence", "pinned", "occurred_at", "created_at", "updated_at",
        "superseded_at", "deleted_at", "deleted_reason", "expires_at", "content_hash", "vector",
    } <= set(schema.names)  # fmt: skip


def test_a_new_table_holds_vectors_of_no_model_and_says_whose_once_told() -> None:
    schema = table_schema()
    assert fingerprint(schema) is None
    model = Fingerprint("openai", "text-embedding-3-small", 1536)
    told = pa.schema([pa.field("vector", vector_field(1536).type, metadata={**fingerprint_metadata(model)})])
    assert fingerprint(told) == model
    assert dimension(told) == 1536


def test_a_schema_of_something_else_has_no_version() -> None:
    assert schema_version(table_schema().remove_metadata()) is None


@pytest.mark.parametrize(("first", "second"), [({"b": 1, "a": [2]}, {"a": [2], "b": 1})])
def test_canonical_json_does_not_depend_on_order(first: dict[str, object], second: dict[str, object]) -> None:
    assert canonical_json(first) == canonical_json(second) == '{"a":[2],"b":1}'


def test_the_date_of_the_event_can_be_searched_in_words() -> None:
    stored = datetime(2026, 1, 2, tzinfo=UTC)
    memory = Memory(
        memory_id="1", version=1, content="Went hiking", content_hash="", user_id="alice", tags=("sport",),
        created_at=stored, updated_at=stored, occurred_at=datetime(2023, 5, 8, tzinfo=UTC),
    )  # fmt: skip
    assert search_text(memory) == "Went hiking\nsport\n2023-05-08 Monday 8 May 2023"
