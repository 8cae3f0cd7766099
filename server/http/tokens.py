"""The bearer tokens of a store: shown once, kept as hashes, in a file that servers read again when it changes."""

import hashlib
import hmac
import json
import os
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from store.clock import Clock
from store.durability import write_down
from store.errors import ConfigError, NotFoundError
from store.locks import ProcessLock

PREFIX = "souvenir_"
"""What each token begins with, so that a scanner finds one that was committed by mistake."""

_NUMBER_BYTES, _SECRET_BYTES = 6, 32
_NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: everything but the token itself.

    Attributes:
        number: What it is called in lists; its first part.
        user: Whose memories its bearer reaches.
        project: The one project that it is for; empty for all.
        read_only: Whether its bearer can only search and list.
        created_at: ISO 8601, UTC.
        expires_at: ISO 8601, UTC; empty for never.
        hash: SHA-256 of the whole token, in hexadecimal digits. It has 256 random bits, so that no slow hash is needed.
    """

    number: str
    user: str
    project: str
    read_only: bool
    created_at: str
    expires_at: str
    hash: str

    def is_valid_at(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return not self.expires_at or now < datetime.fromisoformat(self.expires_at)


class Tokens:
    """The tokens in a file, which need not be there.

    Args:
        file: Where they are kept. Only hashes are written to it.
        clock: The present time.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._by_number: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """Return the tokens, oldest first; expired ones are among them.

        Raises:
            ConfigError: The file can't be read, so that nobody can be let in.
        """
        return list(self._current().values())

    async def create(
        self, user: str, *, project: str = "", read_only: bool = False, lifetime: timedelta | None = None
    ) -> tuple[str, Token]:
        """Make a token, and return it: this is the only time that it is seen."""
        number = secrets.token_hex(_NUMBER_BYTES)
        text = f"{PREFIX}{number}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        now = self._clock()
        expires_at = (now + lifetime).isoformat(timespec="seconds") if lifetime else ""
        token = Token(number, user, project, read_only, now.isoformat(timespec="seconds"), expires_at, _hash(text))
        async with self._changing() as tokens:
            tokens[number] = token
        return text, token

    async def revoke(self, number: str) -> Token:
        """Remove a token; from the next request on it lets nobody in.

        Raises:
            NotFoundError: There is none of this number.
        """
        async with self._changing() as tokens:
            if number not in tokens:
                raise NotFoundError(f"There is no token {number[:40]!r}. souvenir token list shows them.")
            return tokens.pop(number)

    def verify(self, text: str) -> Token | None:
        """Return whose token this is, None if it is nobody's. It takes as long for a wrong token as for a right one.

        Raises:
            ConfigError: The file can't be read, so that nobody can be let in.
        """
        number = text.removeprefix(PREFIX).partition("_")[0]
        token = self._current().get(number)
        # All bytes are compared wherever the first difference is, and for an unknown number too.
        same = hmac.compare_digest(token.hash if token else _NO_HASH, _hash(text))
        return token if token and same and token.is_valid_at(self._clock()) else None

    def _current(self) -> dict[str, Token]:
        try:
            status = self._file.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                entries = json.loads(self._file.read_text("utf-8"))["tokens"]
                self._by_number = {entry["number"]: Token(**entry) for entry in entries}
                self._seen = seen
        except FileNotFoundError:
            self._by_number, self._seen = {}, None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"The file of tokens {self._file} can't be read: {error}. Mend it, or remove it and make new tokens."
            ) from None
        return self._by_number

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[dict[str, Token]]:
        """Yield the tokens to be changed, and write them down. Other processes wait."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            async with ProcessLock(self._file.with_name(f"{self._file.name}.lock")).held():
                tokens = dict(self._current())
                yield tokens
                self._write(list(tokens.values()))
        except OSError as error:
            raise ConfigError(f"The file of tokens {self._file} can't be written: {error.strerror or error}.") from None

    def _write(self, tokens: list[Token]) -> None:
        new = self._file.with_name(f"{self._file.name}.new")
        with open(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:  # noqa: PTH123
            json.dump({"tokens": [asdict(token) for token in tokens]}, stream, indent=1)
        for path in (new, self._file.with_name(f"{self._file.name}.lock")):
            _give_to_owner(path)
        write_down(new)
        os.replace(new, self._file)  # noqa: PTH105 - in one piece
        write_down(self._file.parent)


def _give_to_owner(path: Path) -> None:
    """Let root's work belong to whom the folder belongs to: a server that runs as another user has to read it."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
