"""An `Api` over a dict and node streams from a list, for tests of the HTTP layer alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.responses import success_status
from controlplane.apiserver.streams import AttachRequest, Channel, ExecRequest, Frame, LogRequest, PortForwardRequest
from controlplane.registry.interface import (
    Deleted,
    Listing,
    ListOptions,
    RequestContext,
    Stored,
    StoredEvent,
    WatchOptions,
    WriteOptions,
)
from orch.api.kind import Kind
from orch.api.selectors import parse_label_selector
from orch.client.client import EventType, PatchType
from orch.errors import AlreadyExists, ApiError, BadRequest, Expired, Forbidden, NotFound

AnyStored = Stored[Any]


class FakeApi:
    """Keeps every call it got in `calls` as (verb, details). Users outside system:masters get 403."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], AnyStored] = {}
        self.calls: list[tuple[str, Any]] = []
        self.revision = 100
        self.oldest_revision = 0
        self.pause_s = 0.0
        self._log: list[tuple[str, StoredEvent[Any]]] = []
        self._changed = asyncio.Condition()

    async def authorize(self, context: RequestContext, verb: str, group: str, resource: str, **where: str) -> None:
        if "system:masters" not in context.user.groups:
            raise Forbidden(f'{resource} is forbidden: User "{context.user.name}" cannot {verb} it')

    async def put(self, kind: Kind[Any], obj: Any, event: EventType = EventType.ADDED) -> AnyStored:
        self.revision += 1
        obj = replace(obj, metadata=replace(obj.metadata, resource_version=str(self.revision)))
        stored = Stored(obj, self.revision, kind.codec.encode(obj))
        key = (kind.resource, obj.metadata.namespace, obj.metadata.name)
        if event is EventType.DELETED:
            del self.objects[key]
        else:
            self.objects[key] = stored
        async with self._changed:
            self._log.append((kind.resource, StoredEvent(event, stored)))
            self._changed.notify_all()
        return stored

    async def get(
        self, context: RequestContext, kind: Kind[Any], namespace: str, name: str, **options: str
    ) -> AnyStored:
        await self.authorize(context, "get", kind.group, kind.plural)
        await asyncio.sleep(self.pause_s)
        self.calls.append(("get", options))
        found = self.objects.get((kind.resource, namespace, name))
        if found is None:
            raise NotFound(f'{kind.resource} "{name}" not found', group=kind.group, kind=kind.plural, name=name)
        return found

    async def list(
        self, context: RequestContext, kind: Kind[Any], namespace: str, options: ListOptions
    ) -> Listing[Any]:
        await self.authorize(context, "list", kind.group, kind.plural)
        self.calls.append(("list", options))
        selector = parse_label_selector(options.label_selector)
        items = [
            stored
            for (resource, in_namespace, _), stored in sorted(self.objects.items())
            if resource == kind.resource and namespace in ("", in_namespace)
            if selector.matches(stored.obj.metadata.labels or {})
        ]
        return Listing(items, self.revision)

    async def create(
        self, context: RequestContext, kind: Kind[Any], namespace: str, obj: Any, options: WriteOptions
    ) -> AnyStored:
        await self.authorize(context, "create", kind.group, kind.plural)
        self.calls.append(("create", options))
        if (kind.resource, namespace, obj.metadata.name) in self.objects:
            raise AlreadyExists(f'{kind.resource} "{obj.metadata.name}" already exists')
        return await self.put(kind, replace(obj, metadata=replace(obj.metadata, namespace=namespace)))

    async def update(
        self,
        context: RequestContext,
        kind: Kind[Any],
        namespace: str,
        name: str,
        obj: Any,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> AnyStored:
        self.calls.append(("update", (obj, subresource)))
        if subresource == "scale":
            return Stored(obj, self.revision, b'{"kind":"Scale"}')
        return await self.put(kind, obj, EventType.MODIFIED)

    async def patch(
        self,
        context: RequestContext,
        kind: Kind[Any],
        namespace: str,
        name: str,
        patch: Any,
        patch_type: PatchType,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> AnyStored:
        self.calls.append(("patch", (patch_type, patch, subresource)))
        return await self.get(context, kind, namespace, name)

    async def delete(
        self, context: RequestContext, kind: Kind[Any], namespace: str, name: str, options: Any
    ) -> Deleted[Any]:
        self.calls.append(("delete", options))
        found = await self.get(context, kind, namespace, name)
        return Deleted(await self.put(kind, found.obj, EventType.DELETED), done=True)

    async def delete_collection(
        self, context: RequestContext, kind: Kind[Any], namespace: str, selection: ListOptions, options: Any
    ) -> Listing[Any]:
        listing = await self.list(context, kind, namespace, selection)
        for stored in listing.items:
            await self.put(kind, stored.obj, EventType.DELETED)
        return listing

    async def create_subresource(
        self,
        context: RequestContext,
        kind: Kind[Any],
        namespace: str,
        name: str,
        subresource: str,
        body: Any,
        options: WriteOptions,
    ) -> Mapping[str, Any]:
        self.calls.append(("create_subresource", (subresource, body)))
        return success_status()

    @asynccontextmanager
    async def watch(
        self, context: RequestContext, kind: Kind[Any], namespace: str, options: WatchOptions
    ) -> AsyncIterator[AsyncIterator[Sequence[StoredEvent[Any]]]]:
        await self.authorize(context, "watch", kind.group, kind.plural)
        self.calls.append(("watch", options))
        after = int(options.resource_version or self.revision)
        if after < self.oldest_revision:
            raise Expired("too old resource version")
        yield self._events(kind, after)

    async def _events(self, kind: Kind[Any], after: int) -> AsyncIterator[Sequence[StoredEvent[Any]]]:
        while True:
            batch = [e for resource, e in self._log if resource == kind.resource and e.stored.revision > after]
            if batch:
                after = batch[-1].stored.revision
                yield batch
                continue
            if after < self.oldest_revision:
                raise Expired("too old resource version")
            async with self._changed:
                await self._changed.wait()

    async def expire(self) -> None:
        """Forgets all history: open watches end with Expired."""
        self.oldest_revision = self.revision = self.revision + 1
        async with self._changed:
            self._changed.notify_all()


class FakeExec:
    """Echoes stdin to stdout until its end or `exit`, then exits with `exit_code`; keeps what it got. Without stdin it
    ends at once."""

    def __init__(self, request: ExecRequest | AttachRequest, exit_code: int) -> None:
        self.request = request
        self._exit_code = exit_code
        self.received: list[Frame] = []
        self._output: asyncio.Queue[Frame] = asyncio.Queue()

    async def send(self, frame: Frame) -> None:
        self.received.append(frame)
        if frame.channel is Channel.STDIN and frame.data.strip() != b"exit":
            self._output.put_nowait(Frame(Channel.STDOUT, frame.data))
        elif frame.channel is not Channel.RESIZE:
            self._output.put_nowait(self._end())

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[Frame]:
        yield Frame(Channel.STDERR, b"ready\n")
        while self.request.stdin:
            frame = await self._output.get()
            yield frame
            if frame.channel is Channel.ERROR:
                return
        yield self._end()

    def _end(self) -> Frame:
        if not self._exit_code:
            return Frame(Channel.ERROR, b'{"metadata":{},"status":"Success"}')
        status = {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {self._exit_code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(self._exit_code)}]},
        }
        return Frame(Channel.ERROR, json.dumps(status).encode())


