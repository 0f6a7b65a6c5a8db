"""Sends lists. Small ones as one body; large ones in slices that yield to the loop; compressed ones from segments that
are kept as long as the objects in them do not change.

A segment covers a run of neighbouring objects and is known by their revisions: no two objects of a kind share one, and
an object's bytes at a revision never change.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from aiohttp.web import BaseRequest, StreamResponse

from controlplane.apiserver.deflate import Segment, compress, gzip_parts, join
from controlplane.apiserver.forms import list_frame
from controlplane.apiserver.responses import GZIP_MIN_BYTES, accepts_gzip, json_headers, json_response
from controlplane.registry.interface import Listing, Stored
from orch.api.kind import Kind

SLICE_BYTES = 256 * 1024
RUN_ENDS_EVERY = 32
"""A run ends after an object whose revision is a multiple of this, so that a change moves no ends but its own."""
RUN_MAX = 64
CACHE_MAX_BYTES = 32 * 1024 * 1024

RunKey = tuple[str, str, tuple[int, ...]]
Run = list[Stored[Any]]


class Lists:
    """One per server, for its cache of segments."""

    def __init__(self) -> None:
        self._segments: OrderedDict[RunKey, Segment] = OrderedDict()
        self._cached_bytes = 0
        self._last: dict[str, tuple[Sequence[Stored[Any]], Segment]] = {}

    async def send(
        self, request: BaseRequest, kind: Kind[Any], listing: Listing[Any], warnings: Sequence[str]
    ) -> StreamResponse:
        """The objects as they are."""
        head, tail = list_frame(kind, listing)
        size = sum(len(stored.data) for stored in listing.items)
        if size >= GZIP_MIN_BYTES and accepts_gzip(request):
            parts = gzip_parts([compress(head), await self._items(kind, listing.items), compress(tail)])
            return await send_parts(request, parts, warnings, encoding="gzip")
        data = [stored.data for stored in listing.items]
        if size < GZIP_MIN_BYTES:
            return json_response(b"".join((head, b",".join(data), tail)), warnings=warnings)
        commas = [b","] * (2 * len(data) - 1)
        commas[::2] = data
        return await send_parts(request, [head, *commas, tail], warnings)

    async def _items(self, kind: Kind[Any], items: Sequence[Stored[Any]]) -> Segment:
        """All items as one segment. The registry gives the same sequence as long as nothing in it changed."""
        known = self._last.get(kind.resource)
        if known is None or known[0] is not items:
            segments = await self._compressed(kind, list(_runs(items)))
            known = self._last[kind.resource] = (items, join(segments))
        return known[1]

    async def _compressed(self, kind: Kind[Any], runs: Sequence[Run]) -> list[Segment]:
        """Segments of all runs with commas between; what is not cached is compressed in a thread."""
        keys = [(kind.api_version, kind.plural, tuple([stored.revision for stored in run])) for run in runs]
        missing = {key: run for key, run in zip(keys, runs, strict=True) if key not in self._segments}
        made = await asyncio.to_thread(_compress_runs, missing) if missing else {}
        segments: list[Segment] = []
        for key in keys:
            segment = made.get(key) or self._segments[key]
            segments += (segment, COMMA) if key != keys[-1] else (segment,)
            self._keep(key, segment)
        self._evict()
        return segments

    def _keep(self, key: RunKey, segment: Segment) -> None:
        if key not in self._segments:
            self._segments[key] = segment
            self._cached_bytes += len(segment.data)
        self._segments.move_to_end(key)

    def _evict(self) -> None:
        while self._cached_bytes > CACHE_MAX_BYTES:
            _, segment = self._segments.popitem(last=False)
            self._cached_bytes -= len(segment.data)


COMMA = compress(b",")


def _runs(items: Sequence[Stored[Any]]) -> Iterator[Run]:
    run: Run = []
    for stored in items:
        run.append(stored)
        if stored.revision % RUN_ENDS_EVERY == 0 or len(run) == RUN_MAX:
            yield run
            run = []
    if run:
        yield run


def _compress_runs(runs: dict[RunKey, Run]) -> dict[RunKey, Segment]:
    return {key: compress(b",".join([stored.data for stored in run])) for key, run in runs.items()}


async def send_parts(
    request: BaseRequest, parts: Sequence[bytes], warnings: Sequence[str], *, encoding: str = ""
) -> StreamResponse:
    """A body in slices, other requests served between them."""
    response = StreamResponse(headers=json_headers(warnings))
    if encoding:
        response.headers["Content-Encoding"] = encoding
        response.headers["Vary"] = "Accept-Encoding"
    response.content_length = sum(map(len, parts))
    await response.prepare(request)
    for piece in _slices(parts):
        await response.write(piece)
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _slices(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Neighbouring parts joined up to about SLICE_BYTES; a larger part stays whole."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= SLICE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
