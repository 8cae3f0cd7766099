"""From the one setting `SOUVENIR_EMBEDDER` to an embedder."""

from dataclasses import dataclass
from pathlib import Path

from store.embedders import onnx
from store.embedders.api import ApiEmbedder
from store.embedders.base import Embedder
from store.embedders.hashing import HashingEmbedder
from store.errors import ConfigError

CHOICES = "bundled, fastembed:MODEL, fastembed:/local/folder, openai:MODEL or none"


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How to reach an embedding API: see `ApiEmbedder`."""

    base_url: str = ""
    api_key: str = ""
    timeout: float = 10.0
    retries: int = 2


def choose_embedder(setting: str, api: ApiAccess) -> Embedder | None:
    """Return the embedder that the setting names, None for full text alone. Nothing is loaded yet.

    Raises:
        ConfigError: The setting is none of `CHOICES`, or names a folder that isn't there.
    """
    kind, _, model = setting.partition(":")
    match kind, model:
        case "none", "":
            return None
        case "bundled", "":
            return onnx.bundled()
        case "hashing", "":
            return HashingEmbedder()
        case "fastembed", model if model:
            return _local(model)
        case "openai", model if model:
            return ApiEmbedder(
                model, base_url=api.base_url, api_key=api.api_key, timeout=api.timeout, retries=api.retries
            )
        case _:
            raise ConfigError(f"SOUVENIR_EMBEDDER is {setting!r}; valid are {CHOICES}.")


def _local(model: str) -> Embedder:
    try:
        folder = Path(model).expanduser()
        if folder.is_dir():
            return onnx.from_folder(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such home folder, a NUL
        raise ConfigError(f"SOUVENIR_EMBEDDER names {model[:200]!r}, which is no folder: {error}.") from None
    if folder.is_absolute() or model.startswith((".", "~")):
        raise ConfigError(f"SOUVENIR_EMBEDDER names the folder {model}, which isn't there.")
    return onnx.from_hub(model)
