"""HTTP answers: bytes as they are, Status bodies, gzip, warnings.

The one place that turns an `ApiError` into a response. Objects are never encoded here; callers bring bytes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import yaml
from aiohttp.web import BaseRequest, Response, StreamResponse
from multidict import CIMultiDict

from controlplane.apiserver.deflate import gzip
from orch.errors import ApiError, NotFound

JSON_TYPE = "application/json"
GZIP_MIN_BYTES = 128 * 1024
WARNING_MAX_CHARS = 1024
WARNINGS_MAX = 20


def json_headers(warnings: Sequence[str] = (), content_type: str = JSON_TYPE) -> CIMultiDict[str]:
    headers = CIMultiDict({"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    for warning in warnings[:WARNINGS_MAX]:
        headers.add("Warning", warning_header(warning))
    return headers


def json_response(
    body: bytes, *, status: int = 200, warnings: Sequence[str] = (), content_type: str = JSON_TYPE
) -> Response:
    return Response(body=body, status=status, headers=json_headers(warnings, content_type))


def warning_header(message: str) -> str:
    """RFC 7234 code 299, no agent, the text quoted; control characters cannot stand in a header."""
    text = "".join(char if char.isprintable() else " " for char in message[:WARNING_MAX_CHARS])
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'


def plain_response(plain: Any, *, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    """Ends with a newline, as what Kubernetes encodes: a terminal's prompt, and the next error, then begin a line."""
    return json_response(msgspec.json.encode(plain) + b"\n", status=status, warnings=warnings)


def yaml_response(body: bytes, *, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    text = yaml.dump(msgspec.json.decode(body), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return json_response(text.encode(), status=status, warnings=warnings, content_type="application/yaml")


def success_status(*, name: str = "", group: str = "", resource: str = "", uid: str = "") -> dict[str, Any]:
    """A Status of success; `resource` stands in details.kind, as Kubernetes has it."""
    pairs = (("name", name), ("group", group), ("kind", resource), ("uid", uid))
    details = {key: value for key, value in pairs if value}
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status | ({"details": details} if details else {})


def error_response(error: ApiError, warnings: Sequence[str] = ()) -> Response:
    response = plain_response(error.to_status(), status=error.code, warnings=warnings)
    if error.retry_after_s:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def no_such_path() -> NotFound:
    """What Kubernetes says of a resource or path that it does not serve."""
    return NotFound("the server could not find the requested resource")


def prettified(response: StreamResponse) -> StreamResponse:
    """For `?pretty`: indented JSON. Streams, large lists and other media stay as they are."""
    if not isinstance(response, Response) or response.content_type != JSON_TYPE:
        return response
    if isinstance(response.body, bytes) and response.body and "Content-Encoding" not in response.headers:
        response.body = msgspec.json.format(response.body, indent=2) + b"\n"
    return response


def accepts_gzip(request: BaseRequest) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


async def gzip_large(request: BaseRequest, response: Response) -> Response:
    """Compresses a large body in a thread, if the client accepts it."""
    body = response.body
    if not isinstance(body, bytes) or len(body) < GZIP_MIN_BYTES or not accepts_gzip(request):
        return response
    response.body = await asyncio.to_thread(gzip, body)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response
