"""What an ONNX model in a local folder is like: its file, its output, its pooling, its length limit.

The files and keys are those that sentence-transformers and its ONNX exporters write.
"""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import ProviderOutputError, ProviderUnavailableError

if TYPE_CHECKING:
    from fastembed.common.model_description import PoolingType

MODEL_FILES = ("model.onnx", "onnx/model.onnx", "model_optimized.onnx", "model_quantized.onnx")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_POOLED_OUTPUTS = ("sentence_embedding", "e")
_TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """How to load the model of a folder. `max_tokens` is None where the folder does not say."""

    file: str
    output: str
    dimension: int
    pooling: "PoolingType"
    max_tokens: int | None


def inspect(folder: Path) -> ModelFolder:
    """Return what the files in a folder say of the model.

    Raises:
        ProviderUnavailableError: A file is missing.
        ProviderOutputError: It is no model that makes one vector from a text.
    """
    file = _model_file(folder)
    outputs = _outputs(folder / file)
    output = next((name for name in (*_POOLED_OUTPUTS, *_TOKEN_OUTPUTS) if name in outputs), next(iter(outputs)))
    shape = outputs[output]
    dimension = shape[-1] if isinstance(shape[-1], int) else _json(folder / "config.json").get("hidden_size")
    if not isinstance(dimension, int):
        raise ProviderOutputError(f"{folder / file} does not say how many dimensions its vectors have.")
    return ModelFolder(
        file,
        output,
        dimension,
        pooling=_pooling(folder, rank=len(shape)),
        max_tokens=_json(folder / "sentence_bert_config.json").get("max_seq_length"),
    )


def _model_file(folder: Path) -> str:
    missing = [name for name in TOKENIZER_FILES if not (folder / name).is_file()]
    found = [name for name in MODEL_FILES if (folder / name).is_file()]
    if not found:
        missing.insert(0, MODEL_FILES[0])
    if missing:
        raise ProviderUnavailableError(f"The folder {folder} has no {' and no '.join(missing)}.")
    return found[0]


def _outputs(model: Path) -> dict[str, list[Any]]:
    """Return the shape of each output; axes that vary are names instead of numbers."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # it has no types
    options = onnxruntime.SessionOptions()
    # The model is only looked at here, never run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    unknown: set[str] = {entry.name for entry in session.get_inputs()} - _INPUTS
    if unknown:
        raise ProviderOutputError(f"{model} wants inputs that a text does not have: {', '.join(sorted(unknown))}.")
    return {entry.name: list(entry.shape) for entry in session.get_outputs()}


def _pooling(folder: Path, rank: int) -> "PoolingType":
    """Return how the vectors of tokens become one: inside the graph, as the folder says, or else their mean."""
    from fastembed.common.model_description import PoolingType

    if rank == 2:
        return PoolingType.DISABLED
    config = _json(folder / "1_Pooling" / "config.json")
    mode = config.get("pooling_mode", "mean")  # newer files name the mode, older ones have a flag for each
    if mode == "cls" or config.get("pooling_mode_cls_token"):
        return PoolingType.CLS
    if mode == "lasttoken" or config.get("pooling_mode_lasttoken"):
        return PoolingType.LAST_TOKEN
    if mode == "mean" and config.get("pooling_mode_mean_tokens", True):
        return PoolingType.MEAN
    raise ProviderOutputError(f"The model in {folder} pools its tokens in a way that is not supported.")


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
