"""OAuth 2.1 as a resource server: tokens that an issuer has signed, checked against the keys that it publishes."""

import http.client
import json
import logging
import time
import urllib.request
from collections.abc import Sequence
from typing import Any, cast

import anyio
import anyio.to_thread
import jwt
from mcp.server.auth.provider import AccessToken

from store.errors import InvalidRequestError, ProviderError, ProviderOutputError, ProviderUnavailableError
from tools import guards

logger = logging.getLogger(__name__)

READ, WRITE = "memory:read", "memory:write"
"""The scopes of a credential: to search and list; to add, change and delete as well."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a private key. One with a shared secret would let us be fooled by our own public keys."""

LEEWAY = 30
"""Seconds that the issuer's clock and ours may differ."""

KEYS_LIVE, KEYS_REST = 600.0, 30.0
"""Seconds after which keys are read again; and for which they are not, whatever key a token names, and however the
issuer answered."""

REQUEST_SECONDS = 10.0
MOST_BYTES = 1_000_000


class Issuer:
    """An authorization server, and whom its tokens let in here.

    Args:
        address: The issuer, exactly as it stands in its tokens.
        audiences: For whom a token may be made out: addresses of this server.
        keys: Where the issuer's keys are (JWKS); empty to ask its metadata.
        user_claim: Which claim of a token names the user.
    """

    def __init__(self, address: str, audiences: Sequence[str], *, keys: str = "", user_claim: str = "sub") -> None:
        self._address = address
        self._audiences = list(audiences)
        self._keys_address = keys
        self._user_claim = user_claim
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = self._asked_at = float("-inf")
        self._reading = anyio.Lock()

    async def verify(self, token: str) -> AccessToken | None:
        """Return what a token lets its bearer do; None if it is not the issuer's, not for us, or not valid now.

        Raises:
            ProviderError: The issuer's keys can't be read.
        """
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            if key is None or header.get("alg") not in ALGORITHMS:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audiences,
                issuer=self._address,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", self._user_claim]},
            )
        except (jwt.PyJWTError, ValueError) as error:  # ValueError: it is no text of a token at all
            logger.info("A token of %s was refused: %s", self._address, error)
            return None
        user = claims[self._user_claim]
        if not _can_be_a_user(user):
            logger.warning("A token of %s was refused: its %s can't name a user.", self._address, self._user_claim)
            return None
        client = str(claims.get("azp") or claims.get("client_id") or "")
        return AccessToken(
            token="",
            client_id=client or user,
            scopes=_scopes(claims),
            expires_at=int(claims["exp"]) + LEEWAY,
            subject=user,
            claims={"iss": self._address},
        )

    async def _key(self, name: str) -> jwt.PyJWK | None:
        fresh = time.monotonic() - self._read_at <= KEYS_LIVE
        if name in self._keys and (fresh or self._reading.locked()):
            return self._keys[name]  # without waiting for whoever asks the issuer just now
        async with self._reading:
            now = time.monotonic()
            outdated = now - self._read_at > KEYS_LIVE or name not in self._keys
            if outdated and now - self._asked_at > KEYS_REST:
                self._asked_at = now
                try:
                    self._keys = await anyio.to_thread.run_sync(self._published_keys)
                    self._read_at = now
                except ProviderError as error:
                    if not self._keys:
                        raise
                    logger.warning("The keys of %s are those of before: %s", self._address, error)
            if not self._keys:
                raise ProviderUnavailableError(f"The keys of {self._address} could not be read a moment ago.")
        if not name and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    def _published_keys(self) -> dict[str, jwt.PyJWK]:
        if not self._keys_address:
            self._keys_address = self._discovered()
        keys: dict[str, jwt.PyJWK] = {}
        published = _fetched(self._keys_address).get("keys")
        for entry in cast("list[Any]", published) if isinstance(published, list) else []:
            try:
                keys[str(entry.get("kid", ""))] = jwt.PyJWK(entry)
            except (
                jwt.PyJWTError,
                AttributeError,
                TypeError,
                ValueError,
            ):  # of a kind that is not for signatures, or that is not known here
                continue
        if not keys:
            raise ProviderOutputError(f"{self._keys_address} has no keys to check signatures with.")
        return keys

    def _discovered(self) -> str:
        """Return where the keys are, by the issuer's metadata (RFC 8414, or OpenID Connect Discovery)."""
        base, _, path = self._address.removesuffix("/").partition("://")
        host, _, path = path.partition("/")
        path = f"/{path}" if path else ""
        candidates = (
            f"{base}://{host}/.well-known/oauth-authorization-server{path}",
            f"{base}://{host}{path}/.well-known/openid-configuration",
        )
        problems: list[str] = []
        for address in candidates:
            try:
                metadata = _fetched(address)
            except (ProviderUnavailableError, ProviderOutputError) as error:
                problems.append(str(error))
                continue
            if metadata.get("issuer") != self._address:
                raise ProviderOutputError(
                    f"{address} is of the issuer {metadata.get('issuer')!r}; SOUVENIR_OAUTH_ISSUER has to be the same "
                    "to the letter."
                )
            if keys := metadata.get("jwks_uri"):
                return str(keys)
        raise ProviderUnavailableError(f"The metadata of {self._address} can't be read: {' '.join(problems)}")


def _fetched(address: str) -> dict[str, Any]:
    if not address.startswith(("https://", "http://")):
        raise ProviderOutputError(f"{address[:200]!r} is no address to read keys from.")
    try:
        with urllib.request.urlopen(address, timeout=REQUEST_SECONDS) as answer:  # noqa: S310 - of HTTP, see above
            found = json.loads(answer.read(MOST_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise ProviderUnavailableError(f"{address} does not answer: {error}.") from None
    except ValueError:
        raise ProviderOutputError(f"{address} does not answer with JSON.") from None
    if not isinstance(found, dict):
        raise ProviderOutputError(f"{address} does not answer with a JSON object.")
    return found  # pyright: ignore[reportUnknownVariableType] - JSON


def _scopes(claims: dict[str, Any]) -> list[str]:
    """Return the scopes of a token: `scope` of RFC 9068, or `scp` as some issuers have it."""
    given = claims.get("scope", claims.get("scp", ""))
    return given.split() if isinstance(given, str) else [str(one) for one in given] if isinstance(given, list) else []  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType] - JSON


def _can_be_a_user(name: object) -> bool:
    """Whether a claim names a user to the letter: one that had to be cleaned could be taken for another user."""
    try:
        return isinstance(name, str) and bool(name) and guards.name("user_id", name) == name
    except InvalidRequestError:
        return False
