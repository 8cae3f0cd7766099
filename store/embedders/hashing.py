"""A small real embedder without a model: words are hashed into dimensions.

Texts that share words get similar vectors and nothing else does. It needs no file and no time, which makes it the
embedder of tests that are not about meaning.
"""

import hashlib
import math
import re
from collections.abc import Sequence

from store.models import Fingerprint, Vector


class HashingEmbedder:
    """The signed hashing trick (Weinberger et al., 2009) over lower-cased words, normalised to length 1."""

    name = "hashing"

    def __init__(self, dimension: int = 384) -> None:
        self._dimension = dimension

    async def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of this dimension."""
        return Fingerprint("hashing", "words", self._dimension, cosine_range=(0.1, 0.8))

    async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector of length 1 for each text."""
        return [self._embed(text) for text in texts]

    async def embed_query(self, text: str) -> Vector:
        """Return the same vector as for a document."""
        return self._embed(text)

    def _embed(self, text: str) -> Vector:
        vector = [0.0] * self._dimension
        for word in re.findall(r"\w+", text.lower()) or [text]:
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            vector[int.from_bytes(digest[:4]) % self._dimension] += 1.0 if digest[4] & 1 else -1.0
        length = math.sqrt(sum(value * value for value in vector))
        # Two words can cancel out; a text must still have a direction.
        return [value / length for value in vector] if length else [1.0] + [0.0] * (self._dimension - 1)
