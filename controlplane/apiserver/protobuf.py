"""Request bodies in Kubernetes' protobuf, as JSON: what kubectl and Go clients send for built-in kinds.

Such a body is the magic bytes and a runtime.Unknown that names the type and holds the message. Field numbers and types
come from `protos/kubernetes.fields`; nothing here knows a kind. It only reads: answers are JSON, which
these clients accept too.

The outcome is what the same Go client would have sent as JSON: a zero that Go cannot tell from an absent field is left
out, one behind a pointer stays.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from orch.errors import BadRequest

PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MALFORMED = (ValueError, IndexError, OverflowError, RecursionError, msgspec.MsgspecError)
VARINT_MAX_BITS = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
META_KINDS = frozenset({"DeleteOptions", "Status"})
"""Of meta/v1; clients send them under the group-version of whatever they talk about."""


class Field(NamedTuple):
    """One field of a message. An empty `name` stands for a message whose fields are those of its holder in JSON."""

    name: str
    type: str
    """A scalar's name or that of a message."""
    shape: str
    """Empty, `?` behind a pointer, `*` a list, `%` a map by strings."""


Message = Mapping[int, Field]


@cache
def messages() -> Mapping[str, Message]:
    """Name (`core/v1.PodSpec`) -> its fields by number. One line a message's name, then `number name type` for each."""
    table: dict[str, dict[int, Field]] = {}
    fields: dict[int, Field] = {}
    for line in resources.files("protos").joinpath("kubernetes.fields").read_text().splitlines():
        first, *rest = line.split()
        if rest:
            name, type_text = rest
            shape = type_text[0] if type_text[0] in "?*%" else ""
            fields[int(first)] = Field("" if name == "-" else name, type_text.removeprefix(shape), shape)
        else:
            fields = table[first] = {}
    return table


def message_name(api_version: str, kind: str) -> str:
    """`networking.k8s.io/v1`, `Ingress` -> `networking/v1.Ingress`."""
    if kind in META_KINDS:
        return f"meta/v1.{kind}"
    group, _, version = api_version.rpartition("/")
    return f"{group.removesuffix('.k8s.io').partition('.')[0] or 'core'}/{version}.{kind}"


def protobuf_to_json(data: bytes) -> bytes:
    """A whole body. Raises BadRequest."""
    if not data.startswith(MAGIC):
        raise BadRequest(f"the body is no Kubernetes protobuf message: it does not begin with {list(MAGIC)}")
    try:
        api_version, kind, raw = _envelope(data[len(MAGIC) :])
    except MALFORMED as error:
        raise BadRequest(f"the body is no Kubernetes protobuf message: {error}") from error
    name = message_name(api_version, kind)
    if name not in messages():
        raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    try:
        return msgspec.json.encode({"apiVersion": api_version, "kind": kind, **_message(raw, name)})
    except MALFORMED as error:
        raise BadRequest(f'{kind} in version "{api_version}" cannot be handled as a {kind}: {error}') from error


def _envelope(data: bytes) -> tuple[str, str, bytes]:
    """apiVersion, kind and message of a runtime.Unknown: 1 the type, 2 the message, 3 and 4 its encoding and type."""
    parts = dict(_entries(data))
    if parts.get(3) or parts.get(4) not in (None, b"", PROTOBUF_TYPE.encode()):
        raise ValueError("the message inside is encoded in another way")
    of_type = dict(_entries(_bytes(parts.get(1, b""))))
    return _text(of_type.get(1, b"")), _text(of_type.get(2, b"")), _bytes(parts.get(2, b""))


def _message(data: bytes, name: str) -> dict[str, Any]:
    fields, plain = messages()[name], dict[str, Any]()
    for number, raw in _entries(data):
        field = fields.get(number)
        if field is not None:
            _put(plain, field, raw)
    return plain


def _put(plain: dict[str, Any], field: Field, raw: int | bytes) -> None:
    name, kind, shape = field
    if shape == "*":
        packed = kind in ("int", "bool") and isinstance(raw, bytes)
        raws = _packed(_bytes(raw)) if packed else (raw,)
        plain.setdefault(name, []).extend(_value(kind, item) for item in raws)
    elif shape == "%":
        entry = dict(_entries(_bytes(raw)))
        plain.setdefault(name, {})[_text(entry.get(1, b""))] = _value(kind, entry.get(2, b""))
    elif not name:
        plain |= _message(_bytes(raw), kind)
    else:
        value = _value(kind, raw)
        if value is not None and (shape == "?" or value not in ("", 0)):
            plain[name] = value


def _value(kind: str, raw: int | bytes) -> Any:
    scalar = _SCALARS.get(kind)
    return scalar(raw) if scalar is not None else _message(_bytes(raw), kind)


def _entries(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and raw values of one message: integers for varints, bytes for all that has a length."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire in _FIXED_BYTES or wire == 2:
            length, at = _varint(data, at) if wire == 2 else (_FIXED_BYTES[wire], at)
            if at + length > len(data):
                raise ValueError("unexpected end of the message")
            yield number, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire} is not known")


_FIXED_BYTES = {1: 8, 5: 4}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, VARINT_MAX_BITS + 6, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**VARINT_MAX_BITS - 1), at
    raise ValueError("an integer is too long")


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ValueError("found an integer where bytes belong")
    return raw


def _text(raw: int | bytes) -> str:
    return _bytes(raw).decode()


def _int(raw: int | bytes) -> int:
    """Negative numbers are sent as two's complement of 64 bits."""
    if isinstance(raw, bytes):
        if not raw:  # the value of a map's entry that is left out
            return 0
        raise ValueError("found bytes where an integer belongs")
    return raw - 2**64 if raw >= 2**63 else raw


def _moment(raw: int | bytes) -> tuple[str, int] | None:
    """A second as RFC 3339 without a zone (UTC), and its nanoseconds; an empty message is no time."""
    parts = dict(_entries(_bytes(raw)))
    if not parts:
        return None
    nanoseconds = _int(parts.get(2, 0))
    if not 0 <= nanoseconds < 10**9:
        raise ValueError("a second has 10^9 nanoseconds")
    return (EPOCH + timedelta(seconds=_int(parts.get(1, 0)))).isoformat().removesuffix("+00:00"), nanoseconds


def _time(raw: int | bytes) -> str | None:
    moment = _moment(raw)
    return None if moment is None else f"{moment[0]}Z"


def _micro_time(raw: int | bytes) -> str | None:
    moment = _moment(raw)
    return None if moment is None else f"{moment[0]}.{moment[1] // 1000:06d}Z"


def _int_or_string(raw: int | bytes) -> int | str:
    parts = dict(_entries(_bytes(raw)))
    return _text(parts.get(3, b"")) if _int(parts.get(1, 0)) else _int(parts.get(2, 0))


_SCALARS: Mapping[str, Callable[[int | bytes], Any]] = {
    "string": _text,
    "int": _int,
    "bool": lambda raw: _int(raw) != 0,
    "bytes": lambda raw: base64.b64encode(_bytes(raw)).decode(),
    "strings": lambda raw: [_text(item) for number, item in _entries(_bytes(raw)) if number == 1],
    "time": _time,
    "microtime": _micro_time,
    "intorstring": _int_or_string,
    "quantity": lambda raw: _text(dict(_entries(_bytes(raw))).get(1, b"")) or "0",
    "rawjson": lambda raw: msgspec.json.decode(_bytes(dict(_entries(_bytes(raw))).get(1, b"")) or b"null"),
}
"""What stands for a type of Kubernetes that has a JSON form of its own."""
