"""What an embedder is: text in, vectors out, and a fingerprint that says which model made them."""

from collections.abc import Sequence
from typing import Protocol

from store.models import Fingerprint, Vector


class Embedder(Protocol):
    """Turns texts into vectors. Implementations never block the event loop.

    `name` is the setting that chose it, for messages. All methods raise `ProviderError` when the model can't be
    loaded, reached or understood.
    """

    @property
    def name(self) -> str:
        """Return the setting that chose it."""
        ...

    async def fingerprint(self) -> Fingerprint:
        """Return which model this is; loads it, or asks the API once, the first time."""
        ...

    async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text to store, of the fingerprint's dimension."""
        ...

    async def embed_query(self, text: str) -> Vector:
        """Return the vector of a question; some models embed those differently."""
        ...
