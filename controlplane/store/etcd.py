"""The etcd v3 store: a thin client on a connection of our own (`rpc/`).

Ranges are read in pages at one revision. Reads are tried again when etcd is out of reach, a few times; writes never,
since their outcome is unknown: the caller reads and decides anew. A lost watch ends with StoreUnavailable; resuming is
the caller's part, since only it knows how far it came.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from google.protobuf.message import Message

from controlplane.store import etcd_wire as wire
from controlplane.store.backend import (
    Changes,
    Committed,
    Compacted,
    Delete,
    Entry,
    FutureRevision,
    Guard,
    Page,
    Put,
    Refused,
    StoreError,
    StoreUnavailable,
)
from controlplane.store.rpc.channel import Channel, Endpoint, client_tls
from controlplane.store.rpc.connection import Call
from controlplane.store.rpc.messages import Metadata, RpcError
from protos import etcd_pb2 as pb

A = TypeVar("A")

RANGE_PAGE_ENTRIES = 500
RPC_TIMEOUT_S = 5.0
READ_ATTEMPTS_MAX = 3
READ_RETRY_DELAY_S = 0.2
NO_KEY = b"\0none"

_REQUIRE_LEADER = (("hasleader", "true"),)
"""A watch on a member that lost its leader ends instead of falling silent."""


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM texts: who signs etcd's certificate, and the certificate that we present."""

    ca: bytes
    certificate: bytes
    key: bytes


def open_channel(endpoints: Sequence[str], tls: EtcdTls | None) -> Channel:
    """To one of several `https://host:port`; `http://` without `tls`. Raises StoreError for what it can't use."""
    addresses = [_endpoint(endpoint, "https" if tls else "http") for endpoint in endpoints]
    try:
        return Channel(addresses, client_tls(tls.ca, tls.certificate, tls.key) if tls else None)
    except ssl.SSLError as error:
        raise StoreError(f"the certificates for etcd cannot be used: {error}") from error


def _endpoint(url: str, scheme: str) -> Endpoint:
    parts = urlsplit(url)
    if parts.scheme != scheme or not parts.hostname or not parts.port:
        raise StoreError(f"etcd endpoint {url!r}: expected {scheme}://host:port")
    return Endpoint(parts.hostname, parts.port)


