"""Between JSON bytes, plain data and API objects.

Two ways in. The fast path is msgspec alone and refuses everything that is not exactly as the types say.
`decode_lenient` is for what people and newer versions write: it prunes nulls and unknown fields and names each unknown
path and each duplicate key, so that the caller can refuse (Strict), warn (Warn) or go on (Ignore, stored objects).
A wrong type is refused in both; the slow walk says where, what was expected and what was found.

The outcome of a lenient decode equals that of the fast path wherever the fast path accepts the input.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from orch.api.kind import Decoded
from orch.api.meta import Object, ObjectMeta
from orch.api.schema import Shape, shape_of
from orch.api.walk import Walk
from orch.errors import BadRequest

T = TypeVar("T", bound=Object)

_encoder = msgspec.json.Encoder()
_plain_decoder = msgspec.json.Decoder()


class StructCodec(Generic[T]):
    """The codec of a kind whose objects are structs."""

    def __init__(self, struct: type[T]) -> None:
        self.struct = struct

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.struct)

    @cached_property
    def _shape(self) -> Shape:
        return shape_of(self.struct)

    def decode(self, data: bytes) -> T:
        return self._decoder.decode(data)

    def encode(self, obj: T) -> bytes:
        return _encoder.encode(obj)

    def from_plain(self, plain: Mapping[str, Any]) -> T:
        return msgspec.convert(_with_raw_fields(plain), self.struct)

    def to_plain(self, obj: T) -> dict[str, Any]:
        plain: dict[str, Any] = _plain_decoder.decode(_encoder.encode(obj))
        return plain

    def decode_lenient(self, source: bytes | Mapping[str, Any]) -> Decoded[T]:
        plain, duplicates = read_plain(source)
        try:
            return Decoded(self.from_plain(plain), duplicates)
        except msgspec.ValidationError:
            return self._walked(plain, duplicates)

    def _walked(self, plain: Mapping[str, Any], duplicates: tuple[str, ...]) -> Decoded[T]:
        walk = Walk(_type_name(plain, self.struct.__name__))
        pruned = walk.value(plain, self._shape, "")
        try:
            return Decoded(self.from_plain(pruned), (*walk.problems, *duplicates))
        except msgspec.ValidationError as error:
            raise walk.refusal(str(error)) from error


class UntypedObject(Object):
    """An object of a kind registered at run time: metadata is typed, all other fields are plain data in `content`."""

    content: dict[str, Any] = msgspec.field(default_factory=dict)


class UntypedCodec:
    """The codec of a kind without types. Everything beside apiVersion, kind and metadata is kept as it is."""

    def __init__(self, api_version: str, kind: str) -> None:
        self.api_version = api_version
        self.kind = kind

    def decode(self, data: bytes) -> UntypedObject:
        return self.from_plain(msgspec.json.decode(data, type=dict[str, Any]))

    def encode(self, obj: UntypedObject) -> bytes:
        return _encoder.encode(self._join(obj))

    def from_plain(self, plain: Mapping[str, Any]) -> UntypedObject:
        return self._split(plain, msgspec.convert(_with_raw_fields(plain).get("metadata") or {}, ObjectMeta))

    def to_plain(self, obj: UntypedObject) -> dict[str, Any]:
        plain: dict[str, Any] = _plain_decoder.decode(self.encode(obj))
        return plain

    def decode_lenient(self, source: bytes | Mapping[str, Any]) -> Decoded[UntypedObject]:
        plain, duplicates = read_plain(source)
        walk = Walk(_type_name(plain, self.kind))
        pruned = walk.value(plain.get("metadata") or {}, shape_of(ObjectMeta), "metadata")
        return Decoded(
            self._split(plain, msgspec.convert(pruned, ObjectMeta)),
            (*walk.problems, *duplicates),
        )

    def _split(self, plain: Mapping[str, Any], metadata: ObjectMeta) -> UntypedObject:
        content = {key: value for key, value in plain.items() if key not in ("apiVersion", "kind", "metadata")}
        return UntypedObject(api_version=self.api_version, kind=self.kind, metadata=metadata, content=content)

    def _join(self, obj: UntypedObject) -> dict[str, Any]:
        return {"apiVersion": obj.api_version, "kind": obj.kind, "metadata": obj.metadata, **obj.content}


def _with_raw_fields(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """`plain` with the field sets of managedFields as JSON text, which is how objects keep them."""
    metadata = plain.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(entries, Sequence):
        return plain
    raw = [_with_raw_set(entry) if isinstance(entry, Mapping) else entry for entry in entries]
    return {**plain, "metadata": {**metadata, "managedFields": raw}}


def _with_raw_set(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = entry.get("fieldsV1")
    return {**entry, "fieldsV1": msgspec.Raw(_encoder.encode(fields))} if isinstance(fields, Mapping) else entry


class _Repeated(dict[str, Any]):
    """A JSON object in which keys occurred more than once."""

    keys_repeated: tuple[str, ...] = ()


def read_plain(source: bytes | Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """A JSON object as plain data (the last of duplicate keys wins), and a problem for each duplicate key.

    Raises BadRequest when `source` is not a JSON object.
    """
    if isinstance(source, Mapping):
        return source, ()
    any_repeated = False

    def pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_repeated
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        any_repeated = True
        return _repeated(pairs)

    try:
        _plain_decoder.decode(source)  # json.loads lets NaN, lone surrogates and wrong UTF-8 pass
        plain = json.loads(source, object_pairs_hook=pairs_hook)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the object provided is unrecognized (must be JSON): {error}") from error
    if not isinstance(plain, dict):
        raise BadRequest("the object provided is unrecognized: expected a JSON object")
    return plain, tuple(_duplicate_problems(plain, "")) if any_repeated else ()


def _repeated(pairs: Sequence[tuple[str, Any]]) -> _Repeated:
    plain = _Repeated(pairs)
    names = [name for name, _ in pairs]
    plain.keys_repeated = tuple(name for name in plain if names.count(name) > 1)
    return plain


def _duplicate_problems(value: Any, path: str) -> list[str]:
    if isinstance(value, list):
        return [p for index, item in enumerate(value) for p in _duplicate_problems(item, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return []
    prefix = f"{path}." if path else ""
    own = [f'duplicate field "{prefix}{name}"' for name in getattr(value, "keys_repeated", ())]
    return own + [p for name, item in value.items() for p in _duplicate_problems(item, f"{prefix}{name}")]


def _type_name(plain: Mapping[str, Any], kind: str) -> str:
    return f'{kind} in version "{plain.get("apiVersion") or ""}" cannot be handled as a {kind}'
