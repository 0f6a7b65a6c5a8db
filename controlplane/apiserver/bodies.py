"""Request bodies: read within bounds, JSON, YAML or protobuf, decoded into objects under the request's fieldValidation.

Does not look at what an object says beyond its type, name and namespace; validation is the API chain's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiohttp.web import BaseRequest

from controlplane.apiserver.protobuf import PROTOBUF_TYPE, protobuf_to_json
from controlplane.apiserver.yaml_body import yaml_to_json
from controlplane.registry.field_validation import validated
from orch.api.codec import StructCodec, read_plain
from orch.api.kind import Codec, Kind
from orch.api.meta import DeleteOptions, Object
from orch.api.schema import shape_of
from orch.api.subresources import Scale
from orch.api.walk import Walk
from orch.client.client import PatchType
from orch.errors import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

T = TypeVar("T", bound=Object)

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
OBJECT_TYPES = ("", "application/json", *YAML_TYPES, PROTOBUF_TYPE)
"""No Content-Type means JSON, as in Kubernetes."""
SCALE_CODEC = StructCodec(Scale)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the JSON decoder raises for text that is malformed, of the wrong types, or nested too deep."""


@dataclass(frozen=True, slots=True)
class Body:
    """`media` is the Content-Type without parameters, lower case."""

    data: bytes
    media: str


async def read_body(request: BaseRequest, max_bytes: int) -> Body:
    """Raises RequestEntityTooLarge before it has read more than `max_bytes` and one network buffer."""
    media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not request.body_exists:
        return Body(b"", media)
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # the low-level server of aiohttp leaves it to us
    parts, size = [], 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
    return Body(b"".join(parts), media)


def _too_large(max_bytes: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"the request body is larger than {max_bytes} bytes")


def json_of(body: Body) -> bytes:
    """The body of a write as JSON. Raises UnsupportedMediaType, BadRequest."""
    if body.media not in OBJECT_TYPES:
        raise UnsupportedMediaType(
            f'the body of the request was in an unknown format ("{body.media}") - accepted media types include: '
            f"application/json, application/yaml, {PROTOBUF_TYPE}"
        )
    if body.media == PROTOBUF_TYPE:
        return protobuf_to_json(body.data)
    return yaml_to_json(body.data) if body.media in YAML_TYPES else body.data


class _TypeHead(msgspec.Struct, rename="camel"):
    """What a body says that it is."""

    api_version: Any = None
    kind: Any = None


def decode_object(
    kind: Kind[T], body: Body, *, subresource: str, validation: str, warn: Callable[[str], None]
) -> T | Scale:
    """The body as an object of `kind` (Scale for the scale subresource). Raises BadRequest, UnsupportedMediaType.

    Unknown and duplicate fields are refused under `validation` Strict, warned about under Warn (meta/v1
    FieldValidation). The fast decoder does not see duplicate keys: Strict takes the exact walk at once.
    """
    data = json_of(body)
    codec: Codec[Any] = SCALE_CODEC if subresource == "scale" else kind.codec
    api_version, name = ("autoscaling/v1", "Scale") if subresource == "scale" else (kind.api_version, kind.kind)
    try:
        obj: Any = (
            _decode_lenient(codec, data, api_version, name, validation, warn)
            if validation == "Strict"
            else codec.decode(data)
        )
    except UNREADABLE:
        _check_type(_type_head(data, name), api_version, name)
        obj = _decode_lenient(codec, data, api_version, name, validation, warn)
    _check_type(obj, api_version, name)
    return obj  # type: ignore[no-any-return]


def _type_head(data: bytes, kind: str) -> _TypeHead:
    try:
        return msgspec.json.decode(data, type=_TypeHead)
    except UNREADABLE as error:
        why = f"couldn't get version/kind; json parse error: {error}"
        raise BadRequest(f"the object provided is unrecognized (must be of type {kind}): {why}") from error


def _check_type(head: Any, api_version: str, kind: str) -> None:
    if head.kind and head.kind != kind:
        raise BadRequest(f"the kind in the data ({head.kind}) does not match the expected kind ({kind})")
    if head.api_version and head.api_version != api_version:
        raise BadRequest(
            f"the API version in the data ({head.api_version}) does not match the expected API version ({api_version})"
        )


def _decode_lenient(
    codec: Codec[Any], data: bytes, api_version: str, kind: str, validation: str, warn: Callable[[str], None]
) -> Any:
    type_name = f'{kind} in version "{api_version}"'
    return validated(
        codec.decode_lenient(data),
        validation,
        warn,
        lambda why: BadRequest(f"{type_name} cannot be handled as a {kind}: {why}"),
    )


def decode_plain(body: Body) -> dict[str, Any]:
    """The body of a subresource that takes plain data. Raises BadRequest, UnsupportedMediaType."""
    try:
        return msgspec.json.decode(json_of(body), type=dict[str, Any])
    except UNREADABLE as error:
        raise BadRequest(f"the object provided is unrecognized (must be a JSON object): {error}") from error


def decode_patch(body: Body) -> tuple[PatchType, Any]:
    """Raises UnsupportedMediaType, BadRequest."""
    try:
        patch_type = PatchType(body.media)
    except ValueError:
        accepted = ", ".join(PatchType)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        ) from None
    try:
        text = yaml_to_json(body.data) if patch_type is PatchType.APPLY else body.data
        return patch_type, msgspec.json.decode(text)
    except UNREADABLE as error:
        raise BadRequest(f"the patch is not valid JSON: {error}") from error


def decode_delete_options(body: Body) -> DeleteOptions:
    """An empty body means no options; unknown fields are dropped. Raises BadRequest, UnsupportedMediaType."""
    if not body.data:
        return DeleteOptions()
    data = json_of(body)
    try:
        options = msgspec.json.decode(data, type=DeleteOptions)
    except UNREADABLE:
        plain = Walk("DeleteOptions").value(read_plain(data)[0], shape_of(DeleteOptions), "")
        options = msgspec.convert(plain, DeleteOptions)
    if options.kind not in ("", "DeleteOptions"):
        raise BadRequest(f"the kind in the data ({options.kind}) does not match the expected kind (DeleteOptions)")
    return options