class LocalPort:
    """A port of a pod that is one on this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(32 * 1024)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        self._writer.write_eof()


class FakeStreams:
    """`ports`: port of any pod -> port on this machine; all others refuse."""

    def __init__(self) -> None:
        self.log_chunks: list[bytes] = []
        self.exit_code = 0
        self.refusal: ApiError | None = None
        self.broken: ApiError | None = None
        self.log_requests: list[tuple[str, LogRequest]] = []
        self.execs: list[FakeExec] = []
        self.ended = asyncio.Event()
        self.ports: dict[int, int] = {}
        self.forwards: list[PortForwardRequest] = []
        self.forwards_open = 0

    @asynccontextmanager
    async def port_forward(self, node: str, request: PortForwardRequest) -> AsyncIterator[LocalPort]:
        self.forwards.append(request)
        if request.port not in self.ports:
            raise BadRequest(f"dial tcp4 127.0.0.1:{request.port}: connect: connection refused")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[request.port])
        self.forwards_open += 1
        try:
            yield LocalPort(reader, writer)
        finally:
            self.forwards_open -= 1
            writer.transport.abort()

    @asynccontextmanager
    async def exec(self, node: str, request: ExecRequest | AttachRequest) -> AsyncIterator[FakeExec]:
        self.execs.append(FakeExec(request, self.exit_code))
        try:
            yield self.execs[-1]
        finally:
            self.ended.set()

    attach = exec

    @asynccontextmanager
    async def logs(self, node: str, request: LogRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        self.log_requests.append((node, request))
        if self.refusal is not None:
            raise self.refusal
        yield self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.log_chunks:
            yield chunk
        if self.broken is not None:
            raise self.broken
