"""The gRPC servers of the nodeplane: the session port (mutual TLS) and the join port (server-authenticated TLS).

Two ports, since gRPC asks all clients of a port for a certificate or none. A node is who its certificate's common
name says; nothing in a message can claim another. Errors of the API become gRPC statuses here and nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog

from controlplane.nodeplane.join import Joiner
from controlplane.nodeplane.nodeplane import NodePlane
from controlplane.nodeplane.session import LinkClosed
from orch.api.identities import NODE_USER_PREFIX
from orch.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OrchError,
    ServiceUnavailable,
    Unauthorized,
)
from orch.pki import KeyPair
from protos import node_pb2, node_pb2_grpc

log = structlog.get_logger(__name__)

TOKEN_METADATA = "orch-stream-token"
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
STOP_GRACE_S = 1.0
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_STATUS_OF: tuple[tuple[type[ApiError], grpc.StatusCode], ...] = (
    (Unauthorized, grpc.StatusCode.UNAUTHENTICATED),
    (Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (BadRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (Conflict, grpc.StatusCode.ABORTED),
    (ServiceUnavailable, grpc.StatusCode.UNAVAILABLE),
)
_RPC_ENDED = (grpc.aio.BaseError, grpc.RpcError, asyncio.InvalidStateError)
"""What gRPC raises for reading from, or writing to, an RPC that is over."""

Context = grpc.aio.ServicerContext[Any, Any]
_add_servicer: Any = node_pb2_grpc.add_NodePlaneServicer_to_server


@dataclass(frozen=True, slots=True)
class ServerTls:
    """`server` is shown to agents; agents must show a certificate that `ca_pem` signed."""

    server: KeyPair
    ca_pem: bytes

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        pair = (self.server.key_pem, self.server.cert_pem)
        return grpc.ssl_server_credentials(
            [pair], root_certificates=self.ca_pem if mutual else None, require_client_auth=mutual
        )


class NodePlaneServer:
    def __init__(
        self,
        nodeplane: NodePlane,
        joiner: Joiner,
        tls: ServerTls,
        *,
        cluster_id: str,
        session_binds: Sequence[str],
        join_binds: Sequence[str],
    ) -> None:
        """Binds are `address:port`; port 0 takes a free one, which `session_ports` and `join_ports` then say."""
        self._nodeplane, self._joiner, self._tls, self._cluster_id = nodeplane, joiner, tls, cluster_id
        self._session_binds, self._join_binds = session_binds, join_binds
        self.session_ports: list[int] = []
        self.join_ports: list[int] = []
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Serves until cancelled. Raises RuntimeError when a port is taken."""
        sessions, joins = grpc.aio.server(options=OPTIONS), grpc.aio.server(options=OPTIONS)
        _add_servicer(_SessionServicer(self._nodeplane), sessions)
        _add_servicer(_JoinServicer(self._joiner, self._cluster_id), joins)
        mutual, one_way = self._tls.credentials(mutual=True), self._tls.credentials(mutual=False)
        self.session_ports = [sessions.add_secure_port(bind, mutual) for bind in self._session_binds]
        self.join_ports = [joins.add_secure_port(bind, one_way) for bind in self._join_binds]
        try:
            await sessions.start()
            await joins.start()
            self.started.set()
            await sessions.wait_for_termination()
        finally:
            await asyncio.gather(sessions.stop(STOP_GRACE_S), joins.stop(STOP_GRACE_S))


class _GrpcLink:
    """A session's Link over its RPC."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send(self, message: node_pb2.ServerMessage) -> None:
        try:
            await self._context.write(message)
        except (grpc.aio.UsageError, grpc.RpcError, asyncio.InvalidStateError) as error:
            raise LinkClosed(f"writing to the agent failed: {error}") from error

    async def __aiter__(self) -> AsyncIterator[node_pb2.AgentMessage]:
        while (message := await self._context.read()) is not grpc.aio.EOF:
            yield message


class _GrpcCall:
    """A stream's Call over its RPC."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self) -> node_pb2.StreamFrame | None:
        try:
            frame = await self._context.read()
        except _RPC_ENDED:
            return None
        return None if frame is grpc.aio.EOF else frame

    async def write(self, frame: node_pb2.StreamFrame) -> None:
        try:
            await self._context.write(frame)
        except _RPC_ENDED as error:
            raise ConnectionResetError("the node's agent ended the stream") from error


class _SessionServicer(node_pb2_grpc.NodePlaneServicer):
    def __init__(self, nodeplane: NodePlane) -> None:
        self._nodeplane = nodeplane

    async def Session(self, request_iterator: Any, context: Context) -> None:
        node = await _node_of(context)
        try:
            await self._nodeplane.serve(node, _GrpcLink(context))
        except OrchError as error:
            await _abort(context, error)

    async def Exec(self, request_iterator: Any, context: Context) -> None:
        await self._stream(context)

    async def Logs(self, request_iterator: Any, context: Context) -> None:
        await self._stream(context)

    async def Attach(self, request_iterator: Any, context: Context) -> None:
        await self._stream(context)

    async def PortForward(self, request_iterator: Any, context: Context) -> None:
        await self._stream(context)

    async def Metrics(self, request_iterator: Any, context: Context) -> None:
        await self._stream(context)

    async def IssueToken(self, request: node_pb2.IssueTokenRequest, context: Context) -> node_pb2.IssueTokenResponse:
        node = await _node_of(context)
        try:
            return await self._nodeplane.tokens.issue(node, request)
        except OrchError as error:
            await _abort(context, error)

    async def _stream(self, context: Context) -> None:
        node = await _node_of(context)
        token = dict(context.invocation_metadata() or ()).get(TOKEN_METADATA, "")
        try:
            await self._nodeplane.streams.serve(node, str(token), _GrpcCall(context))
        except OrchError as error:
            await _abort(context, error)


class _JoinServicer(node_pb2_grpc.NodePlaneServicer):
    def __init__(self, joiner: Joiner, cluster_id: str) -> None:
        self._joiner, self._cluster_id = joiner, cluster_id

    async def Join(self, request: node_pb2.JoinRequest, context: Context) -> node_pb2.JoinResponse:
        try:
            certificate = self._joiner.join(request.node_name, request.token, request.csr_pem)
        except OrchError as error:
            await _abort(context, error)
        return node_pb2.JoinResponse(certificate_pem=certificate, cluster_id=self._cluster_id)


async def _node_of(context: Context) -> str:
    user = b"".join(context.auth_context().get("x509_common_name", ())).decode()
    if not user.startswith(NODE_USER_PREFIX):
        await _abort(context, Forbidden(f"{user!r} is no node: its certificate does not name one"))
    return user.removeprefix(NODE_USER_PREFIX)


async def _abort(context: Context, error: OrchError) -> NoReturn:
    status = next((s for kind, s in _STATUS_OF if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
    await context.abort(status, str(error))
    raise AssertionError("abort raises")
