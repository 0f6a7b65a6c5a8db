"""The client's side of one HTTP/2 connection (RFC 9113), without I/O: bytes in, events out, bytes to send.

Only what gRPC needs: no push, no priorities. The dynamic table of HPACK is switched off in both directions, so that a
header block means the same wherever it stands: it is encoded and decoded once, then looked up.
Invariant: nothing is sent beyond the peer's windows, frame size and number of streams; it waits here, in order.
"""

from collections import deque
from collections.abc import Iterable, Mapping

import hpack
import msgspec

from controlplane.store.rpc import frames
from controlplane.store.rpc.frames import ErrorCode, Frame, FrameCutter, Kind, ProtocolError, Setting

PROTOCOL_WINDOW_BYTES = 65_535
"""Where every window begins that no setting has changed."""
WINDOW_BYTES_MAX = 2**31 - 1
CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024
STREAM_WINDOW_BYTES = 4 * 1024 * 1024
STREAM_ID_LAST = 2**30
"""Half of what there is, so that those who wait for their turn still find one."""
HEADER_BLOCK_BYTES_MAX = 64 * 1024
HEADER_BLOCKS_KEPT_MAX = 256

_OUR_SETTINGS = {
    Setting.HEADER_TABLE_SIZE: 0,
    Setting.ENABLE_PUSH: 0,
    Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
    Setting.MAX_FRAME_SIZE: frames.FRAME_BYTES_MAX,
}


class Stream:
    """One request and its answer. A handle for the caller, who must not change it; `id` is 0 until it may be sent."""

    __slots__ = ("block", "finishing", "id", "outbox", "sent", "unacknowledged", "window")

    def __init__(self, block: bytes, body: bytes, finishing: bool) -> None:
        self.id = 0
        self.block = block
        self.outbox = body
        self.sent = 0
        """How much of the outbox has gone."""
        self.finishing = finishing
        """Nothing follows the outbox."""
        self.window = 0
        self.unacknowledged = 0
        """Received bytes that no WINDOW_UPDATE has given back."""


class Headers(msgspec.Struct, gc=False):
    """`ended`: the answer is complete, so these are trailers, perhaps the only headers."""

    stream: Stream
    headers: Mapping[str, str]
    ended: bool


class Data(msgspec.Struct, gc=False):
    stream: Stream
    data: bytes
    ended: bool


class Reset(msgspec.Struct, gc=False):
    stream: Stream
    code: int


Event = Headers | Data | Reset


