import hashlib
import json
import shutil
from pathlib import Path

import pytest

from store.embedders.folder import inspect
from store.embedders.onnx import BUNDLED_FOLDER, bundled, from_folder
from store.errors import ProviderUnavailableError
from store.models import Fingerprint, Vector


def cosine(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_the_bundled_model_puts_a_paraphrase_next_to_its_meaning() -> None:
    embedder = bundled()
    tea, dog = await embedder.embed_documents(["Anna drinks tea every morning", "The dog is a border collie"])
    question = await embedder.embed_query("What beverage does she have at breakfast?")
    assert cosine(question, tea) > cosine(question, dog) + 0.1
    assert await embedder.fingerprint() == Fingerprint("fastembed", "all-MiniLM-L6-v2-int8", 384)


async def test_vectors_have_length_one_and_a_query_is_embedded_like_a_document() -> None:
    embedder = bundled()
    [document] = await embedder.embed_documents(["green tea"])
    query = await embedder.embed_query("green tea")
    assert cosine(document, document) == pytest.approx(1.0, abs=1e-5)
    assert cosine(document, query) == pytest.approx(1.0, abs=1e-5)


async def test_only_the_first_256_tokens_count() -> None:
    embedder = bundled()
    long = "tea " * 300
    [one, other] = await embedder.embed_documents([long, long + "and the dog is a border collie"])
    assert cosine(one, other) == pytest.approx(1.0, abs=1e-5)


async def test_a_batch_gives_what_single_texts_give() -> None:
    embedder = bundled()
    texts = [f"fact number {number}" for number in range(40)]
    together = await embedder.embed_documents(texts)
    for text, vector in zip(texts, together, strict=True):
        assert cosine(vector, (await embedder.embed_documents([text]))[0]) == pytest.approx(1.0, abs=0.02)


def test_the_bundled_files_are_the_ones_that_the_readme_names() -> None:
    readme = (BUNDLED_FOLDER / "README.md").read_text("utf-8")
    for file in ("model.onnx", "tokenizer.json"):
        assert f"| `{file}` | `{hashlib.sha256((BUNDLED_FOLDER / file).read_bytes()).hexdigest()}` |" in readme


@pytest.fixture
def local_model(tmp_path: Path) -> Path:
    """A local model folder in another layout: the ONNX file in a folder of its own, and a shorter limit."""
    folder = tmp_path / "my-model"
    shutil.copytree(BUNDLED_FOLDER, folder)
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16}))
    return folder


async def test_a_local_folder_is_loaded_without_a_download(local_model: Path) -> None:
    embedder = from_folder(local_model)
    [own] = await embedder.embed_documents(["green tea"])
    [expected] = await bundled().embed_documents(["green tea"])
    assert cosine(own, expected) == pytest.approx(1.0, abs=1e-5)
    assert (await embedder.fingerprint()).model == "my-model@19dc9e84437d"


async def test_the_length_limit_of_a_local_folder_holds(local_model: Path) -> None:
    [one, other] = await from_folder(local_model).embed_documents(["tea " * 20, "tea " * 20 + "dogs"])
    assert cosine(one, other) == pytest.approx(1.0, abs=1e-5)


def test_a_folder_says_how_its_model_is_to_be_loaded(local_model: Path) -> None:
    found = inspect(local_model)
    assert (found.file, found.output, found.dimension, found.pooling, found.max_tokens) == (
        "onnx/model.onnx",
        "e",
        384,
        "DISABLED",
        16,
    )


async def test_a_folder_without_a_model_names_the_missing_files(tmp_path: Path) -> None:
    with pytest.raises(
        ProviderUnavailableError, match=r"has no model.onnx and no tokenizer.json and no tokenizer_conf"
    ):
        await from_folder(tmp_path).embed_query("a")


async def test_a_broken_model_file_is_a_provider_error(local_model: Path) -> None:
    (local_model / "onnx" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ProviderUnavailableError, match="can't be loaded"):
        await from_folder(local_model).fingerprint()


async def test_a_hub_model_that_can_not_be_downloaded_is_a_provider_error() -> None:
    from store.embedders.onnx import from_hub

    with pytest.raises(ProviderUnavailableError, match="fastembed:no/such-model can't be loaded"):
        await from_hub("no/such-model").fingerprint()
