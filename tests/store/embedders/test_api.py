"""The API embedder against a real HTTP server on loopback that speaks `/v1/embeddings`."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from store.embedders.api import ApiEmbedder
from store.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutputError,
    ProviderUnavailableError,
)
from store.models import Fingerprint

DIMENSION = 8


@dataclass
class Api:
    """A server that answers as it is told: `script` holds what the next requests get, then it works."""

    url: str = ""
    script: list[str] = field(default_factory=list[str])
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])


def embedding(text: str, dimension: int = DIMENSION) -> list[float]:
    return [3.0 * (1.0 if position == len(text) % dimension else 0.0) for position in range(dimension)]


@pytest.fixture
def api() -> Iterator[Api]:
    told = Api()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.requests.append({"path": self.path} | body)
            told.keys.append(self.headers.get("Authorization", ""))
            mode = told.script.pop(0) if told.script else "works"
            match mode:
                case "works":
                    self._answer(200, self._embeddings(body))
                case "wrong dimension":
                    self._answer(200, self._embeddings(body, DIMENSION + 1))
                case "one missing":
                    self._answer(200, {"object": "list", "data": self._embeddings(body)["data"][1:]})
                case "zeros":
                    self._answer(200, {"data": [{"index": 0, "embedding": [0.0] * DIMENSION}]})
                case "not json":
                    self._answer(200, "<html>login</html>")
                case "other json":
                    self._answer(200, {"answer": 42})
                case "hangs":
                    time.sleep(0.5)
                    self.close_connection = True
                case "cut off":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"data":')
                    self.close_connection = True
                case status:
                    self._answer(int(status), {"error": {"message": f"status {status}"}})

        def _embeddings(self, body: dict[str, Any], dimension: int = DIMENSION) -> dict[str, Any]:
            data = [
                {"object": "embedding", "index": index, "embedding": embedding(text, dimension)}
                for index, text in enumerate(body["input"])
            ]
            return {"object": "list", "model": body["model"], "data": data[::-1]}  # order is by index, not by place

        def _answer(self, status: int, body: object) -> None:
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


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
        await embedder(api, timeout=0.2).embed_documents(["a", "b"])


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