class EtcdBackend:
    """A `Backend`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @classmethod
    async def connect(cls, endpoints: Sequence[str], tls: EtcdTls | None) -> "EtcdBackend":
        """Raises StoreUnavailable when no endpoint answers."""
        backend = cls(open_channel(endpoints, tls))
        try:
            await backend.revision()
        except StoreError:
            await backend.close()
            raise
        return backend

    async def get(self, key: str, *, revision: int = 0) -> tuple[Entry | None, int]:
        reply = await self._range(pb.RangeRequest(key=key.encode(), revision=revision))
        return (wire.entry_of(reply.kvs[0]) if reply.kvs else None), reply.header.revision

    async def range(self, prefix: str, *, start_after: str = "", limit: int = 0, revision: int = 0) -> Page:
        entries: list[Entry] = []
        while True:
            page = await self._page(prefix, start_after, limit - len(entries) if limit else 0, revision)
            entries += page.entries
            if not page.more or len(entries) == limit:
                return Page(tuple(entries), page.revision, page.more, page.remaining)
            start_after, revision = entries[-1].key, page.revision

    async def _page(self, prefix: str, start_after: str, limit: int, revision: int) -> Page:
        key, end = wire.bounds(prefix, start_after)
        size = min(limit or RANGE_PAGE_ENTRIES, RANGE_PAGE_ENTRIES)
        reply = await self._range(pb.RangeRequest(key=key, range_end=end, limit=size, revision=revision))
        entries = tuple(wire.entry_of(kv) for kv in reply.kvs)
        return Page(entries, revision or reply.header.revision, reply.more, reply.count - len(entries))

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed | Refused:
        reply = await self._answer(wire.TXN, wire.txn_request(guards, writes))
        if reply.succeeded:
            return Committed(reply.header.revision)
        found = [response.response_range.kvs for response in reply.responses]
        return Refused(reply.header.revision, tuple(wire.entry_of(kvs[0]) if kvs else None for kvs in found))

    async def revision(self) -> int:
        reply = await self._range(pb.RangeRequest(key=NO_KEY, count_only=True))
        return reply.header.revision

    @asynccontextmanager
    async def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[AsyncIterator[Changes]]:
        key, end = wire.bounds(prefix)
        create = pb.WatchCreateRequest(
            key=key, range_end=end, start_revision=start_revision, prev_kv=True, fragment=True
        )
        async with self._stream(wire.WATCH.path, None, _REQUIRE_LEADER) as call:
            call.send(pb.WatchRequest(create_request=create).SerializeToString())
            await _received(call)
            await self._check_kept(call, start_revision)
            async with aclosing(_steps(call)) as steps:
                yield steps

    async def _check_kept(self, call: Call, start_revision: int) -> None:
        """etcd starts a watch at its compact revision though deletes of that revision may be gone: the state before the
        first event must be readable. Only the watch's own refusal says what the compact revision is."""
        if start_revision <= 1 or await self._is_kept(start_revision - 1):
            return
        if await self._is_kept(start_revision):
            raise Compacted("the state before the first revision of the watch is gone", start_revision)
        while True:
            await _received(call)

    async def _is_kept(self, revision: int) -> bool:
        try:
            await self._range(pb.RangeRequest(key=NO_KEY, revision=revision, count_only=True))
        except Compacted:
            return False
        except FutureRevision:
            return True
        return True

    async def compact(self, revision: int) -> None:
        with contextlib.suppress(Compacted):
            await self._answer(wire.COMPACT, pb.CompactionRequest(revision=revision))

    async def grant_lease(self, ttl_s: int) -> int:
        return (await self._answer(wire.LEASE_GRANT, pb.LeaseGrantRequest(TTL=ttl_s))).ID

    async def keep_lease(self, lease: int) -> int:
        async with self._stream(wire.LEASE_KEEP_ALIVE.path, RPC_TIMEOUT_S) as call:
            call.send(pb.LeaseKeepAliveRequest(ID=lease).SerializeToString())
            return (await wire.receive(call, wire.LEASE_KEEP_ALIVE)).TTL

    async def revoke_lease(self, lease: int) -> None:
        await self._answer(wire.LEASE_REVOKE, pb.LeaseRevokeRequest(ID=lease))

    async def close(self) -> None:
        await self._channel.close()

    async def _range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        return await _retried(lambda: self._answer(wire.RANGE, request))

    async def _answer(self, method: wire.Method[wire.R], request: Message) -> wire.R:
        return await wire.answer(self._channel, method, request, RPC_TIMEOUT_S)

    @asynccontextmanager
    async def _stream(self, path: str, timeout_s: float | None, metadata: Metadata = ()) -> AsyncIterator[Call]:
        """Raises StoreError when there is no connection."""
        async with AsyncExitStack() as stack:
            try:
                call = await stack.enter_async_context(self._channel.stream(path, timeout_s, metadata))
            except RpcError as error:
                raise wire.store_error(error) from error
            yield call


async def _retried(read: Callable[[], Awaitable[A]]) -> A:
    for _ in range(READ_ATTEMPTS_MAX - 1):
        try:
            return await read()
        except StoreUnavailable:
            await asyncio.sleep(READ_RETRY_DELAY_S)
    return await read()


async def _received(call: Call) -> pb.WatchResponse:
    """The next response of a watch. Raises Compacted and StoreUnavailable when etcd ended it."""
    reply = await wire.receive(call, wire.WATCH)
    if reply.compact_revision:
        raise Compacted(f"etcd ended the watch: compacted at {reply.compact_revision}", reply.compact_revision)
    if reply.canceled:
        raise StoreUnavailable(f"etcd ended the watch: {reply.cancel_reason}")
    return reply


async def _steps(call: Call) -> AsyncGenerator[Changes, None]:
    """A response that is too large for one message comes in fragments; only all of them are whole revisions."""
    events: list[pb.Event] = []
    while True:
        reply = await _received(call)
        events += reply.events
        if events and not reply.fragment:
            yield Changes(events[-1].kv.mod_revision, tuple(wire.change_of(event) for event in events))
            events = []
