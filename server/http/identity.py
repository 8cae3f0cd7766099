"""Who is calling over HTTP: the credential of a request, and what it lets its bearer reach."""

import json
import logging
from urllib.parse import urlsplit

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend
from mcp.server.auth.provider import AccessToken
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from server.app import current_request, source_of_request
from server.http.allowance import Allowance
from server.http.oauth import READ, WRITE, Issuer
from server.http.tokens import PREFIX, Tokens
from store.errors import SouvenirError
from store.models import Scope
from tools.callers import Caller

logger = logging.getLogger(__name__)


class Credentials:
    """Tells whose credential a request carries: a bearer token of ours, or one that an OAuth issuer signed.

    Args:
        tokens: Those of the store.
        issuer: Whose signed tokens count too; None for nobody's.
    """

    def __init__(self, tokens: Tokens, issuer: Issuer | None = None) -> None:
        self._tokens = tokens
        self._issuer = issuer

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what a token lets its bearer do, None if it is nobody's, has expired or was revoked.

        Raises:
            SouvenirError: It can't be told now.
        """
        if not token.startswith(PREFIX):
            return await self._issuer.verify(token) if self._issuer else None
        known = self._tokens.verify(token)
        if known is None:
            return None
        scopes = [READ] if known.read_only else [READ, WRITE]
        claims = {"project": known.project}
        return AccessToken(token="", client_id=known.number, scopes=scopes, subject=known.user, claims=claims)


class Guard:
    """Lets in who has a credential; where none is required, also who carries none.

    Args:
        app: What is guarded.
        credentials: Tells whose credential it is.
        required: Whether a request without one is refused.
        resource: The address by which clients know what is guarded; empty where no issuer's tokens count.
        openings: How often each user may open a session; None where there are none.
    """

    def __init__(
        self,
        app: ASGIApp,
        credentials: Credentials,
        *,
        required: bool,
        resource: str = "",
        openings: Allowance | None = None,
    ) -> None:
        self._app = app
        self._openings = openings
        self._backend = BearerAuthBackend(credentials)
        self._required = required
        self._metadata = f', resource_metadata="{metadata_address(resource)}"' if resource else ""

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._refusal(scope) if scope["type"] == "http" else None
        await (response or self._app)(scope, receive, send)

    async def _refusal(self, scope: Connection) -> Response | None:
        connection = HTTPConnection(scope)
        if "authorization" not in connection.headers:
            return self._refused(401, "", "Pass a credential: Authorization: Bearer …") if self._required else None
        try:
            authenticated = await self._backend.authenticate(connection)
        except SouvenirError as error:
            logger.warning("%s", error)
            return _answer(503, "temporarily_unavailable", "Credentials can't be checked now. Try again.")
        if authenticated is None:
            return self._refused(401, "invalid_token", "The credential is unknown, expired or revoked.")
        scopes, user = authenticated
        if READ not in scopes.scopes:
            return self._refused(403, "insufficient_scope", f"The credential lacks the scope {READ}.")
        scope["user"], scope["auth"] = user, scopes
        if self._openings and _opens_session(connection):
            wait = self._openings.wait(user.access_token.subject or "")
            if wait:
                return _answer(429, "too_many_sessions", f"Too many new sessions. Try again in {wait:.0f} seconds.")
        return None

    def _refused(self, status: int, error: str, description: str) -> Response:
        said = f'error="{error}", error_description="{description}", ' if error else ""
        challenge = f'Bearer {said}scope="{READ} {WRITE}"{self._metadata}'
        return _answer(status, error or "unauthorized", description, challenge)


def _opens_session(connection: HTTPConnection) -> bool:
    """Whether a request would open a session of the handshake protocol, which lasts for half an hour."""
    revision = connection.headers.get("mcp-protocol-version", "")
    return "mcp-session-id" not in connection.headers and revision in ("", *HANDSHAKE_PROTOCOL_VERSIONS)


def _answer(status: int, error: str, description: str, challenge: str = "") -> Response:
    return Response(
        json.dumps({"error": error, "error_description": description}, ensure_ascii=False),
        status_code=status,
        media_type="application/json",
        headers={"WWW-Authenticate": challenge} if challenge else None,
    )


def metadata_address(resource: str) -> str:
    """Return where the metadata of a protected resource is (RFC 9728, section 3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"


def http_caller(defaults: Scope) -> Caller:
    """Return who sent the request being served: whom the credential names, or without one the configured user."""
    token = access_token()
    source = source_of_request("http")
    if token is None:
        return Caller(defaults, source)
    project = str((token.claims or {}).get("project") or "")
    return Caller(
        Scope(token.subject or "", project or defaults.project, defaults.agent_id),
        source,
        user_is_fixed=True,
        project_is_fixed=bool(project),
    )


def access_token() -> AccessToken | None:
    """Return what the credential of the request being served says, None if it carries none."""
    request = current_request().request
    user = request.scope.get("user") if request is not None else None
    return user.access_token if isinstance(user, AuthenticatedUser) else None
