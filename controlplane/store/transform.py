"""What happens to a stored value at the store's very edge: the format byte, and encryption of chosen resources.

The first byte of a value says how the rest is to be read, so that values written under other settings stay readable.
Encryption is AES-256-GCM with the store key as associated data: a value moved to another key does not decrypt.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controlplane.store.backend import StoreError

PLAIN = b"\x01"
AES_GCM = b"\x02"
KEY_ID_BYTES = 4
NONCE_BYTES = 12


class UnreadableValue(StoreError):
    """A stored value that this server cannot read: damaged, moved, of an unknown format, or under a missing key."""


class Transformer(Protocol):
    """`format` is the byte that its values begin with; payloads come and go without it."""

    format: bytes

    def seal(self, key: str, payload: bytes) -> bytes: ...

    def open(self, key: str, sealed: bytes) -> bytes:
        """Raises UnreadableValue."""


class Plain:
    """Stored as it is."""

    format = PLAIN

    def seal(self, key: str, payload: bytes) -> bytes:
        return payload

    def open(self, key: str, sealed: bytes) -> bytes:
        return sealed


class AesGcm:
    """Encrypts with the first key, decrypts with any. Sealed: key id, nonce, ciphertext with its tag.

    `keys` are 32 bytes each; `nonce` makes 12 unpredictable bytes (os.urandom).
    """

    format = AES_GCM

    def __init__(self, keys: tuple[bytes, ...], nonce: Callable[[int], bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._writing_id = _key_id(keys[0])
        self._nonce = nonce

    def seal(self, key: str, payload: bytes) -> bytes:
        nonce = self._nonce(NONCE_BYTES)
        return self._writing_id + nonce + self._ciphers[self._writing_id].encrypt(nonce, payload, key.encode())

    def open(self, key: str, sealed: bytes) -> bytes:
        key_id, nonce = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        if (cipher := self._ciphers.get(key_id)) is None:
            raise UnreadableValue(f"{key}: no encryption key with id {key_id.hex()}")
        try:
            return cipher.decrypt(nonce, sealed[KEY_ID_BYTES + NONCE_BYTES :], key.encode())
        except (InvalidTag, ValueError) as error:
            raise UnreadableValue(f"{key}: the value does not decrypt") from error


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"orch encryption key id:" + key).digest()[:KEY_ID_BYTES]


class Transformers:
    """Which resource is written how; every known format is read."""

    def __init__(self, by_resource: Mapping[tuple[str, str], Transformer]) -> None:
        self._by_resource = dict(by_resource)
        self._plain = Plain()
        known: list[Transformer] = [self._plain, *self._by_resource.values()]
        self._by_format = {transformer.format: transformer for transformer in known}

    def seal(self, resource: tuple[str, str], key: str, payload: bytes) -> bytes:
        """`resource` is (group, plural)."""
        transformer = self._by_resource.get(resource, self._plain)
        return transformer.format + transformer.seal(key, payload)

    def open(self, key: str, value: bytes) -> bytes:
        if (transformer := self._by_format.get(value[:1])) is None:
            raise UnreadableValue(f"{key}: stored in the unknown format {value[:1].hex()!r}")
        return transformer.open(key, value[1:])
