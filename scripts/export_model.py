# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "huggingface-hub>=1.4,<2",
#     "numpy>=2,<3",
#     "onnx==1.23.2",
#     "onnxruntime==1.31.1",
#     "tokenizers>=0.22,<0.23",
#     "torch==2.13.0",
#     "transformers==5.2.0",
# ]
# ///
"""Export a sentence-embedding model to the int8 ONNX folder that this project bundles.

    uv run scripts/export_model.py sentence-transformers/all-MiniLM-L6-v2 TARGET

SOURCE is a hub id or a local folder with `model.safetensors` and the tokenizer files. The graph in
TARGET/model.onnx takes `input_ids` and `attention_mask` and returns `e`, one unit vector per text:
mean pooling and normalisation are part of the graph. The weights of matrix products are stored as
int8 and the embedding tables as uint8, one scale for each tensor; activations are quantised while
the model runs. Nothing is written to TARGET before the source weights have been checked. The
dependencies are pinned because the traced graph changes with the version of transformers.
"""

import argparse
import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from huggingface_hub import snapshot_download
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedModel

WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REQUIRED_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL_FILES = ("special_tokens_map.json",)
INPUTS = ("input_ids", "attention_mask")
OPSET = 17
SENTENCES: list[str] = [
    "The meeting was moved to Thursday afternoon.",
    "They now meet on Thursday after lunch.",
    "She keeps her spare keys with the neighbour on the second floor, who is usually at home.",
    "Postgres runs on port 5433 here.",
]


class Embedder(torch.nn.Module):
    """A transformer followed by mean pooling over the real tokens and L2 normalisation."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.m = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return one unit vector for each text."""
        hidden = self.m(input_ids=input_ids, attention_mask=attention_mask)[0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, p=2.0, dim=1)


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(source: str) -> Path:
    """The local folder of SOURCE, downloaded first if it is a hub id."""
    folder = Path(source)
    if not folder.is_dir():
        patterns = [WEIGHTS, *REQUIRED_FILES, *OPTIONAL_FILES]
        folder = Path(snapshot_download(source, allow_patterns=patterns))
    missing = [name for name in (WEIGHTS, *REQUIRED_FILES) if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"{source} has no {', '.join(missing)}")
    return folder


def export_float(folder: Path, target: Path) -> None:
    """Write the model in FOLDER, with pooling and normalisation, as a float32 ONNX graph."""
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32, attn_implementation="eager")
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    torch.onnx.export(
        Embedder(model).eval(),
        (ids, mask),
        str(target),
        input_names=list(INPUTS),
        output_names=["e"],
        dynamic_axes={name: {0: "b", 1: "s"} for name in INPUTS} | {"e": {0: "b"}},
        opset_version=OPSET,
        dynamo=False,
    )


def embed(model: Path, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """The vectors of TEXTS, one row each, computed as one padded batch."""
    batch = tokenizer.encode_batch(texts)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    rows = ([row.ids for row in batch], [row.attention_mask for row in batch])
    feed = {name: np.array(row, dtype=np.int64) for name, row in zip(INPUTS, rows, strict=True)}
    return np.asarray(session.run(["e"], feed)[0])


def main() -> None:
    """Check the source, export, quantise, copy the tokenizer, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="hub id or local folder")
    parser.add_argument("target", type=Path, help="folder to write (created if missing)")
    parser.add_argument("--any-source", action="store_true", help="accept any weights")
    args = parser.parse_args()

    folder = fetch(args.source)
    digest = sha256(folder / WEIGHTS)
    if digest != WEIGHTS_SHA256 and not args.any_source:
        raise SystemExit(
            f"{WEIGHTS} has sha256 {digest}, expected {WEIGHTS_SHA256}; pass --any-source to export it all the same"
        )
    if args.target.resolve() == folder.resolve():
        raise SystemExit("TARGET must not be the source folder")
    args.target.mkdir(parents=True, exist_ok=True)
    quantised = args.target / "model.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "float.onnx"
        export_float(folder, plain)
        quantize_dynamic(plain, quantised, weight_type=QuantType.QInt8)
        onnx.checker.check_model(str(quantised))
        for name in (*REQUIRED_FILES, *OPTIONAL_FILES):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, args.target / name)

        tokenizer = Tokenizer.from_file(str(args.target / "tokenizer.json"))
        tokenizer.enable_padding(**{**(tokenizer.padding or {}), "length": None})
        vectors = [embed(path, tokenizer, SENTENCES) for path in (plain, quantised)]
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    for text, cosine in zip(SENTENCES, cosines, strict=True):
        print(f"cosine of int8 and float {cosine:.4f}  {text}")
    for path in sorted(args.target.iterdir()):
        print(f"{sha256(path)}  {path.name}")


if __name__ == "__main__":
    main()
