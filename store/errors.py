"""Every error that Souvenir raises on purpose.

    SouvenirError
    ├── ConfigError                  a setting is wrong; names the setting and what is valid
    ├── InvalidRequestError          the caller's arguments are wrong; names what is valid
    ├── NotFoundError                no such memory or version in the caller's scope
    ├── ConflictError                the memory has changed since the caller saw it
    │   └── OvertakenError           another writer was quicker; to begin anew will do
    ├── StoreError                   the folder or table can't do what was asked
    │   ├── SchemaError              made by another version of Souvenir, or by something else
    │   ├── MigrationError           a migration did not complete
    │   └── CorruptionError          files are missing or unreadable
    └── ProviderError                an embedder (or model) did not deliver
        ├── ProviderAuthError        the key is missing or refused
        ├── ProviderUnavailableError can't be reached, timed out, overloaded
        └── ProviderOutputError      answered with something that can't be used

Texts are written for the reader who can act: a model that calls a tool, or a person at a terminal. They say what
was wrong, what is valid and what to do next, and never contain the text of a memory.
"""

import re


class SouvenirError(Exception):
    """Base of all errors that Souvenir raises on purpose."""


class ConfigError(SouvenirError):
    """A setting is missing or wrong."""


class InvalidRequestError(SouvenirError):
    """The caller's arguments can't be served as they are."""


class NotFoundError(SouvenirError):
    """No such memory, or no such version of it, in the caller's scope."""


class ConflictError(SouvenirError):
    """The memory has changed since the caller last saw it."""


class OvertakenError(ConflictError):
    """Another writer changed the same memories between reading and writing.

    Attributes:
        made: The memories whose changes were made all the same, where there were several.
    """

    def __init__(self, text: str, made: frozenset[str] = frozenset()) -> None:
        super().__init__(text)
        self.made = made


class StoreError(SouvenirError):
    """The store's folder or table can't do what was asked."""


class SchemaError(StoreError):
    """The table was made by another version of Souvenir, or by something else."""


class MigrationError(StoreError):
    """A migration did not complete; the table is as it was before."""


class CorruptionError(StoreError):
    """Files of the store are missing or unreadable."""


class ProviderError(SouvenirError):
    """An embedder or a model did not deliver."""


class ProviderAuthError(ProviderError):
    """The provider's key is missing or was refused."""


class ProviderUnavailableError(ProviderError):
    """The provider can't be reached, timed out, or is overloaded."""


class ProviderOutputError(ProviderError):
    """The provider answered with something that can't be used."""


def is_conflict(error: Exception) -> bool:
    """Whether something failed because another server committed at the same moment: to begin anew will do."""
    return bool(re.search("conflict|concurrent|incompatible transaction|already exists", str(error), re.IGNORECASE))
