"""Between the store's vocabulary and etcd's messages. No other file of the store knows the generated types' fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from controlplane.store.backend import (
    Change,
    Compacted,
    Delete,
    Entry,
    FutureRevision,
    Guard,
    Put,
    StoreError,
    StoreUnavailable,
)
from controlplane.store.rpc.channel import Channel
from controlplane.store.rpc.connection import Call
from controlplane.store.rpc.messages import Code, RpcError
from protos import etcd_pb2 as pb

R = TypeVar("R", bound=Message)

EVERY_KEY = b"\0"
_UNREACHABLE = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)


@dataclass(frozen=True, slots=True)
class Method(Generic[R]):
    path: str
    reply: type[R]


RANGE = Method("/etcdserverpb.KV/Range", pb.RangeResponse)
TXN = Method("/etcdserverpb.KV/Txn", pb.TxnResponse)
COMPACT = Method("/etcdserverpb.KV/Compact", pb.CompactionResponse)
WATCH = Method("/etcdserverpb.Watch/Watch", pb.WatchResponse)
LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
LEASE_REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
LEASE_KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
ALARM = Method("/etcdserverpb.Maintenance/Alarm", pb.AlarmResponse)
STATUS = Method("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
DEFRAGMENT = Method("/etcdserverpb.Maintenance/Defragment", pb.DefragmentResponse)


async def answer(channel: Channel, method: Method[R], request: Message, timeout_s: float) -> R:
    """Raises StoreError."""
    try:
        return method.reply.FromString(await channel.unary(method.path, request.SerializeToString(), timeout_s))
    except RpcError as error:
        raise store_error(error) from error


async def receive(call: Call, method: Method[R]) -> R:
    """The next message of a stream. Raises StoreError when there is none."""
    try:
        return method.reply.FromString(await call.receive())
    except RpcError as error:
        raise store_error(error) from error


def bounds(prefix: str, start_after: str = "") -> tuple[bytes, bytes]:
    """First key and end of the keys under `prefix` behind `start_after`, as etcd's key and range_end."""
    start, end = prefix.encode() or EVERY_KEY, prefix_end(prefix.encode())
    after = start_after.encode()
    return (after + b"\0" if after >= start else start), end


def prefix_end(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`. UTF-8 has no byte 0xff, so the last byte can be counted up."""
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else EVERY_KEY


def entry_of(kv: pb.KeyValue) -> Entry:
    return Entry(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def change_of(event: pb.Event) -> Change:
    """Raises Compacted when the state before is no longer kept: etcd then leaves it out without a word."""
    key, revision = event.kv.key.decode(), event.kv.mod_revision
    previous = entry_of(event.prev_kv) if event.HasField("prev_kv") else None
    deleted = event.type == pb.Event.DELETE
    if previous is None and (deleted or event.kv.version > 1):
        raise Compacted(f"the state of {key} before revision {revision} has been compacted", revision)
    return Change(key, revision, None if deleted else entry_of(event.kv), previous)


def txn_request(guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> pb.TxnRequest:
    """If a guard does not hold, etcd answers with the guarded keys instead."""
    return pb.TxnRequest(
        compare=[compare for guard in guards for compare in _compares(guard)],
        success=[_write_op(write) for write in writes],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=guard.key.encode())) for guard in guards],
    )


def _compares(guard: Guard) -> Sequence[pb.Compare]:
    key, compares = guard.key.encode(), []
    if guard.mod_revision is not None:
        compares.append(pb.Compare(target=pb.Compare.MOD, key=key, mod_revision=guard.mod_revision))
    if guard.create_revision is not None:
        compares.append(pb.Compare(target=pb.Compare.CREATE, key=key, create_revision=guard.create_revision))
    return compares


def _write_op(write: Put | Delete) -> pb.RequestOp:
    key = write.key.encode()
    if isinstance(write, Put):
        return pb.RequestOp(request_put=pb.PutRequest(key=key, value=write.value, lease=write.lease))
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


def store_error(error: RpcError) -> StoreError:
    """etcd tells its errors apart by text (api/v3rpc/rpctypes)."""
    code, details = error.code, error.details
    if code in _UNREACHABLE:
        return StoreUnavailable(details)
    if "has been compacted" in details:
        return Compacted(details)
    if "future revision" in details:
        return FutureRevision(details)
    return StoreError(f"{code.name}: {details}")
