"""Large bodies: sent in slices that yield to the loop, or compressed in a thread, so that other requests are served
between."""

from collections.abc import Sequence

from aiohttp.web import BaseRequest, StreamResponse

from controlplane.apiserver.responses import gzip_large, json_response

SLICE_BYTES = 256 * 1024


async def send_parts(request: BaseRequest, parts: Sequence[bytes], warnings: Sequence[str]) -> StreamResponse:
    """A JSON body made of `parts`, with status 200."""
    response = json_response(b"".join(parts), warnings=warnings)
    return await gzip_large(request, response)
