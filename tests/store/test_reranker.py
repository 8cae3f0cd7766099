import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from store.embedders.hashing import HashingEmbedder
from store.embedders.onnx import BUNDLED_FOLDER
from store.errors import ConfigError, ProviderUnavailableError
from store.models import Scope, Source
from store.reranker import CrossEncoder, choose_reranker
from store.table import MemoryTable
from tests.builders import NOW
from tools.memories import Memories
from tools.outcomes import Draft


@pytest.fixture
def likes_tea(tmp_path: Path) -> Path:
    """A cross-encoder that scores a pair by how often it says "tea"."""
    folder = tmp_path / "cross"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"):
        shutil.copy(BUNDLED_FOLDER / name, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    worth = np.zeros(tokenizer.get_vocab_size(), np.float32)
    worth[tokenizer.token_to_id("tea")] = 1.0
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["worth", "input_ids"], ["of_each"]),
            helper.make_node("ReduceSum", ["of_each", "axis"], ["logits"], keepdims=1),
        ],
        "likes tea",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(worth, "worth"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


async def test_a_local_cross_encoder_judges_each_text(likes_tea: Path) -> None:
    reranker = choose_reranker(f"fastembed:{likes_tea}")
    assert reranker is not None
    assert await reranker.judged("Who?", ["tea and tea", "coffee", "green tea"]) == [2.0, 0.0, 1.0]


async def test_the_second_stage_changes_the_order_and_not_the_scores(table: MemoryTable, likes_tea: Path) -> None:
    async def found(reranker: CrossEncoder | None, limit: int) -> list[tuple[str, float, float | None]]:
        memories = Memories(table, HashingEmbedder(), clock=lambda: NOW, new_id=ids.__next__, reranker=reranker)
        if not await table.count():
            texts = ["Anna drinks", "Anna drinks tea", "Anna drinks tea after tea"]
            await memories.add([Draft(content=text) for text in texts], Scope("default"), Source())
        outcome = await memories.search("Anna drinks", Scope("default"), limit=limit)
        return [(hit.memory.content, hit.score, hit.reranked) for hit in outcome.hits]

    ids = iter(f"memory{number}" for number in range(100))
    plain = await found(None, 10)
    assert plain[0][0] == "Anna drinks"
    scores = {content: score for content, score, _ in plain}
    assert await found(CrossEncoder(likes_tea), 2) == [
        ("Anna drinks tea after tea", scores["Anna drinks tea after tea"], 2.0),
        ("Anna drinks tea", scores["Anna drinks tea"], 1.0),
    ]


async def test_a_broken_reranker_costs_the_order_alone_and_says_so(table: MemoryTable, likes_tea: Path) -> None:
    (likes_tea / "model.onnx").write_bytes(b"broken")
    ids = iter(f"memory{number}" for number in range(100))
    memories = Memories(
        table, HashingEmbedder(), clock=lambda: NOW, new_id=ids.__next__, reranker=CrossEncoder(likes_tea)
    )
    await memories.add([Draft(content="Anna drinks tea")], Scope("default"), Source())
    outcome = await memories.search("tea", Scope("default"))
    assert len(outcome.hits) == 1
    [note] = outcome.notes
    assert note.startswith(f"Not reranked. The reranker {likes_tea} can't be loaded: ")
    with pytest.raises(ProviderUnavailableError):
        await CrossEncoder(likes_tea).judged("a", ["b"])


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("bm25", "SOUVENIR_RERANKER is 'bm25'; valid are fastembed:MODEL, fastembed:/local/folder, or empty."),
        ("fastembed:", "SOUVENIR_RERANKER is 'fastembed:'; valid are fastembed:MODEL"),
        ("fastembed:/not/there", "SOUVENIR_RERANKER names the folder /not/there, which isn't there."),
    ],
)
def test_a_wrong_setting_is_told(setting: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        choose_reranker(setting)
    assert str(raised.value).startswith(text)


def test_a_folder_without_a_model_and_no_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"which has no model\.onnx"):
        choose_reranker(f"fastembed:{tmp_path}")
    assert choose_reranker("") is None
