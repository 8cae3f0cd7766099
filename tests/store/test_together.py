import anyio
import pytest

from store.errors import StoreError
from store.together import together


async def returns(value: str) -> str:
    await anyio.lowlevel.checkpoint()
    return value


async def fails() -> str:
    await anyio.lowlevel.checkpoint()
    raise StoreError("the disk is gone")


async def test_both_results_come_back_in_order() -> None:
    assert await together(lambda: returns("one"), lambda: returns("other")) == ("one", "other")


async def test_an_error_of_either_is_raised_as_it_is_and_cancels_the_other() -> None:
    for one, other in ((fails, anyio.sleep_forever), (anyio.sleep_forever, fails), (fails, fails)):
        with pytest.raises(StoreError, match="the disk is gone"):
            await together(one, other)
