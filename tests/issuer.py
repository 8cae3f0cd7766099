"""A small authorization server on loopback: it publishes its keys, and signs what tests ask for."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


@dataclass
class LocalIssuer:
    """What it publishes, and what it was asked for."""

    address: str = ""
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: {"first": ec.generate_private_key(ec.SECP256R1())}
    )
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: list[str] = field(default_factory=list[str])
    answers: bool = True
    pause: float = 0.0

    def token(self, *, kid: str = "first", key: Any = None, **claims: Any) -> str:
        """Return a signed token; claims that are None are left out."""
        now = int(time.time())
        usual = {"iss": self.address, "sub": "alice", "aud": "", "iat": now, "exp": now + 300, "scope": "memory:read"}
        given = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(given, key or self.keys[kid], algorithm="ES256", headers={"kid": kid})

    def published(self) -> dict[str, Any]:
        keys = [
            json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return {"keys": [*keys, {"kty": "something new", "kid": "unknown"}]}


@contextmanager
def issuing(path: str = "") -> Generator[LocalIssuer]:
    """Run an issuer whose address ends with `path`."""
    issuer = LocalIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            time.sleep(issuer.pause)
            pages = {"/keys": issuer.published(), f"/.well-known/oauth-authorization-server{path}": issuer.metadata}
            found = pages.get(self.path) if issuer.answers else None
            body = json.dumps(found).encode()
            self.send_response(200 if found is not None else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    origin = f"http://127.0.0.1:{server.server_port}"
    issuer.address = f"{origin}{path}"
    issuer.metadata = {"issuer": issuer.address, "jwks_uri": f"{origin}/keys"}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
