"""A server that a test plays to one agent: the node session over a Unix socket, as length-prefixed messages.

`Wanted` is what the test says and hears; `Server` may go and come back; `UnixDialer` is the agent's end.
"""

import asyncio
import json
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec.structs import replace

from nodeagent.link import LinkLost
from orch.api.kind import Kind
from orch.api.kinds import PODS
from protos import node_pb2

CLUSTER_ID = "a-cluster"
HEARTBEAT_MS = 500
LENGTH = struct.Struct("!I")


class Wanted:
    """What the server wants of the node, and what the node said. Used by the server's threads and by the test."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.revision = 1
        self._items: dict[str, node_pb2.Item] = {}
        self._log: list[node_pb2.Item] = []
        self.statuses: dict[str, tuple[dict[str, Any], bool]] = {}
        """Of each pod, by uid: its status as JSON, and whether it is stopped."""
        self.events: list[dict[str, Any]] = []
        self.node: dict[str, Any] = {}

    def put(self, kind: Kind[Any], obj: Any) -> None:
        with self.changed:
            self.revision += 1
            obj = replace(obj, metadata=replace(obj.metadata, resource_version=str(self.revision)))
            self._note(node_pb2.Item(
                kind=kind.kind, uid=obj.metadata.uid, revision=self.revision, object=kind.codec.encode(obj)
            ))  # fmt: skip

    def drop(self, kind: Kind[Any], uid: str) -> None:
        with self.changed:
            self.revision += 1
            self._note(node_pb2.Item(kind=kind.kind, uid=uid, revision=self.revision))

    def forget_reports(self) -> None:
        """Of pods that come and go by the thousand, and of all that was said of them."""
        with self.changed:
            self.statuses.clear()
            self.events.clear()

    def is_stopped(self, uid: str) -> bool:
        return self.statuses.get(uid, ({}, False))[1]

    def _note(self, item: node_pb2.Item) -> None:
        self._log.append(item)
        if item.object:
            self._items[item.uid] = item
        else:
            self._items.pop(item.uid, None)
        self.changed.notify_all()

    def snapshot(self) -> tuple[list[node_pb2.ServerMessage], int]:
        """And how much of the log it covers."""
        with self.changed:
            begin = node_pb2.SnapshotBegin(cluster_id=CLUSTER_ID, epoch=1, revision=self.revision)
            items = list(self._items.values())
            messages = [
                node_pb2.ServerMessage(snapshot_begin=begin),
                node_pb2.ServerMessage(snapshot_items=node_pb2.Items(items=items)),
                node_pb2.ServerMessage(snapshot_end=node_pb2.SnapshotEnd(item_count=len(items))),
            ]
            return messages, len(self._log)

    def since(self, known: int, timeout_s: float) -> list[node_pb2.Item]:
        with self.changed:
            if len(self._log) == known:
                self.changed.wait(timeout_s)
            return self._log[known:]

    def heard(self, message: node_pb2.AgentMessage) -> None:
        """A pod that is stopped and to be deleted goes, as the server does it."""
        done = []
        with self.changed:
            for report in message.pod_statuses.reports:
                self.statuses[report.uid] = json.loads(report.status), report.stopped
                if (
                    report.stopped
                    and report.uid in self._items
                    and b"deletionTimestamp" in self._items[report.uid].object
                ):
                    done.append(report.uid)
            self.events += [json.loads(event) for event in message.events.events]
            if told := message.hello.node or message.node_status.node:
                self.node = json.loads(told)
            self.changed.notify_all()
        for uid in done:
            self.drop(PODS, uid)


class Server:
    """Takes one session after the other. `close` and `open` are its going and coming back."""

    def __init__(self, path: str, wanted: Wanted) -> None:
        self._path, self._wanted = path, wanted
        self._connections: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        os.unlink(self._path)
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._connections.append(connection)
                for work in (self._read, self._write):
                    threading.Thread(target=work, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while head := stream.read(LENGTH.size):
                message = node_pb2.AgentMessage.FromString(stream.read(LENGTH.unpack(head)[0]))
                self._wanted.heard(message)
                if message.HasField("heartbeat"):
                    reply = node_pb2.HeartbeatReply(sequence=message.heartbeat.sequence)
                    _send(connection, node_pb2.ServerMessage(heartbeat_reply=reply))

    def _write(self, connection: socket.socket) -> None:
        with suppress(OSError):
            welcome = node_pb2.Welcome(cluster_id=CLUSTER_ID, epoch=1, heartbeat_interval_ms=HEARTBEAT_MS)
            messages, known = self._wanted.snapshot()
            for message in (node_pb2.ServerMessage(welcome=welcome), *messages):
                _send(connection, message)
            while True:
                if items := self._wanted.since(known, timeout_s=1):
                    known += len(items)
                    delta = node_pb2.Items(items=items, revision=items[-1].revision)
                    _send(connection, node_pb2.ServerMessage(delta=delta))


def _send(connection: socket.socket, message: Any) -> None:
    body = message.SerializeToString()
    connection.sendall(LENGTH.pack(len(body)) + body)


class UnixLink:
    """The agent's end: implements link.ServerLink."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, message: node_pb2.AgentMessage) -> None:
        body = message.SerializeToString()
        try:
            self._writer.write(LENGTH.pack(len(body)) + body)
            await self._writer.drain()
        except OSError as error:
            raise LinkLost(str(error)) from error

    async def __aiter__(self) -> AsyncIterator[node_pb2.ServerMessage]:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                yield node_pb2.ServerMessage.FromString(await self._reader.readexactly(length))

    def open_stream(self, request: node_pb2.OpenStream) -> Any:
        raise LinkLost("this server opens no streams")


class UnixDialer:
    def __init__(self, path: str) -> None:
        self._path = path

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnixLink]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            yield UnixLink(reader, writer)
        finally:
            writer.close()

    async def issue_token(self, request: node_pb2.IssueTokenRequest) -> node_pb2.IssueTokenResponse:
        raise LinkLost("this server issues no tokens")
