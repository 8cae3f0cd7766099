"""Embedding models behind an HTTP API that speaks `/v1/embeddings`: OpenAI, Azure, Ollama, LM Studio, vLLM."""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from store.embedders.calibration import PROBES, cosine_range
from store.errors import ProviderAuthError, ProviderError, ProviderOutputError, ProviderUnavailableError
from store.models import Fingerprint, Vector

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_BATCH = 128  # inputs a request: within every provider's limit, and a request stays small


class ApiEmbedder:
    """A model behind an API. Time limits and retries (429, 5xx, lost connections) are the client library's.

    Args:
        model: The model's name, as the API knows it.
        base_url: Where the API is, ending before `/embeddings`; empty for OpenAI's own.
        api_key: Empty for local servers that want none.
        timeout: Seconds that one attempt may take.
        retries: How often a failed attempt is repeated.
    """

    def __init__(
        self, model: str, *, base_url: str = "", api_key: str = "", timeout: float = 10.0, retries: int = 2
    ) -> None:
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._timeout = timeout
        self._retries = retries
        self._dimension: int | None = None
        self._fingerprint: Fingerprint | None = None

    @property
    def name(self) -> str:
        """The setting that chose this model."""
        return f"openai:{self._model}"

    async def fingerprint(self) -> Fingerprint:
        """Return which model this is; asks the API for a dozen embeddings the first time, to learn the dimension
        and the range of the cosines.

        Raises:
            ProviderError: The API refused, can't be reached, or answered with something else.
        """
        if self._fingerprint is None:
            vectors = await self._request(PROBES)
            self._fingerprint = Fingerprint("openai", self._model, len(vectors[0]), cosine_range=cosine_range(vectors))
        return self._fingerprint

    async def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, normalised to length 1."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), _BATCH):
            vectors += await self._request(texts[start : start + _BATCH])
        return vectors

    async def embed_query(self, text: str) -> Vector:
        """Return the vector of a question, normalised to length 1."""
        return (await self._request([text]))[0]

    @cached_property
    def _client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            # The library insists on a key; servers that want none ignore it.
            api_key=self._api_key or "none",
            base_url=self._base_url or None,
            timeout=self._timeout,
            max_retries=self._retries,
        )

    async def _request(self, texts: Sequence[str]) -> list[Vector]:
        with _translated(self.name):
            response = await self._client.embeddings.create(
                model=self._model, input=list(texts), encoding_format="float"
            )
            vectors = [item.embedding for item in sorted(response.data, key=lambda item: item.index)]
        return self._checked(vectors, expected=len(texts))

    def _checked(self, vectors: Sequence[Sequence[float]], *, expected: int) -> list[Vector]:
        """Return the vectors at length 1, if the API delivered what it should.

        Raises:
            ProviderOutputError: Too few or too many vectors, another dimension than before, or no numbers.
        """
        if len(vectors) != expected:
            raise ProviderOutputError(f"{self.name} returned {len(vectors)} embeddings for {expected} texts.")
        checked: list[Vector] = []
        for vector in vectors:
            dimension = self._dimension or len(vector)
            if len(vector) != dimension or not dimension:
                raise ProviderOutputError(
                    f"{self.name} returned an embedding of {len(vector)} dimensions where {dimension} were expected."
                )
            length = math.hypot(*vector)
            if not math.isfinite(length) or length == 0:
                raise ProviderOutputError(f"{self.name} returned an embedding that has no direction.")
            self._dimension = dimension
            checked.append([value / length for value in vector])
        return checked


@contextmanager
def _translated(name: str) -> Generator[None]:
    """Turn whatever the client library raises into our errors: the only seam to it."""
    import openai

    try:
        yield
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise ProviderAuthError(
            f"{name} refused the key (HTTP {error.status_code}). Set OPENAI_API_KEY to a valid one."
        ) from error
    except openai.APITimeoutError as error:
        raise ProviderUnavailableError(f"{name} did not answer in time.") from error
    except openai.APIConnectionError as error:
        raise ProviderUnavailableError(
            f"{name} can't be reached. Is the server running, and SOUVENIR_OPENAI_BASE_URL right?"
        ) from error
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        raise ProviderOutputError(f"{name} does not take this text (HTTP {error.status_code}).") from error
    except openai.APIStatusError as error:
        raise ProviderUnavailableError(f"{name} answered with HTTP {error.status_code}.") from error
    except openai.OpenAIError as error:
        raise ProviderError(f"{name} failed: {error}") from error
    # A 200 with a broken body surfaces as whatever the parsing met: not JSON, or JSON of another shape.
    except (ValueError, TypeError, AttributeError, KeyError, ExceptionGroup) as error:
        raise ProviderOutputError(f"{name} answered with something that is no list of embeddings.") from error
