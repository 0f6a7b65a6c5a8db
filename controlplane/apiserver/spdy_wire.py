"""A remote command over SPDY/3.1: one SPDY stream per channel.

The client opens a stream for each channel and names it in the header `streamtype`; when it ends its stdin stream, stdin
has ended. This is what kubectl before 1.30 and Go clients speak.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from controlplane.apiserver.byte_wires import ByteWire
from controlplane.apiserver.channels import plain_error
from controlplane.apiserver.spdy import Connection, Data, Ended, Event, Opened, Reset, SpdyError, data_frame
from controlplane.apiserver.streams import Channel, Frame
from orch.errors import BadRequest

STATUS_PROTOCOL = "v4.channel.k8s.io"
PROTOCOLS = (STATUS_PROTOCOL, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""Of X-Stream-Protocol-Version. Before v4 the error stream carries a plain message."""
CHANNELS = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.ERROR,
    "resize": Channel.RESIZE,
}
CLOSE_STDIN = Frame(Channel.CLOSE, bytes((Channel.STDIN,)))
STREAMS_TIMEOUT_S = 30.0
"""For the client to open its streams, as kubelet has it."""
CLIENT_CLOSE_TIMEOUT_S = 5.0
"""For the client to close the connection once it has been told the end; closing first could cost it the last bytes."""


def choose(offered: Sequence[str], supported: Sequence[str] = PROTOCOLS) -> str:
    """From the X-Stream-Protocol-Version headers; the client's order is its preference. Raises BadRequest."""
    names = [name.strip() for header in offered for name in header.split(",")]
    for name in names:
        if name in supported:
            return name
    raise BadRequest(
        f"none of the stream protocols is supported: {', '.join(names)}; supported: {', '.join(supported)}"
    )


class SpdyWire:
    """The client's end of a remote command."""

    def __init__(self, wire: ByteWire, protocol: str) -> None:
        self._wire = wire
        self._protocol = protocol
        self._connection = Connection()
        self._streams: dict[Channel, int] = {}
        self._early: list[Frame] = []

    async def open(self, needed: set[Channel]) -> None:
        """Waits for the streams of the channels. Raises ConnectionError when they do not come."""
        try:
            async with asyncio.timeout(STREAMS_TIMEOUT_S):
                while not needed <= self._streams.keys():
                    self._early += await self._read_more()
        except TimeoutError as error:
            raise ConnectionAbortedError("the client did not open its streams") from error

    async def _read_more(self) -> list[Frame]:
        frames = await self._read()
        if frames is None:
            raise ConnectionResetError("the client left before its streams were open")
        return frames

    async def frames(self) -> AsyncIterator[Frame]:
        for frame in self._early:
            yield frame
        while (frames := await self._read()) is not None:
            for frame in frames:
                yield frame

    async def send(self, frame: Frame) -> None:
        data = frame.data
        if frame.channel is Channel.ERROR and self._protocol != STATUS_PROTOCOL:
            data = plain_error(data)
        stream = self._streams.get(frame.channel)
        if stream is not None and data:
            await self._wire.write(data_frame(stream, data))

    async def finish(self) -> None:
        """Ends all streams and waits for the client to close the connection."""
        await self._wire.write(b"".join(data_frame(stream, b"", fin=True) for stream in self._streams.values()))
        try:
            async with asyncio.timeout(CLIENT_CLOSE_TIMEOUT_S):
                while await self._read() is not None:
                    pass
        except TimeoutError:
            return

    async def _read(self) -> list[Frame] | None:
        """What arrived next; None at the end of the connection."""
        data = await self._wire.read()
        if not data:
            return None
        try:
            events, answer = self._connection.receive(data)
        except SpdyError as error:
            raise ConnectionAbortedError(str(error)) from error
        if answer:
            await self._wire.write(answer)
        return [frame for event in events if (frame := self._frame(event)) is not None]

    def _frame(self, event: Event) -> Frame | None:
        if isinstance(event, Opened):
            channel = CHANNELS.get(event.headers.get("streamtype", ""))
            if channel is not None:
                self._streams[channel] = event.stream
            return None
        channel = next((known for known, stream in self._streams.items() if stream == event.stream), None)
        if isinstance(event, Ended | Reset):
            return CLOSE_STDIN if channel is Channel.STDIN else None
        is_input = isinstance(event, Data) and channel in (Channel.STDIN, Channel.RESIZE)
        return Frame(channel, event.data) if is_input and channel is not None else None
