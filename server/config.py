"""All settings: the only reader of the environment and of the configuration file."""

import difflib
import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from store.addresses import SCHEMES
from store.durability import Durability
from store.errors import ConfigError
from store.models import EVERYWHERE
from store.search import DEFAULT_MIN_SCORE

PREFIX = "SOUVENIR_"
CONFIG_VARIABLE = "SOUVENIR_CONFIG"
KEY_VARIABLE = "OPENAI_API_KEY"

Origin = Literal["default", "environment", "configuration file"]


class Settings(BaseModel):
    """The settings. Each is the environment variable of its name in capitals behind `SOUVENIR_`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    store: Path | str = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("souvenir", appauthor=False)),
        description="Folder of the memories, created if it is not there; or `s3://bucket/path`, `gs://…`, `az://…`, "
        "`db://…`.",
    )
    storage_options: SecretStr = Field(
        SecretStr("{}"),
        description="JSON object of what LanceDB needs to reach such a store, as `endpoint`, `region` or `api_key`.",
    )
    embedder: str = Field(
        "bundled",
        description="`bundled`, `fastembed:MODEL`, `fastembed:/local/folder`, `openai:MODEL`, or `none` for "
        "full text alone.",
    )
    openai_base_url: str = Field(
        "", description="Where an OpenAI-compatible API is, for `openai:MODEL`; empty for OpenAI itself."
    )
    openai_api_key: SecretStr = Field(
        SecretStr(""), description="Key of that API; local servers want none. Read from `OPENAI_API_KEY`."
    )
    embedder_timeout: float = Field(10.0, gt=0, le=300, description="Seconds that one request to the API may take.")
    embedder_retries: int = Field(2, ge=0, le=10, description="How often a failed request to the API is repeated.")
    user: str = Field("default", min_length=1, max_length=256, description="Whose memories these are.")
    project: str = Field("", max_length=256, description="Project that calls belong to; empty for none.")
    agent: str = Field("", max_length=256, description="Agent that calls belong to; empty for none.")
    min_score: float = Field(
        DEFAULT_MIN_SCORE, ge=0, le=1, description="Hits below this score are left out of a search."
    )
    recency_half_life: float = Field(
        0.0,
        ge=0,
        le=36_500,
        description="Days after which a memory has lost half of what it can lose with age, which is three tenths of "
        "its score; 0: age does not matter.",
    )
    reranker: str = Field(
        "",
        description="`fastembed:MODEL` or `fastembed:/local/folder`: a cross-encoder that puts the best hits into a "
        "better order, slower; empty for none.",
    )
    durability: Durability = Field(
        "full",
        description="`full`: what was acknowledged survives a power cut; `fast`: the operating system writes it down "
        "when it likes. A crash of the program loses nothing with either.",
    )
    legacy: bool = Field(
        False,
        description="Serve only the handshake protocol over stdio, for clients that send `server/discover` and "
        "`initialize` both.",
    )
    public_url: str = Field(
        "",
        description="Where others reach the HTTP server, such as `https://memory.example.com`. Each call needs a "
        "credential then, wherever it listens.",
    )
    tokens: str = Field(
        "",
        description="File of the bearer tokens' hashes; empty: `tokens.json` in the store's folder, or else beside the "
        "configuration file.",
    )
    oauth_issuer: str = Field(
        "",
        description="Authorization server whose signed tokens let in, as it stands in them. Needs a public URL.",
    )
    oauth_audience: str = Field(
        "",
        description="For whom these tokens have to be made out; empty: the public URL, alone or with `/mcp` or `/sse`.",
    )
    oauth_keys: str = Field("", description="Where the issuer's keys are (JWKS); empty: where its metadata say.")
    oauth_user: str = Field("sub", min_length=1, description="Claim of these tokens that names the user.")
    stateless: bool = Field(
        False,
        description="Keep no sessions over HTTP, so that any of several servers can answer the next call of a client.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses of proxies in front of the HTTP server, such as `10.0.0.2, 10.1.0.0/16`, whose word on "
        "who calls is taken. Each call needs a credential then.",
    )
    quota_memories: int = Field(0, ge=0, description="Memories that one user may have; 0: any number.")
    quota_bytes: int = Field(
        0, ge=0, description="Bytes of text that one user may have, earlier versions included; 0: any number."
    )
    quota_calls: int = Field(0, ge=0, description="Calls over HTTP that one user may make a minute; 0: any number.")
    call_timeout: float = Field(60.0, gt=0, le=3_600, description="Seconds that one call over HTTP may take.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", description="What is logged to stderr. Memories' texts are logged at `DEBUG` at most."
    )

    @field_validator("store", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        """Take a path as a shell would, and refuse what is no path."""
        text = str(value)
        if "://" in text:
            if not text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
                raise ValueError(f"an address begins with {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
            return text.rstrip("/")
        # Absolute, because a client may start the server in any folder; and LanceDB takes "db..." for a cloud address.
        return _path(text).absolute()

    @field_validator("storage_options", mode="before")
    @classmethod
    def _options(cls, value: object) -> object:
        """Take a JSON object of names and values; a configuration file may have it as a table."""
        if isinstance(value, SecretStr):
            return value
        text = json.dumps(value) if isinstance(value, dict) else str(value)
        try:
            sound = isinstance(json.loads(text), dict)
        except ValueError:
            sound = False
        if not sound:
            raise ValueError('pass a JSON object such as {"endpoint": "https://…", "region": "eu-central-1"}')
        return text

    @field_validator("public_url", "oauth_issuer", "oauth_keys")
    @classmethod
    def _web_address(cls, value: str) -> str:
        """Take an address that clients and issuers know each other by: of HTTP, with a host, without extras."""
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and not parts.fragment and "@" not in parts.netloc
        if value and not sound:
            raise ValueError("pass an address such as https://memory.example.com")
        return value

    @field_validator("public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.path.strip("/") or parts.query:
            raise ValueError("pass scheme, host and port alone, such as https://memory.example.com")
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for one in filter(None, (part.strip() for part in value.split(","))):
            ipaddress.ip_network(one, strict=False)  # its ValueError says what is wrong
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        """Take an address of HTTP, with a host, and a port if it names one."""
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
            raise ValueError("pass an address such as http://localhost:11434/v1")
        return value

    @field_validator("project", "agent")
    @classmethod
    def _one(cls, value: str) -> str:
        """Take a name to store under."""
        if value.strip() == EVERYWHERE:
            raise ValueError("'*' is for reading; name one, or leave it empty")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def tokens_file(self) -> Path:
        """Where the bearer tokens' hashes are."""
        if self.tokens:
            return _path(self.tokens).absolute()
        if isinstance(self.store, Path):
            return self.store / "tokens.json"
        return Path(platformdirs.user_config_dir("souvenir", appauthor=False)) / "tokens.json"

    @property
    def options(self) -> dict[str, str]:
        """What LanceDB needs to reach a store that is no folder."""
        return {name: str(value) for name, value in json.loads(self.storage_options.get_secret_value()).items()}


