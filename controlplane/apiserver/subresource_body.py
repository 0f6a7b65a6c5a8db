"""Bodies of subresources that the chain takes as plain data, made typed under the request's fieldValidation. Pure."""

from collections.abc import Mapping
from typing import Any, TypeVar

from controlplane.registry.field_validation import validated
from controlplane.registry.interface import RequestContext, WriteOptions
from orch.api.codec import StructCodec
from orch.api.meta import Object
from orch.errors import BadRequest

T = TypeVar("T", bound=Object)


def decoded_body(context: RequestContext, body_type: type[T], body: Mapping[str, Any], options: WriteOptions) -> T:
    """Raises BadRequest. Unknown fields are refused (Strict), warned about (Warn) or dropped (Ignore)."""
    decoded, name = StructCodec(body_type).decode_lenient(body), body_type.__name__
    what = f'{name} in version "{decoded.obj.api_version}" cannot be handled as a {name}'
    return validated(decoded, options.field_validation, context.warn, lambda why: BadRequest(f"{what}: {why}"))
