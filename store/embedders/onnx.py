"""Embedding models that run in this process: the bundled one, any that fastembed knows, any local folder."""

import hashlib
import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from store.embedders.calibration import PROBES, cosine_range
from store.embedders.folder import ModelFolder, inspect
from store.errors import ProviderUnavailableError
from store.models import Fingerprint, Vector

if TYPE_CHECKING:
    from fastembed import TextEmbedding

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
BUNDLED_NAME = "all-MiniLM-L6-v2-int8"
BUNDLED_TOKENS = 256
"""What the model was trained with; its tokenizer would let 512 through."""

BUNDLED_RANGE = (0.1, 0.8)
"""Chosen on LoCoMo (benchmarks/retrieval.py), and what `store.embedders.calibration` finds, within 0.02."""

_BATCH = 32  # texts a run; larger batches pad short texts to long ones (900 texts a second at 32, measured)


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: "TextEmbedding"
    fingerprint: Fingerprint


class OnnxEmbedder:
    """A model of fastembed's, loaded in a worker thread when it is first needed."""

    def __init__(
        self,
        name: str,
        load: Callable[[], "tuple[TextEmbedding, str]"],
        cosine_range: tuple[float, float] | None = None,
    ) -> None:
        self._name = name
        self._cosine_range = cosine_range
        self._load = load
        self._loading = anyio.Lock()
        self._loaded: _Loaded | None = None

    @property
    def name(self) -> str:
        """The setting that chose this model."""
        return self._name

    async def fingerprint(self) -> Fingerprint:
        """Return which model this is, loading it the first time.

        Raises:
            ProviderError: The model's files are missing or can't be loaded.
        """
        return (await self._ready()).fingerprint

    async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, normalised to length 1."""
        if not texts:
            return []
        model = (await self._ready()).model

        def embed() -> list[Vector]:
            with translated(f"embedder {self._name}", "used"):
                return [vector.tolist() for vector in model.passage_embed(list(texts), batch_size=_BATCH)]

        return await anyio.to_thread.run_sync(embed)

    async def embed_query(self, text: str) -> Vector:
        """Return the vector of a question, normalised to length 1."""
        model = (await self._ready()).model

        def embed() -> Vector:
            with translated(f"embedder {self._name}", "used"):
                return next(iter(model.query_embed(text))).tolist()

        return await anyio.to_thread.run_sync(embed)

    async def _ready(self) -> _Loaded:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await anyio.to_thread.run_sync(self._load_now)
            return self._loaded

    def _load_now(self) -> _Loaded:
        with translated(f"embedder {self._name}", "loaded"):
            model, identity = self._load()
            if self._cosine_range:
                dimension = len(next(iter(model.query_embed("dimension"))))
                return _Loaded(model, Fingerprint("fastembed", identity, dimension, cosine_range=self._cosine_range))
            vectors = [vector.tolist() for vector in model.passage_embed(list(PROBES), batch_size=_BATCH)]
        return _Loaded(model, Fingerprint("fastembed", identity, len(vectors[0]), cosine_range=cosine_range(vectors)))


def bundled() -> OnnxEmbedder:
    """Return the model that comes with Souvenir: English, 384 dimensions, the first 256 tokens of a text."""

    def load() -> "tuple[TextEmbedding, str]":
        from fastembed.common.model_description import PoolingType

        known = ModelFolder("model.onnx", "e", 384, PoolingType.DISABLED, BUNDLED_TOKENS)
        # One thread: a small model gains little from more, and onnxruntime's idle threads spin, which slows down the
        # search that runs beside and after it (benchmarks/latency.py: a tenth of the whole call).
        return _from_folder(BUNDLED_FOLDER, known, threads=1), BUNDLED_NAME

    return OnnxEmbedder("bundled", load, BUNDLED_RANGE)


def from_hub(model: str) -> OnnxEmbedder:
    """Return a model of fastembed's list by its name; fastembed downloads it when it is first used."""

    def load() -> "tuple[TextEmbedding, str]":
        from fastembed import TextEmbedding

        return TextEmbedding(model), model

    return OnnxEmbedder(f"fastembed:{model}", load)


def from_folder(folder: Path) -> OnnxEmbedder:
    """Return the ONNX model in a local folder, see `store.embedders.folder`."""

    def load() -> "tuple[TextEmbedding, str]":
        found = inspect(folder)
        return _from_folder(folder, found), f"{folder.name}@{_digest(folder / found.file)}"

    return OnnxEmbedder(f"fastembed:{folder}", load)


def _from_folder(folder: Path, found: ModelFolder, threads: int | None = None) -> "TextEmbedding":
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource

    name = f"souvenir/{folder.resolve()}"
    if name.lower() not in {str(model["model"]).lower() for model in TextEmbedding.list_supported_models()}:
        TextEmbedding.add_custom_model(
            model=name,
            pooling=found.pooling,
            normalization=True,
            sources=ModelSource(hf=name),  # required by fastembed, never asked: the folder is given
            dim=found.dimension,
            model_file=found.file,
            output_name=found.output,
        )
    # fastembed creates its cache folder even where nothing is downloaded: it may as well be the model's own.
    model = TextEmbedding(
        name, specific_model_path=str(folder), cache_dir=str(folder), local_files_only=True, threads=threads
    )
    if found.max_tokens:
        tokenizer: Any = getattr(model.model, "tokenizer")  # noqa: B009 - an attribute of all ONNX models, not typed
        tokenizer.enable_truncation(found.max_tokens)
    return model


@contextmanager
def translated(name: str, task: str) -> Generator[None]:
    """Turn what fastembed and onnxruntime raise into our errors: the only seam to them. `name` is what failed.

    fastembed raises builtin errors for absent and broken files, onnxruntime its own, which have no base in common.
    """
    module = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Exception)]
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, *own) as error:
        raise ProviderUnavailableError(f"The {name} can't be {task}: {error}") from error


def _digest(file: Path) -> str:
    """Return 12 hexadecimal digits of the file's SHA-256: two models of one folder name are told apart."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