class Http2Client:
    def __init__(self) -> None:
        self.settled = False
        """The peer's settings have arrived: its limits are known."""
        self.draining = False
        """No further request can be made on this connection."""
        self._cutter = FrameCutter()
        self._blocks = HeaderBlocks()
        self._fragments: list[bytes] = []
        self._fragmented: Frame | None = None
        self._streams: dict[int, Stream] = {}
        self._waiting: deque[Stream] = deque()
        self._blocked: dict[int, Stream] = {}
        self._next_id = 1
        self._window = PROTOCOL_WINDOW_BYTES
        self._initial_window = PROTOCOL_WINDOW_BYTES
        self._frame_bytes_max = 16_384
        self._streams_max = WINDOW_BYTES_MAX
        self._unacknowledged = 0
        enlarge = frames.window_update(0, CONNECTION_WINDOW_BYTES - PROTOCOL_WINDOW_BYTES)
        self._out = [frames.PREFACE, frames.settings_frame(_OUR_SETTINGS), enlarge]

    # What the caller does

    def to_send(self) -> bytes:
        """Everything since the last call."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def request(self, block: bytes, body: bytes, *, finishing: bool) -> Stream:
        """`block` is an encoded header block of less than 16 KiB. Not while `draining`."""
        stream = Stream(block, body, finishing)
        if len(self._streams) < self._streams_max:
            self._open(stream)
        else:
            self._waiting.append(stream)
        return stream

    def send(self, stream: Stream, data: bytes) -> None:
        """More of the request's body. Without effect on a stream that has ended."""
        stream.outbox, stream.sent = stream.outbox[stream.sent :] + data, 0
        if stream.id in self._streams:
            self._pump(stream)

    def acknowledge(self, stream: Stream, size: int) -> None:
        """`size` bytes of data have been dealt with: the peer may send as many again."""
        stream.unacknowledged += size
        if stream.unacknowledged >= STREAM_WINDOW_BYTES // 2 and stream.id in self._streams:
            self._out.append(frames.window_update(stream.id, stream.unacknowledged))
            stream.unacknowledged = 0

    def cancel(self, stream: Stream) -> None:
        """No event of this stream follows. Without effect on one that has ended."""
        if stream.id in self._streams:
            self._out.append(frames.rst_stream(stream.id, ErrorCode.CANCEL))
            self._forget(stream)
        elif not stream.id and stream in self._waiting:
            self._waiting.remove(stream)

    def ping(self) -> None:
        self._out.append(frames.frame(Kind.PING, 0, 0, bytes(8)))

    def go_away(self, code: ErrorCode) -> None:
        self._out.append(frames.goaway(code))

    # What the peer does

    def receive(self, data: bytes) -> list[Event]:
        """Raises ProtocolError, after which the connection is of no use."""
        events: list[Event] = []
        for frame in self._cutter.feed(data):
            if self._fragmented and frame.kind != Kind.CONTINUATION:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame between the parts of a header block")
            self._handle(frame, events)
        return events

    def _handle(self, frame: Frame, events: list[Event]) -> None:
        match frame.kind:
            case Kind.DATA:
                self._on_data(frame, events)
            case Kind.HEADERS | Kind.CONTINUATION:
                self._on_headers(frame, events)
            case Kind.WINDOW_UPDATE:
                self._on_window_update(frame.stream_id, frames.word(frame.payload))
            case Kind.RST_STREAM:
                self._on_reset(frame, events)
            case Kind.SETTINGS:
                self._on_settings(frame)
            case Kind.PING if not frame.flags & frames.ACK:
                self._out.append(frames.frame(Kind.PING, frames.ACK, 0, frame.payload))
            case Kind.GOAWAY:
                self._on_goaway(frames.word(frame.payload), events)
            case Kind.PUSH_PROMISE:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a push, which our settings forbid")

    def _on_data(self, frame: Frame, events: list[Event]) -> None:
        """Padding counts as received (RFC 9113, 6.9.1); the connection's window is given back whoever reads."""
        size = len(frame.payload)
        self._unacknowledged += size
        if self._unacknowledged >= CONNECTION_WINDOW_BYTES // 2:
            self._out.append(frames.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        stream = self._stream_of(frame)
        if stream is None:
            return
        data = frames.content(frame)
        ended = bool(frame.flags & frames.END_STREAM)
        events.append(Data(stream, data, ended))
        if ended:
            self._on_end(stream)
        elif len(data) < size:
            self.acknowledge(stream, size - len(data))

    def _on_headers(self, frame: Frame, events: list[Event]) -> None:
        """A block may come in parts, of which the first says whose it is and whether it is the last of its stream."""
        first = self._fragmented or frame
        if frame.kind == Kind.CONTINUATION and (not self._fragmented or frame.stream_id != first.stream_id):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing")
        self._fragments.append(frames.content(frame) if frame is first else frame.payload)
        if not frame.flags & frames.END_HEADERS:
            self._fragmented = first
            if sum(map(len, self._fragments)) > HEADER_BLOCK_BYTES_MAX:
                raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")
            return
        headers = self._blocks.decode(b"".join(self._fragments))
        self._fragments, self._fragmented = [], None
        if (stream := self._stream_of(first)) is not None:
            ended = bool(first.flags & frames.END_STREAM)
            events.append(Headers(stream, headers, ended))
            if ended:
                self._on_end(stream)

    def _stream_of(self, frame: Frame) -> Stream | None:
        """None for one that we have cancelled."""
        if frame.stream_id >= self._next_id or not frame.stream_id % 2:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"stream {frame.stream_id} was never opened")
        return self._streams.get(frame.stream_id)

    def _on_end(self, stream: Stream) -> None:
        """An answer may come before the request is complete: the rest is not wanted."""
        if not stream.finishing or stream.sent < len(stream.outbox):
            self._out.append(frames.rst_stream(stream.id, ErrorCode.CANCEL))
        self._forget(stream)

    def _on_reset(self, frame: Frame, events: list[Event]) -> None:
        if (stream := self._stream_of(frame)) is not None:
            events.append(Reset(stream, frames.word(frame.payload)))
            self._forget(stream)

    def _on_goaway(self, last_id: int, events: list[Event]) -> None:
        """What is newer than `last_id` was not looked at; the rest is still answered."""
        self.draining = True
        refused = [stream for stream in self._streams.values() if stream.id > last_id]
        for stream in refused:
            self._streams.pop(stream.id)
            self._blocked.pop(stream.id, None)
        events += [Reset(stream, ErrorCode.REFUSED_STREAM) for stream in (*refused, *self._waiting)]
        self._waiting.clear()

    def _on_settings(self, frame: Frame) -> None:
        if frame.flags & frames.ACK:
            return
        for setting, value in frames.settings_of(frame.payload):
            match setting:
                case Setting.INITIAL_WINDOW_SIZE:
                    self._change_initial_window(value)
                case Setting.MAX_FRAME_SIZE:
                    self._frame_bytes_max = value
                case Setting.MAX_CONCURRENT_STREAMS:
                    self._streams_max = value
        self.settled = True
        self._out.append(frames.frame(Kind.SETTINGS, frames.ACK, 0, b""))
        self._pump_blocked()
        self._open_waiting()

    def _change_initial_window(self, value: int) -> None:
        """Counts for open streams too, and may leave them below zero (RFC 9113, 6.9.2)."""
        for stream in self._streams.values():
            stream.window += value - self._initial_window
        self._initial_window = value

    def _on_window_update(self, stream_id: int, size: int) -> None:
        if not stream_id:
            self._window += size
            self._pump_blocked()
        elif stream := self._streams.get(stream_id):
            stream.window += size
            if stream_id in self._blocked:
                self._pump(stream)
        if self._window > WINDOW_BYTES_MAX:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31 - 1")

    # Sending within the peer's limits

    def _open(self, stream: Stream) -> None:
        stream.id, self._next_id = self._next_id, self._next_id + 2
        if self._next_id > STREAM_ID_LAST:
            self.draining = True
        stream.window = self._initial_window
        self._streams[stream.id] = stream
        self._out.append(frames.frame(Kind.HEADERS, frames.END_HEADERS, stream.id, stream.block))
        self._pump(stream)

    def _pump(self, stream: Stream) -> None:
        """Sends what the windows allow; the rest waits for them."""
        total = len(stream.outbox)
        while stream.sent < total:
            size = min(total - stream.sent, stream.window, self._window, self._frame_bytes_max)
            if size <= 0:
                self._blocked[stream.id] = stream
                return
            end = stream.sent + size
            flags = frames.END_STREAM if stream.finishing and end == total else 0
            self._out.append(frames.frame_head(size, Kind.DATA, flags, stream.id))
            self._out.append(stream.outbox[stream.sent : end])
            stream.sent = end
            stream.window -= size
            self._window -= size
        self._blocked.pop(stream.id, None)

    def _pump_blocked(self) -> None:
        for stream in list(self._blocked.values()):
            if self._window <= 0:
                return
            self._pump(stream)

    def _open_waiting(self) -> None:
        while self._waiting and len(self._streams) < self._streams_max:
            self._open(self._waiting.popleft())

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.id]
        self._blocked.pop(stream.id, None)
        if self._waiting:
            self._open_waiting()


class HeaderBlocks:
    """Decodes header blocks. Without a dynamic table a block says all by itself, and equal blocks are equal headers."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0
        self._known: dict[bytes, Mapping[str, str]] = {}

    def decode(self, block: bytes) -> Mapping[str, str]:
        """Names in lower case; the last of several equal ones counts. Raises ProtocolError."""
        headers = self._known.get(block)
        if headers is None:
            try:
                headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
            except hpack.HPACKError as error:
                raise ProtocolError(
                    ErrorCode.COMPRESSION_ERROR, f"a header block that cannot be read: {error}"
                ) from error
            if len(self._known) >= HEADER_BLOCKS_KEPT_MAX:
                self._known.clear()
            self._known[block] = headers
        return headers


def encode_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """A header block that changes no table: it sets the dynamic table to 0, then nothing is added to it."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode([(name, value, True) for name, value in headers], huffman=False)
