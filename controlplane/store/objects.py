"""Between objects and stored values: the envelope that carries an object and who wrote it, and the bytes to send.

A value holds the object's JSON without resourceVersion, since that is not known before the commit. The bytes that
clients get are made once per revision, by splicing resourceVersion in right after `"metadata":{`; nothing is encoded
again. Every codec writes apiVersion, kind and metadata first, so that place is unambiguous.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from controlplane.registry.interface import Stored
from controlplane.store.backend import Entry
from controlplane.store.transform import Transformers, UnreadableValue
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.errors import ApiError

T = TypeVar("T", bound=Object)
log = structlog.get_logger(__name__)

_METADATA = b'"metadata":{'


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who made a write, kept beside what was written."""

    user: str
    request: str = ""


class _Envelope(msgspec.Struct):
    actor: Actor
    object: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_open_envelope = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class OwnWrite:
    """A write of this process: `value` is what goes into the store, `data` the JSON of `obj` within it."""

    obj: Any
    data: bytes
    value: bytes


class ObjectFormat:
    """Reads and writes the values of served objects."""

    def __init__(self, transformers: Transformers) -> None:
        self._transformers = transformers

    def seal(self, kind: Kind[Any], key: str, data: bytes, actor: Actor) -> bytes:
        """`data` is the object's JSON without resourceVersion."""
        payload = _encode(_Envelope(actor, msgspec.Raw(data)))
        return self._transformers.seal((kind.group, kind.plural), key, payload)

    def seal_actor(self, actor: Actor) -> bytes:
        """The value of the key that says who made a delete."""
        return self._transformers.seal(("", ""), "", _encode(actor))

    def open(self, kind: Kind[T], entry: Entry) -> Stored[T]:
        """Raises UnreadableValue."""
        try:
            envelope = _open_envelope(self._transformers.open(entry.key, entry.value))
            data = with_revision(bytes(envelope.object), entry.mod_revision)
            return _decode(kind, entry, data)
        except (msgspec.MsgspecError, ApiError, ValueError) as error:
            raise UnreadableValue(f"{entry.key}: {error}") from error

    def actor(self, entry: Entry) -> Actor:
        """Raises UnreadableValue."""
        try:
            return _open_envelope(self._transformers.open(entry.key, entry.value)).actor
        except msgspec.MsgspecError as error:
            raise UnreadableValue(f"{entry.key}: {error}") from error


def encode_stored(kind: Kind[T], obj: T) -> bytes:
    """The object's JSON as it is stored: without resourceVersion."""
    if obj.metadata.resource_version:
        obj = replace(obj, metadata=replace(obj.metadata, resource_version=""))
    return kind.codec.encode(obj)


def stored_at(obj: T, data: bytes, revision: int) -> Stored[T]:
    """`obj` and `data` as of `revision`; `data` is without resourceVersion."""
    obj = replace(obj, metadata=replace(obj.metadata, resource_version=str(revision)))
    return Stored(obj, revision, with_revision(data, revision))


def moved_to(stored: Stored[T], revision: int) -> Stored[T]:
    """The same state under a later revision: what a DELETED event carries."""
    place = stored.data.index(_METADATA) + len(_METADATA)
    bare = stored.data[:place] + stored.data[place + len(_field(stored.revision)) :]
    return stored_at(stored.obj, bare, revision)


def with_revision(data: bytes, revision: int) -> bytes:
    place = data.index(_METADATA) + len(_METADATA)
    return b"".join((data[:place], _field(revision), data[place:]))


def _field(revision: int) -> bytes:
    return b'"resourceVersion":"%d",' % revision


def _decode(kind: Kind[T], entry: Entry, data: bytes) -> Stored[T]:
    try:
        return Stored(kind.codec.decode(data), entry.mod_revision, data)
    except msgspec.ValidationError:
        decoded = kind.codec.decode_lenient(data)
    log.warning("stored_object_pruned", key=entry.key, problems=decoded.problems)
    return stored_at(decoded.obj, encode_stored(kind, decoded.obj), entry.mod_revision)
