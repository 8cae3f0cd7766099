"""The optional second stage of a search: a local cross-encoder reads the question together with each of the best hits.

Slower and better than comparing vectors. It only changes the order: scores stay what they are, and mean the same with
and without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from store.embedders.onnx import translated
from store.errors import ConfigError

if TYPE_CHECKING:
    from fastembed.rerank.cross_encoder import TextCrossEncoder  # pyright: ignore[reportMissingTypeStubs]

RERANKED = 30
"""How many of the best hits are read again; a small cross-encoder takes some 5 ms for each on two cores."""

CHOICES = "fastembed:MODEL, fastembed:/local/folder, or empty"

_FILES = ("model.onnx", "onnx/model.onnx")


class Reranker(Protocol):
    """Judges how well texts answer a question. Implementations never block the event loop."""

    async def judged(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return a number for each text, higher for a better answer; of no scale of its own.

        Raises:
            ProviderError: The model can't be loaded or used.
        """
        ...


class CrossEncoder:
    """A cross-encoder of fastembed's, loaded in a worker thread by the first search that needs it.

    Args:
        model: A name of fastembed's list, which it downloads, or a folder with an ONNX model and its tokenizer.
    """

    def __init__(self, model: str | Path) -> None:
        self._model = model
        self._loading = anyio.Lock()
        self._loaded: TextCrossEncoder | None = None

    async def judged(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return a number for each text, higher for a better answer."""
        async with self._loading:
            if self._loaded is None:
                self._loaded = await anyio.to_thread.run_sync(self._load)
            loaded = self._loaded

        def judge() -> list[float]:
            with translated(f"reranker {self._model}", "used"):
                return [float(one) for one in loaded.rerank(question, list(texts))]

        return await anyio.to_thread.run_sync(judge)

    def _load(self) -> "TextCrossEncoder":
        from fastembed.common.model_description import ModelSource
        from fastembed.rerank.cross_encoder import TextCrossEncoder  # pyright: ignore[reportMissingTypeStubs]

        with translated(f"reranker {self._model}", "loaded"):
            if isinstance(self._model, str):
                return TextCrossEncoder(self._model)
            name = f"souvenir/{self._model}"
            if name.lower() not in {str(one["model"]).lower() for one in TextCrossEncoder.list_supported_models()}:
                TextCrossEncoder.add_custom_model(
                    model=name,
                    sources=ModelSource(hf=name),  # required by fastembed, never asked: the folder is given
                    model_file=next(file for file in _FILES if (self._model / file).is_file()),
                )
            folder = str(self._model)
            return TextCrossEncoder(name, specific_model_path=folder, cache_dir=folder, local_files_only=True)


def choose_reranker(setting: str) -> Reranker | None:
    """Return the reranker that the setting names, None for none. Nothing is loaded yet.

    Raises:
        ConfigError: The setting is none of `CHOICES`, or names a folder that has no model.
    """
    if not setting:
        return None
    kind, _, model = setting.partition(":")
    if kind != "fastembed" or not model:
        raise ConfigError(f"SOUVENIR_RERANKER is {setting!r}; valid are {CHOICES}.")
    try:
        folder = Path(model).expanduser()
        if folder.is_dir():
            if not any((folder / file).is_file() for file in _FILES):
                raise ConfigError(f"SOUVENIR_RERANKER names {model}, which has no {_FILES[0]}.")
            return CrossEncoder(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such home folder, a NUL
        raise ConfigError(f"SOUVENIR_RERANKER names {model[:200]!r}, which is no folder: {error}.") from None
    if folder.is_absolute() or model.startswith((".", "~")):
        raise ConfigError(f"SOUVENIR_RERANKER names the folder {model}, which isn't there.")
    return CrossEncoder(model)
