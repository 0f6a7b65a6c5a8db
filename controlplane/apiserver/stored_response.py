"""The answer to most requests: bytes that are there already. Head and body go out in one write.

aiohttp's own Response builds a header map and serializes it each time, which costs more than finding the object. This
one is only for HTTP/1.1 connections that stay open; everything else is left to `json_response`.
"""

from email.utils import formatdate

from aiohttp import HttpVersion11
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web import BaseRequest, StreamResponse

from orch.kit.clock import Clock

HEAD = (
    b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nCache-Control: no-cache, private\r\n"
    b"Date: %s\r\nContent-Length: %d\r\n\r\n"
)
REASONS = {200: b"OK", 201: b"Created"}


class DateText:
    """The Date header's value, made once per second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._renew_at = 0.0
        self._text = b""

    def now(self) -> bytes:
        moment = self._clock.monotonic()
        if moment >= self._renew_at:
            self._renew_at = moment + 1
            self._text = formatdate(self._clock.now().timestamp(), usegmt=True).encode()
        return self._text


class StoredResponse(StreamResponse):
    """Written whole when it is prepared."""

    def __init__(self, body: bytes, status: int, date: bytes) -> None:
        super().__init__(status=status)
        self._whole = HEAD % (status, REASONS[status], date, len(body)) + body

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        transport.write(self._whole)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        assert not data, "the body was given at the beginning"


def fits(request: BaseRequest) -> bool:
    return request.version == HttpVersion11 and request.keep_alive
