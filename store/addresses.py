"""Stores that are no folder: by which addresses they are known. It imports no library."""

from pathlib import Path

SCHEMES = ("s3", "gs", "az", "db")
"""Amazon's object storage and what speaks like it, Google's, Microsoft's; LanceDB Cloud or Enterprise."""


def is_address(store: Path | str) -> bool:
    """Whether a store is no folder of this machine."""
    return isinstance(store, str) and "://" in store