def _path(text: str) -> Path:
    """Return a path with the home folder expanded; ValueError if it is none."""
    if "\0" in text:
        raise ValueError("a path has no NUL")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("there is no such home folder") from None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each came from, and which configuration file was looked for."""

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return KEY_VARIABLE if name == "openai_api_key" else PREFIX + name.upper()


def load(environ: Mapping[str, str] | None = None) -> Loaded:
    """Return the settings: environment before configuration file before default. Empty variables do not count.

    Args:
        environ: The environment; the process's own if None.

    Raises:
        ConfigError: A setting is wrong or unknown, or the file can't be read. One line that names the setting.
    """
    environ = os.environ if environ is None else environ
    from_environment = {
        name: environ[variable(name)] for name in Settings.model_fields if environ.get(variable(name), "").strip()
    }
    _refuse_unknown_variables(environ)
    file = _config_file(environ)
    from_file = _read(file, required=bool(environ.get(CONFIG_VARIABLE, "").strip()))
    try:
        settings = Settings.model_validate(from_file | from_environment)
    except ValidationError as error:
        raise ConfigError(_explained(error, from_environment, file)) from None
    origins: dict[str, Origin] = {
        name: "environment" if name in from_environment else "configuration file" if name in from_file else "default"
        for name in Settings.model_fields
    }
    return Loaded(settings, origins, file)


def _config_file(environ: Mapping[str, str]) -> Path:
    named = environ.get(CONFIG_VARIABLE, "").strip()
    default = Path(platformdirs.user_config_dir("souvenir", appauthor=False)) / "config.toml"
    try:
        return _path(named) if named else default
    except ValueError as error:
        raise ConfigError(f"{CONFIG_VARIABLE} is {named!r}: {error}.") from None


def _read(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{CONFIG_VARIABLE} names {file}, which isn't there.") from None
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration file {file} can't be read: {error}") from None


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """A misspelt setting must not be ignored in silence: the memories would land elsewhere than expected."""
    known = [variable(name) for name in Settings.model_fields] + [CONFIG_VARIABLE]
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1)
            hint = f" Did you mean {PREFIX}{close[0]}?" if close else " `souvenir config` lists them."
            raise ConfigError(f"{name} is no setting.{hint}")


def _explained(error: ValidationError, from_environment: Mapping[str, str], file: Path) -> str:
    details = error.errors(include_url=False)[0]
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return f"{name} in {file} is no setting. `souvenir config` lists them."
    where = variable(name) if name in from_environment else f"{name} in {file}"
    given = "not shown" if name in ("openai_api_key", "storage_options") else repr(str(details["input"])[:200])
    return f"{where} is {given}: {details['msg'].removeprefix('Value error, ')}."
