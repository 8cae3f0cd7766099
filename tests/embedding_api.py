"""A real HTTP server on loopback that speaks `/v1/embeddings`, and fails as it is told."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSION = 8


@dataclass
class Api:
    """A server that answers as it is told: `script` holds what the next requests get, then it works."""

    url: str = ""
    script: list[str] = field(default_factory=list[str])
    always: str = "works"
    dimension: int = DIMENSION
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])


def embedding(text: str, dimension: int = DIMENSION) -> list[float]:
    return [3.0 * (1.0 if position == len(text) % dimension else 0.0) for position in range(dimension)]


@contextmanager
def served() -> Generator[Api]:
    """Serve until the block ends."""
    told = Api()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.requests.append({"path": self.path} | body)
            told.keys.append(self.headers.get("Authorization", ""))
            mode = told.script.pop(0) if told.script else told.always
            match mode:
                case "works":
                    self._answer(200, self._embeddings(body, told.dimension))
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
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
