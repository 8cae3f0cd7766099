import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidRequestError
from tests.builders import memory
from tools.paging import cursor_after, remainder


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_refused_in_words(text: str) -> None:
    try:
        remainder(text, "newest", "alice")
    except InvalidRequestError as error:
        assert "cursor is not one that this list returned" in str(error)


def test_a_cursor_of_another_order_is_refused() -> None:
    cursor = cursor_after(memory("1"), "newest")
    assert remainder(cursor, "newest", "alice")
    with pytest.raises(InvalidRequestError):
        remainder(cursor, "importance", "alice")


def test_a_cursor_of_another_user_is_refused_like_none_at_all() -> None:
    with pytest.raises(InvalidRequestError) as theirs:
        remainder(cursor_after(memory("1"), "newest"), "newest", "bob")
    with pytest.raises(InvalidRequestError) as none:
        remainder("x", "newest", "bob")
    assert str(theirs.value) == str(none.value)


def test_the_first_page_leaves_nothing_out() -> None:
    assert remainder("", "newest", "alice") == ""
