"""Page through a list that others change meanwhile: a cursor names the last row seen, not a position."""

import base64
import binascii
import hashlib
import json
import math
import struct
from datetime import datetime
from typing import Literal

from store.errors import InvalidRequestError
from store.filters import Order, Predicate, beyond
from store.models import Memory

Sort = Literal["newest", "oldest", "updated", "importance"]

_ORDERS = {
    "newest": Order("created_at", descending=True),
    "oldest": Order("created_at"),
    "updated": Order("updated_at", descending=True),
    "importance": Order("importance", descending=True),
}


def order_of(sort: Sort) -> Order:
    """Return what a list is sorted by; the table adds `row_id` for ties."""
    return _ORDERS[sort]


def cursor_after(last: Memory, sort: Sort) -> str:
    """Return an opaque text that says where a list went up to, and whose list it was."""
    value: datetime | float = getattr(last, _ORDERS[sort].column)
    written = value.isoformat() if isinstance(value, datetime) else _as_float32(value)
    return (
        base64.urlsafe_b64encode(json.dumps([sort, written, last.row_id, _whose(last.user_id)]).encode())
        .decode()
        .rstrip("=")
    )


def remainder(cursor: str, sort: Sort, user_id: str) -> Predicate:
    """Return what comes after the cursor; everything for an empty one.

    Raises:
        InvalidRequestError: It is no cursor of a list in this order, of this user.
    """
    if not cursor:
        return ""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made_for, written, row_id, whose = json.loads(text)
        value = datetime.fromisoformat(written) if isinstance(written, str) else float(written)
        fits = isinstance(value, datetime) == (sort != "importance") and _is_sound(value, row_id)
        if fits and (made_for, whose) == (sort, _whose(user_id)):
            return beyond(_ORDERS[sort], value, row_id)
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        pass
    raise InvalidRequestError(
        "cursor is not one that this list returned. Pass next_cursor as it came, with the same sort, "
        "or leave it empty for the first page."
    )


def _whose(user_id: str) -> str:
    """Return what tells users apart: another one's cursor is as good as none, though it would show nothing."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:8]


def _is_sound(value: datetime | float, row_id: str) -> bool:
    """Whether these can stand in a predicate; raises what `remainder` takes for a no."""
    row_id.encode()
    return value.tzinfo is not None if isinstance(value, datetime) else math.isfinite(value)


def _as_float32(value: float) -> float:
    """Return the number that the table's float32 column really holds."""
    return struct.unpack("f", struct.pack("f", value))[0]
