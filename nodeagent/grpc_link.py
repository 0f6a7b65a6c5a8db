"""The connection to the server over gRPC: mutual TLS for the session and its streams, one-way TLS to join.

One channel per session: its streams ride on it, each with its own flow control.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from nodeagent.link import LinkLost, StreamCall
from orch.errors import OrchError
from protos import node_pb2, node_pb2_grpc

TOKEN_METADATA = "orch-stream-token"
JOIN_TIMEOUT_S = 10.0
TOKEN_TIMEOUT_S = 10.0
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
READ_AHEAD_FRAMES = 16
STREAM_RPCS = {
    "attach": "Attach",
    "exec": "Exec",
    "logs": "Logs",
    "metrics": "Metrics",
    "port_forward": "PortForward",
}
"""Kind of OpenStream -> the RPC that it asks for."""
BROKEN = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError)
"""What grpc.aio raises when a call that was used is over."""
REFUSALS = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
)
"""Answers to Join that stay the same however often it is asked."""
_make_stub: Any = node_pb2_grpc.NodePlaneStub


class JoinRefused(OrchError):
    """The server did not give this machine a node's certificate."""


class TokenRefused(OrchError):
    """The server gave no ServiceAccount token; the message says why."""


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """Who this node is towards the server, and whom it believes to be the server."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes


async def join(target: str, ca_pem: bytes, node: str, token: str, csr_pem: bytes) -> bytes:
    """The node's certificate as PEM. Raises JoinRefused, LinkLost."""
    request = node_pb2.JoinRequest(token=token, node_name=node, csr_pem=csr_pem)
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem)
    async with grpc.aio.secure_channel(target, credentials, options=OPTIONS) as channel:
        try:
            answer: node_pb2.JoinResponse = await _make_stub(channel).Join(request, timeout=JOIN_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in REFUSALS:
                raise JoinRefused(f"{target} refused to let node {node!r} join: {error.details()}") from error
            raise LinkLost(f"joining through {target}: {error.details()}") from error
    return answer.certificate_pem


class GrpcDialer:
    """Makes sessions with the server at `target` (address:port). A new `certificate` counts from the next one on."""

    def __init__(self, target: str, certificate: NodeCertificate) -> None:
        self._target, self.certificate = target, certificate
        self._stub: Any = None
        """Of the session that is open, if one is."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator["_GrpcLink"]:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.certificate.ca_pem,
            private_key=self.certificate.key_pem,
            certificate_chain=self.certificate.certificate_pem,
        )
        async with grpc.aio.secure_channel(self._target, credentials, options=OPTIONS) as channel:
            stub = self._stub = _make_stub(channel)
            try:
                async with asyncio.TaskGroup() as group:
                    yield _GrpcLink(self._target, stub, stub.Session(), group)
            finally:
                self._stub = None

    async def issue_token(self, request: node_pb2.IssueTokenRequest) -> node_pb2.IssueTokenResponse:
        """A ServiceAccount token for a pod of this node. Raises LinkLost, TokenRefused."""
        if self._stub is None:
            raise LinkLost(f"there is no session with {self._target}")
        try:
            answer: node_pb2.IssueTokenResponse = await self._stub.IssueToken(request, timeout=TOKEN_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise TokenRefused(f"{self._target} gave no token: {error.details()}") from error
        except BROKEN as error:
            raise LinkLost(f"the session with {self._target} broke: {error}") from error
        return answer


class _GrpcLink:
    """Implements link.ServerLink."""

    def __init__(self, target: str, stub: Any, call: Any, group: asyncio.TaskGroup) -> None:
        self._target, self._stub, self._call, self._group = target, stub, call, group
        self._one_write = asyncio.Lock()
        """A call of grpc.aio breaks when two tasks write to it at the same time."""

    async def send(self, message: node_pb2.AgentMessage) -> None:
        try:
            async with self._one_write:
                await self._call.write(message)
        except BROKEN as error:
            raise self._lost(error) from error

    async def __aiter__(self) -> AsyncIterator[node_pb2.ServerMessage]:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._lost(error) from error
        if self._call.done() and await self._call.code() is not grpc.StatusCode.OK:
            raise LinkLost(f"the session with {self._target} ended: {await self._call.details()}")

    @asynccontextmanager
    async def open_stream(self, request: node_pb2.OpenStream) -> AsyncIterator[StreamCall]:
        metadata = ((TOKEN_METADATA, request.token),)
        kind = request.WhichOneof("request")
        if kind is None:
            raise LinkLost(f"{self._target} asked for a kind of stream that this agent does not know")
        call = getattr(self._stub, STREAM_RPCS[kind])(metadata=metadata)
        stream = _GrpcStreamCall(self._target, call)
        receiving = self._group.create_task(stream.receive())
        try:
            yield stream
        finally:
            receiving.cancel()
            call.cancel()

    def _lost(self, error: Exception) -> LinkLost:
        details = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        return LinkLost(f"the session with {self._target} broke: {details}")


class _GrpcStreamCall:
    """Reads ahead a little in a task of its own: cancelling a read of grpc.aio cancels the whole call."""

    def __init__(self, target: str, call: Any) -> None:
        self._target, self._call = target, call
        self._received: asyncio.Queue[node_pb2.StreamFrame | None] = asyncio.Queue(READ_AHEAD_FRAMES)

    async def receive(self) -> None:
        with contextlib.suppress(*BROKEN):
            while (frame := await self._call.read()) is not grpc.aio.EOF:
                await self._received.put(frame)
        await self._received.put(None)

    async def read(self) -> node_pb2.StreamFrame | None:
        frame = await self._received.get()
        if frame is None:
            self._received.put_nowait(None)  # the end is the end, however often it is asked for
        return frame

    async def write(self, frame: node_pb2.StreamFrame) -> None:
        try:
            await self._call.write(frame)
        except BROKEN as error:
            raise LinkLost(f"the stream to {self._target} broke: {error}") from error

    async def finish(self) -> None:
        with contextlib.suppress(*BROKEN):
            await self._call.done_writing()
        while await self.read() is not None:
            continue
