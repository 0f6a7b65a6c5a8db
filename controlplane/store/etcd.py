"""The etcd v3 store: a thin client on grpc.aio.

Ranges are read in pages at one revision. Reads are tried again when etcd is out of reach, a few times; writes never,
since their outcome is unknown: the caller reads and decides anew. A lost watch ends with StoreUnavailable; resuming is
the caller's part, since only it knows how far it came.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc

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
from protos import etcd_pb2 as pb
from protos import etcd_pb2_grpc as rpc

A = TypeVar("A")

RANGE_PAGE_ENTRIES = 500
RPC_TIMEOUT_S = 5.0
READ_ATTEMPTS_MAX = 3
READ_RETRY_DELAY_S = 0.2
MESSAGE_BYTES_MAX = 512 * 1024 * 1024
"""500 of the largest objects; gRPC's own limit is 4 MiB."""
NO_KEY = b"\0none"

_REQUIRE_LEADER = (("hasleader", "true"),)
"""A watch on a member that lost its leader ends instead of falling silent."""

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """PEM texts: who signs etcd's certificate, and the certificate that we present."""

    ca: bytes
    certificate: bytes
    key: bytes


def open_channel(endpoints: Sequence[str], tls: EtcdTls | None) -> grpc.aio.Channel:
    """To one of several `https://host:port`; `http://` without `tls`. Raises StoreError for endpoints it can't use."""
    target = _target([urlsplit(endpoint) for endpoint in endpoints], "https" if tls else "http")
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return grpc.aio.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)


def _target(endpoints: Sequence[Any], scheme: str) -> str:
    for endpoint in endpoints:
        if endpoint.scheme != scheme or not endpoint.hostname or not endpoint.port:
            raise StoreError(f"etcd endpoint {endpoint.geturl()!r}: expected {scheme}://host:port")
    if len(endpoints) == 1:
        return str(endpoints[0].netloc)
    try:
        addresses = [f"{ipaddress.IPv4Address(endpoint.hostname)}:{endpoint.port}" for endpoint in endpoints]
    except ValueError as error:
        raise StoreError(f"several etcd endpoints must be IPv4 addresses: {error}") from error
    return f"ipv4:{','.join(addresses)}"


class EtcdBackend:
    """A `Backend`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._kv: Any = rpc.KVStub(channel)  # type: ignore[no-untyped-call]
        self._watches: Any = rpc.WatchStub(channel)  # type: ignore[no-untyped-call]
        self._leases: Any = rpc.LeaseStub(channel)  # type: ignore[no-untyped-call]

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
        reply = await _answer(self._kv.Txn, wire.txn_request(guards, writes))
        if reply.succeeded:
            return Committed(reply.header.revision)
        found = [response.response_range.kvs for response in reply.responses]
        return Refused(reply.header.revision, tuple(wire.entry_of(kvs[0]) if kvs else None for kvs in found))

    async def revision(self) -> int:
        reply = await self._range(pb.RangeRequest(key=NO_KEY, count_only=True))
        revision: int = reply.header.revision
        return revision

    @asynccontextmanager
    async def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[AsyncIterator[Changes]]:
        key, end = wire.bounds(prefix)
        create = pb.WatchCreateRequest(
            key=key, range_end=end, start_revision=start_revision, prev_kv=True, fragment=True
        )
        call = _stream(self._watches.Watch, metadata=_REQUIRE_LEADER)
        try:
            await _sent(call, pb.WatchRequest(create_request=create))
            await _received(call)
            await self._check_kept(call, start_revision)
            async with aclosing(_steps(call)) as steps:
                yield steps
        finally:
            call.cancel()

    async def _check_kept(self, call: Any, start_revision: int) -> None:
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
            await _answer(self._kv.Compact, pb.CompactionRequest(revision=revision))

    async def grant_lease(self, ttl_s: int) -> int:
        reply = await _answer(self._leases.LeaseGrant, pb.LeaseGrantRequest(TTL=ttl_s))
        lease: int = reply.ID
        return lease

    async def keep_lease(self, lease: int) -> int:
        call = _stream(self._leases.LeaseKeepAlive, timeout=RPC_TIMEOUT_S)
        try:
            await _sent(call, pb.LeaseKeepAliveRequest(ID=lease))
            reply = await _received_any(call)
        finally:
            call.cancel()
        remaining_s: int = reply.TTL
        return remaining_s

    async def revoke_lease(self, lease: int) -> None:
        await _answer(self._leases.LeaseRevoke, pb.LeaseRevokeRequest(ID=lease))

    async def close(self) -> None:
        await self._channel.close()

    async def _range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        return await _retried(lambda: _answer(self._kv.Range, request))


async def _retried(read: Callable[[], Awaitable[A]]) -> A:
    for _ in range(READ_ATTEMPTS_MAX - 1):
        try:
            return await read()
        except StoreUnavailable:
            await asyncio.sleep(READ_RETRY_DELAY_S)
    return await read()


async def _answer(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=RPC_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise wire.store_error(error) from error
    except grpc.aio.UsageError as error:
        raise StoreUnavailable(f"the connection is closed: {error}") from error


def _stream(method: Any, **options: Any) -> Any:
    try:
        return method(**options)
    except grpc.aio.UsageError as error:
        raise StoreUnavailable(f"the connection is closed: {error}") from error


async def _sent(call: Any, request: Any) -> None:
    try:
        await call.write(request)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
        raise StoreUnavailable("the stream to etcd has ended") from error


async def _received_any(call: Any) -> Any:
    try:
        reply = await call.read()
    except grpc.aio.AioRpcError as error:
        raise wire.store_error(error) from error
    if reply is grpc.aio.EOF:
        raise StoreUnavailable("etcd ended the stream")
    return reply


async def _received(call: Any) -> Any:
    """The next response of a watch. Raises Compacted and StoreUnavailable when etcd ended it."""
    reply = await _received_any(call)
    if reply.compact_revision:
        raise Compacted(f"etcd ended the watch: compacted at {reply.compact_revision}", reply.compact_revision)
    if reply.canceled:
        raise StoreUnavailable(f"etcd ended the watch: {reply.cancel_reason}")
    return reply


async def _steps(call: Any) -> AsyncGenerator[Changes, None]:
    """A response that is too large for one message comes in fragments; only all of them are whole revisions."""
    events: list[pb.Event] = []
    while True:
        reply = await _received(call)
        events += reply.events
        if events and not reply.fragment:
            yield Changes(events[-1].kv.mod_revision, tuple(wire.change_of(event) for event in events))
            events = []
