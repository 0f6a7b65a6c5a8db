"""Randomness as an argument: uids, name suffixes, tokens, jitter.

`SystemIds` draws from the operating system; a simulation passes `SeededIds`, so that one seed gives one history.
"""

import random  # noqa: TID251 - the one place that may
import secrets
import uuid
from typing import Protocol

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes draws name suffixes from: no vowels, so that no words appear."""


class Ids(Protocol):
    def uid(self) -> str:
        """A new random UUID (version 4)."""

    def suffix(self, length: int = 5) -> str:
        """A random name suffix."""

    def token(self, length_bytes: int = 32) -> str:
        """A random URL-safe secret."""

    def uniform(self, low: float, high: float) -> float:
        """For jitter and tie-breaking."""


class SystemIds:
    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uid(self) -> str:
        return str(uuid.uuid4())  # noqa: TID251

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(SUFFIX_ALPHABET, k=length))

    def token(self, length_bytes: int = 32) -> str:
        return secrets.token_urlsafe(length_bytes)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class SeededIds:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(SUFFIX_ALPHABET, k=length))

    def token(self, length_bytes: int = 32) -> str:
        return self._random.randbytes(length_bytes).hex()

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
