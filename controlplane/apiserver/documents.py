"""Documents that are the same for everybody (discovery, OpenAPI) as answers: ETag, 304, compressed once."""

import hashlib
from dataclasses import dataclass

from aiohttp.web import BaseRequest, Response

from controlplane.apiserver.deflate import gzip
from controlplane.apiserver.responses import GZIP_MIN_BYTES, accepts_gzip, json_response

YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as it is sent."""

    body: bytes
    media: str
    hash: str
    gzipped: bytes
    """Empty for a body that is too small to gain."""


def prepared(body: bytes, media: str) -> Prepared:
    """Large ones are to be prepared in a thread, and kept."""
    gzipped = gzip(body) if len(body) >= GZIP_MIN_BYTES else b""
    return Prepared(body, media, hashlib.sha256(body).hexdigest().upper(), gzipped)


def document_response(request: BaseRequest, document: Prepared, *, asked_hash: str = "") -> Response:
    """304 without a body when the client has the document already. Who asks for it by its hash may keep it for ever."""
    etag = f'"{document.hash}"'
    if request.headers.get("If-None-Match", "") == etag:
        response = json_response(b"", status=304, content_type=document.media)
    elif document.gzipped and accepts_gzip(request):
        response = json_response(document.gzipped, content_type=document.media)
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = json_response(document.body, content_type=document.media)
    response.headers["ETag"] = etag
    response.headers["Vary"] = "Accept, Accept-Encoding"
    if asked_hash == document.hash:
        response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
    return response


def moved_response(path: str, document: Prepared) -> Response:
    """For who asks for another hash than the document has now, as kube-apiserver answers."""
    return Response(status=301, headers={"Location": f"{path}?hash={document.hash}"})
