"""The log subresource: the node's stream passed on as text/plain (core/v1 PodLogOptions)."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import structlog
from aiohttp.web import StreamResponse

from controlplane.apiserver.call import Call
from controlplane.apiserver.pods import ContainerTarget, PodLookup
from controlplane.apiserver.query import Query
from controlplane.apiserver.streams import LogRequest, NodeStreams
from orch.api.base import Time
from orch.errors import ApiError, BadRequest, Cause, Invalid
from orch.kit.clock import Clock

log = structlog.get_logger(__name__)

STREAMS = ("All", "Stdout", "Stderr")


class PodLogs:
    def __init__(self, lookup: PodLookup, streams: NodeStreams, clock: Clock) -> None:
        self._lookup = lookup
        self._streams = streams
        self._clock = clock

    async def serve(self, call: Call) -> StreamResponse:
        """A node that refuses does so when the stream opens, and the client gets a Status; a later failure ends the
        connection, since a client must not take half a log for the whole."""
        target = await self._lookup.find(call)
        request = log_request(call.query, target, self._clock.now())
        async with self._streams.logs(target.node, request) as chunks:
            response = StreamResponse(headers={"Content-Type": "text/plain"})
            response.enable_chunked_encoding()
            await response.prepare(call.request)
            try:
                await _copy(response, chunks)
            except ApiError as error:
                log.warning("log_stream_broken", pod=target.pod, namespace=target.namespace, error=error.message)
                raise ConnectionResetError("the log stream of the node broke") from error
        await response.write_eof()
        return response


async def _copy(response: StreamResponse, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        if chunk:
            await response.write(chunk)


def log_request(query: Query, target: ContainerTarget, now: datetime) -> LogRequest:
    """Raises Invalid with every wrong option, BadRequest for one that is no number or time."""
    tail, limit, since_s = (query.integer(name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
    since_time, stream = query.text("sinceTime"), query.text("stream") or "All"
    causes = [
        *_at_least("tailLines", tail, 0),
        *_at_least("limitBytes", limit, 1),
        *_at_least("sinceSeconds", since_s, 1),
    ]
    if since_time and since_s is not None:
        causes.append(Cause("FieldValueForbidden", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if stream not in STREAMS:
        supported = ", ".join(f'"{name}"' for name in STREAMS)
        why = f'Unsupported value: "{stream}": supported values: {supported}'
        causes.append(Cause("FieldValueNotSupported", why, "stream"))
    if tail is not None and stream in STREAMS[1:]:
        causes.append(Cause("FieldValueForbidden", "`tailLines` and specific `stream` are mutually exclusive for now"))
    if causes:
        message = ", ".join(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes)
        raise Invalid(f'PodLogOptions "" is invalid: {message}', kind="PodLogOptions", causes=causes)
    since = _time(since_time) if since_time else None
    return LogRequest(
        pod_uid=target.pod_uid,
        namespace=target.namespace,
        pod=target.pod,
        container=target.container,
        follow=query.flag("follow"),
        previous=query.flag("previous"),
        timestamps=query.flag("timestamps"),
        tail_lines=tail,
        limit_bytes=limit,
        since_time_unix_s=now.timestamp() - since_s if since_s is not None else since,
        stream=stream,
    )


def _at_least(field: str, value: int | None, low: int) -> list[Cause]:
    if value is None or value >= low:
        return []
    return [Cause("FieldValueInvalid", f"Invalid value: {value}: must be greater than or equal to {low}", field)]


def _time(text: str) -> float:
    try:
        return msgspec.convert(text, Time).timestamp()
    except msgspec.ValidationError as error:
        raise BadRequest(f'invalid value "{text}" for query parameter "sinceTime": RFC 3339 is needed') from error
