"""The way to etcd for the rest of the store: calls by name, over one connection to one of several endpoints.

A call that finds no connection makes one, and those that come meanwhile wait for it, each within its own deadline.
After all endpoints have failed, calls fail at once until the back-off has passed. A call is never tried again here,
since its outcome is unknown. Why not grpcio: docs/decisions/etcd-transport.md.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from controlplane.store.rpc.connection import Call, Connection
from controlplane.store.rpc.messages import Code, Metadata, RpcError, framed, request_block
from orch.kit.backoff import Backoff
from orch.kit.tls import load_client_certificate

CONNECT_TIMEOUT_S = 2.0
RECONNECT_DELAY_S = 0.1
RECONNECT_DELAY_MAX_S = 1.0


class Endpoint(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Channel:
    """Without `tls` in the clear. Belongs to the loop of its first call."""

    def __init__(self, endpoints: Sequence[Endpoint], tls: ssl.SSLContext | None) -> None:
        self._endpoints = endpoints
        self._tls = tls
        self._turn = 0
        self._connection: Connection | None = None
        self._draining: list[Connection] = []
        self._blocks: dict[tuple[str, float | None, Metadata], bytes] = {}
        self._connecting = asyncio.Lock()
        self._backoff: Backoff[None] = Backoff(RECONNECT_DELAY_S, RECONNECT_DELAY_MAX_S)
        self._not_before = 0.0
        self._failure = ""
        self._closed = False

    async def unary(self, method: str, request: bytes, timeout_s: float) -> bytes:
        """`method` is `/package.Service/Method`. Raises RpcError."""
        connection = await self._connected(timeout_s)
        call = connection.start(self._block(method, timeout_s, ()), framed(request), timeout_s, unary=True)
        try:
            return await call.answer()
        finally:
            connection.cancel(call)

    @asynccontextmanager
    async def stream(self, method: str, timeout_s: float | None, metadata: Metadata = ()) -> AsyncIterator[Call]:
        """Messages both ways until the context ends. Raises RpcError."""
        connection = await self._connected(timeout_s)
        call = connection.start(self._block(method, timeout_s, metadata), b"", timeout_s, unary=False)
        try:
            yield call
        finally:
            connection.cancel(call)

    async def close(self) -> None:
        """Calls in flight end with UNAVAILABLE, later ones too."""
        self._closed = True
        for connection in (*self._draining, *([self._connection] if self._connection else [])):
            connection.refuse()
            connection.close("closed by us")
            await connection.lost

    def _block(self, method: str, timeout_s: float | None, metadata: Metadata) -> bytes:
        """Methods and their timeouts are few: each is encoded once."""
        key = (method, timeout_s, metadata)
        if key not in self._blocks:
            scheme = "https" if self._tls else "http"
            self._blocks[key] = request_block(scheme, str(self._endpoints[0]), *key)
        return self._blocks[key]

    async def _connected(self, timeout_s: float | None) -> Connection:
        if self._connection and self._connection.usable:
            return self._connection
        try:
            async with asyncio.timeout(timeout_s), self._connecting:
                return await self._connect_once()
        except TimeoutError as error:
            raise RpcError(Code.UNAVAILABLE, f"no connection within {timeout_s:g} s: {self._failure}") from error

    async def _connect_once(self) -> Connection:
        """One round over the endpoints, unless somebody else has just made it."""
        if self._closed:
            raise RpcError(Code.UNAVAILABLE, "the connection is closed")
        if self._connection and self._connection.usable:
            return self._connection
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise RpcError(Code.UNAVAILABLE, self._failure)
        self._draining = [old for old in (*self._draining, self._connection) if old and not old.closed]
        for _ in self._endpoints:
            try:
                self._connection = await self._dial(loop)
            except OSError as error:
                self._failure = f"{self._endpoints[self._turn - 1]}: {error or type(error).__name__}"
            else:
                self._backoff.forget(None)
                return self._connection
        self._not_before = loop.time() + self._backoff.next_s(None)
        raise RpcError(Code.UNAVAILABLE, self._failure)

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Raises OSError, as TimeoutError and ssl's errors are. The next attempt takes the next endpoint."""
        endpoint, self._turn = self._endpoints[self._turn], (self._turn + 1) % len(self._endpoints)
        connection = Connection(loop)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await loop.create_connection(
                    lambda: connection, endpoint.host, endpoint.port, ssl=self._tls
                )
                session: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
                if session and session.selected_alpn_protocol() != "h2":
                    raise ConnectionError("the server does not speak HTTP/2")
                await connection.settled
        except BaseException:
            connection.close("the connection was not made")
            raise
        if self._closed:
            connection.close("closed by us")
            raise ConnectionError("closed by us")
        return connection


def client_tls(ca: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """From PEM texts."""
    context = ssl.create_default_context(cadata=ca.decode())
    context.set_alpn_protocols(["h2"])
    load_client_certificate(context, certificate, key)
    return context
