import pytest

from store.embedders.calibration import NARROWEST, PROBES, cosine_range
from store.embedders.hashing import HashingEmbedder
from store.embedders.onnx import BUNDLED_RANGE, bundled
from tests.builders import axis


async def test_the_bundled_models_range_is_what_was_chosen_for_it() -> None:
    found = cosine_range(await bundled().embed_documents(PROBES))
    assert found == pytest.approx(BUNDLED_RANGE, abs=0.02)
    assert (await bundled().fingerprint()).cosine_range == BUNDLED_RANGE


async def test_a_range_is_never_empty_whatever_the_vectors() -> None:
    low, high = cosine_range([axis(0, 8)] * len(PROBES))
    assert (low, high) == (1.0, 1.0 + NARROWEST)
    low, high = cosine_range(await HashingEmbedder().embed_documents(PROBES))
    assert 0 <= low < high <= 1
