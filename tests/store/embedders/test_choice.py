from pathlib import Path

import pytest

from store.embedders.api import ApiEmbedder
from store.embedders.choice import ApiAccess, choose_embedder
from store.embedders.hashing import HashingEmbedder
from store.embedders.onnx import OnnxEmbedder
from store.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("bundled", OnnxEmbedder),
        ("fastembed:BAAI/bge-small-en-v1.5", OnnxEmbedder),
        ("openai:text-embedding-3-small", ApiEmbedder),
        ("openai:nomic-embed-text:v1.5", ApiEmbedder),
        ("hashing", HashingEmbedder),
    ],
)
def test_the_setting_chooses_the_embedder_and_is_its_name(setting: str, kind: type) -> None:
    chosen = choose_embedder(setting, ApiAccess())
    assert isinstance(chosen, kind)
    assert chosen
    assert chosen.name == setting


def test_none_is_full_text_alone() -> None:
    assert choose_embedder("none", ApiAccess()) is None


def test_a_folder_is_taken_as_a_folder(tmp_path: Path) -> None:
    chosen = choose_embedder(f"fastembed:{tmp_path}", ApiAccess())
    assert chosen is not None
    assert chosen.name == f"fastembed:{tmp_path.resolve()}"


@pytest.mark.parametrize("setting", ["", "bundeld", "fastembed:", "openai:", "none:x", "openai"])
def test_anything_else_is_refused_with_what_is_valid(setting: str) -> None:
    with pytest.raises(ConfigError, match="valid are bundled, fastembed:MODEL, fastembed:/local/folder, openai:MODEL"):
        choose_embedder(setting, ApiAccess())


@pytest.mark.parametrize("folder", ["/no/such/folder", "./nowhere", "~/nowhere"])
def test_a_folder_that_is_not_there_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="which isn't there"):
        choose_embedder(f"fastembed:{folder}", ApiAccess())
