"""Keeps etcd below its quota: defragments when much of its file is free, and speaks up before it turns read-only.

At its quota etcd raises the alarm NOSPACE and refuses every write until somebody makes room and takes the alarm back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import structlog
from google.protobuf.message import Message

from controlplane.store.backend import StoreError
from controlplane.store.etcd_wire import ALARM, DEFRAGMENT, STATUS, Method, R, answer
from controlplane.store.rpc.channel import Channel
from protos import etcd_pb2 as pb

log = structlog.get_logger(__name__)

INTERVAL_S = 60.0
CALL_TIMEOUT_S = 60.0
"""A defragmentation rewrites the whole file, and etcd answers nobody meanwhile."""
WARN_AT_FRACTION = 0.8
DEFRAGMENT_FREE_BYTES_MIN = 64 * 1024 * 1024
DEFRAGMENT_FREE_FRACTION = 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    """`total_bytes` is the file's size, which the quota limits; `used_bytes` what of it holds data."""

    total_bytes: int
    used_bytes: int
    out_of_space: tuple[int, ...] = ()
    """Ids of the members that raised the alarm."""


class Step(Enum):
    WARN = auto()
    DEFRAGMENT = auto()
    DISARM = auto()


def decide_upkeep(usage: Usage, quota_bytes: int) -> Sequence[Step]:
    """What to do, in order. While etcd refuses writes its count of used bytes lags: only a defragmentation tells."""
    free_bytes = usage.total_bytes - usage.used_bytes
    limit_bytes = WARN_AT_FRACTION * quota_bytes
    if usage.out_of_space:
        return [Step.DISARM] if usage.total_bytes < limit_bytes else [Step.WARN, Step.DEFRAGMENT]
    if usage.used_bytes >= limit_bytes:
        return [Step.WARN]
    mostly_free = free_bytes >= max(DEFRAGMENT_FREE_BYTES_MIN, DEFRAGMENT_FREE_FRACTION * usage.total_bytes)
    return [Step.DEFRAGMENT] if mostly_free or usage.total_bytes >= limit_bytes else []


class EtcdUpkeep:
    """`quota_bytes` is etcd's --quota-backend-bytes."""

    def __init__(self, channel: Channel, quota_bytes: int) -> None:
        self._channel = channel
        self._quota_bytes = quota_bytes

    async def run(self) -> None:
        while True:
            try:
                await self.turn()
            except StoreError as error:
                log.warning("etcd_upkeep_failed", error=str(error))
            await asyncio.sleep(INTERVAL_S)

    async def turn(self) -> Sequence[Step]:
        """What was done. Raises StoreError."""
        usage = await self.usage()
        steps = decide_upkeep(usage, self._quota_bytes)
        for step in steps:
            await self._perform(step, usage)
        return steps

    async def usage(self) -> Usage:
        """Raises StoreError."""
        status = await self._call(STATUS, pb.StatusRequest())
        alarms = await self._call(ALARM, pb.AlarmRequest(action=pb.AlarmRequest.GET))
        out_of_space = tuple(member.memberID for member in alarms.alarms if member.alarm == pb.NOSPACE)
        return Usage(status.dbSize, status.dbSizeInUse, out_of_space)

    async def _perform(self, step: Step, usage: Usage) -> None:
        sizes = {"total_bytes": usage.total_bytes, "used_bytes": usage.used_bytes, "quota_bytes": self._quota_bytes}
        match step:
            case Step.WARN:
                log.error("etcd_near_its_quota", **sizes, advice="delete objects or raise --quota-backend-bytes")
            case Step.DEFRAGMENT:
                await self._call(DEFRAGMENT, pb.DefragmentRequest())
                log.info("etcd_defragmented", **sizes)
            case Step.DISARM:
                for member in usage.out_of_space:
                    disarm = pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=member, alarm=pb.NOSPACE)
                    await self._call(ALARM, disarm)
                log.warning("etcd_writable_again", **sizes)

    async def _call(self, method: Method[R], request: Message) -> R:
        return await answer(self._channel, method, request, CALL_TIMEOUT_S)
