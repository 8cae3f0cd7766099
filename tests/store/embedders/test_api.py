"""The API embedder against a real HTTP server on loopback that speaks `/v1/embeddings`."""

from collections.abc import Iterator

import pytest

from store.embedders.api import ApiEmbedder
from store.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutputError,
    ProviderUnavailableError,
)
from store.models import Fingerprint
from tests.embedding_api import DIMENSION, Api, embedding, served


@pytest.fixture
def api() -> Iterator[Api]:
    with served() as told:
        yield told


def embedder(api: Api, *, api_key: str = "secret", timeout: float = 5.0, retries: int = 0) -> ApiEmbedder:
    return ApiEmbedder("small", base_url=api.url, api_key=api_key, timeout=timeout, retries=retries)


async def test_documents_come_back_in_order_and_of_length_one(api: Api) -> None:
    vectors = await embedder(api).embed_documents(["a", "bb", "ccc"])
    assert vectors == [[value / 3 for value in embedding(text)] for text in ("a", "bb", "ccc")]
    assert api.requests == [
        {"path": "/v1/embeddings", "model": "small", "input": ["a", "bb", "ccc"], "encoding_format": "float"}
    ]
    assert api.keys == ["Bearer secret"]


async def test_many_documents_are_asked_for_in_batches(api: Api) -> None:
    vectors = await embedder(api).embed_documents([str(number) for number in range(300)])
    assert len(vectors) == 300
    assert [len(request["input"]) for request in api.requests] == [128, 128, 44]


async def test_nothing_to_embed_asks_nothing(api: Api) -> None:
    assert await embedder(api).embed_documents([]) == []
    assert api.requests == []


async def test_the_fingerprint_learns_the_dimension_from_one_request(api: Api) -> None:
    asked = embedder(api)
    assert await asked.fingerprint() == await asked.fingerprint() == Fingerprint("openai", "small", DIMENSION)
    assert len(api.requests) == 1


async def test_a_server_that_wants_no_key_is_served_without_one(api: Api) -> None:
    assert len(await embedder(api, api_key="").embed_query("a")) == DIMENSION


@pytest.mark.parametrize(
    ("mode", "kind", "text"),
    [
        ("401", ProviderAuthError, r"openai:small refused the key \(HTTP 401\). Set OPENAI_API_KEY to a valid one."),
        ("403", ProviderAuthError, r"HTTP 403"),
        ("429", ProviderUnavailableError, r"openai:small answered with HTTP 429."),
        ("500", ProviderUnavailableError, r"openai:small answered with HTTP 500."),
        ("400", ProviderOutputError, r"openai:small does not take this text \(HTTP 400\)."),
        ("404", ProviderUnavailableError, r"openai:small answered with HTTP 404."),
        ("hangs", ProviderUnavailableError, r"openai:small did not answer in time."),
        ("cut off", ProviderUnavailableError, r"openai:small can't be reached"),
        ("one missing", ProviderOutputError, r"openai:small returned 1 embeddings for 2 texts."),
        ("not json", ProviderOutputError, r"openai:small answered with something that is no list of embeddings."),
        ("other json", ProviderOutputError, r"openai:small answered with something that is no list of embeddings."),
    ],
)
async def test_each_failure_is_an_error_that_says_what_is_wrong(
    api: Api, mode: str, kind: type[ProviderError], text: str
) -> None:
    api.script = [mode]
    with pytest.raises(kind, match=text):
        await embedder(api, timeout=0.2 if mode == "hangs" else 30).embed_documents(["a", "b"])


async def test_a_vector_without_direction_is_refused(api: Api) -> None:
    api.script = ["zeros"]
    with pytest.raises(ProviderOutputError, match="has no direction"):
        await embedder(api).embed_query("a")


async def test_another_dimension_than_before_is_refused(api: Api) -> None:
    asked = embedder(api)
    await asked.fingerprint()
    api.script = ["wrong dimension"]
    with pytest.raises(ProviderOutputError, match="an embedding of 9 dimensions where 8 were expected"):
        await asked.embed_query("a")


@pytest.mark.parametrize("mode", ["429", "500", "503"])
async def test_a_passing_failure_is_tried_again(api: Api, mode: str) -> None:
    api.script = [mode, mode]
    assert len(await embedder(api, retries=2).embed_query("a")) == DIMENSION
    assert len(api.requests) == 3


async def test_a_refused_key_is_not_tried_again(api: Api) -> None:
    api.script = ["401"]
    with pytest.raises(ProviderAuthError):
        await embedder(api, retries=2).embed_query("a")
    assert len(api.requests) == 1


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    nowhere = ApiEmbedder("small", base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(ProviderUnavailableError, match="Is the server running"):
        await nowhere.embed_query("a")
