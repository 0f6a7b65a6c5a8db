"""exec, attach, port-forward and logs on the node: opens the stream that the server asked for and serves it. One task
per stream.

The first frame is `opened` or `refused` with a Status. exec and attach speak the channels of the Kubernetes
remotecommand protocol; their last frame is on the error channel: a Status that tells how it ended.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from nodeagent.container_machine import ContainerMachine
from nodeagent.link import LinkLost, ServerLink, StreamCall
from nodeagent.log_reader import LogOptions, NoLog, attempts, read_log
from nodeagent.port_stream import pump_port
from nodeagent.runtime.interface import (
    ExecSession,
    NoSuchContainer,
    PortRefused,
    Runtime,
    RuntimeFault,
)
from orch.api.pod.spec import Pod
from orch.errors import INTERNAL_ERROR, ApiError, BadRequest, InternalError, NotFound, TooManyRequests
from protos import node_pb2

log = structlog.get_logger(__name__)

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
"""Channels of the remotecommand protocol."""
COMMAND_ERROR = f"{INTERNAL_ERROR}error executing command in container"
"""What clients and people's scripts know from kubelet; kubectl prints it and exits with 1."""

WAITING_FOR_IMAGE = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""Reason of a waiting container -> what kubelet says instead to who asks for its log."""
METRICS_FRAME_BYTES = 256 * 1024
REFUSAL_TIMEOUT_S = 10.0

MetricsText = Callable[[str], Awaitable[bytes]]
"""Name of the metrics -> their text. Raises NotFound, RuntimeFault, OSError."""


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """A container as streams see it."""

    pod_name: str
    container_id: str
    """Empty when no attempt of it was created yet."""
    log_folder: Path
    attempt: int
    waiting: str
    """Why it does not run, in words; empty when it does."""


def target_of(pod: Pod, machine: ContainerMachine, log_folder: Path) -> StreamTarget:
    running, ended = machine.stage.has_process, machine.last
    return StreamTarget(
        pod_name=pod.metadata.name,
        container_id=machine.container_id,
        log_folder=log_folder,
        attempt=machine.attempt if running or ended is None else ended.attempt,
        waiting="" if running else machine.waiting_reason or ("it has ended" if ended else "ContainerCreating"),
    )


class Containers(Protocol):
    def stream_target(self, pod_uid: str, container: str) -> StreamTarget | None:
        """None: the node has no such pod or container."""


class Streams:
    def __init__(self, runtime: Runtime, containers: Containers, metrics_text: MetricsText) -> None:
        self._runtime, self._containers, self._metrics_text = runtime, containers, metrics_text

    async def serve(self, link: ServerLink, request: node_pb2.OpenStream) -> None:
        """Returns when the stream is over; a stream's trouble is told to its user, never to the agent."""
        try:
            async with link.open_stream(request) as call:
                await self._serve(call, request)
        except* LinkLost as errors:
            log.debug("stream_lost", error=str(errors.exceptions[0]))
        except* Exception:
            log.exception("stream_broke", request=request.WhichOneof("request"))

    async def refuse(self, link: ServerLink, request: node_pb2.OpenStream) -> None:
        """Tells the user that the node has too many streams already."""
        error = TooManyRequests("the node serves as many streams as it can; try again later")
        try:
            async with asyncio.timeout(REFUSAL_TIMEOUT_S), link.open_stream(request) as call:
                await _refuse(call, error)
                await call.finish()
        except* (LinkLost, TimeoutError) as errors:
            log.debug("stream_lost", error=str(errors.exceptions[0]))

    async def _serve(self, call: StreamCall, request: node_pb2.OpenStream) -> None:
        try:
            match request.WhichOneof("request"):
                case "exec":
                    await self._exec(call, request.exec)
                case "attach":
                    await self._attach(call, request.attach)
                case "port_forward":
                    await self._port_forward(call, request.port_forward)
                case "metrics":
                    await self._metrics(call, request.metrics.name)
                case _:
                    await self._logs(call, request.logs)
        except ApiError as error:
            await _refuse(call, error)
        await call.finish()

    async def _metrics(self, call: StreamCall, name: str) -> None:
        try:
            text = await self._metrics_text(name)
        except (RuntimeFault, OSError) as error:
            raise InternalError(f"the node's figures cannot be read: {error}") from error
        await call.write(node_pb2.StreamFrame(opened=node_pb2.Opened()))
        for start in range(0, len(text), METRICS_FRAME_BYTES):
            await _send(call, STDOUT, text[start : start + METRICS_FRAME_BYTES])

    def _target(self, pod_uid: str, container: str) -> StreamTarget:
        target = self._containers.stream_target(pod_uid, container)
        if target is None:
            raise NotFound(f"container {container!r} of pod {pod_uid!r} is not on this node")
        return target

    async def _logs(self, call: StreamCall, request: node_pb2.LogRequest) -> None:
        target = self._target(request.pod_uid, request.container)
        attempt = _attempt(target, request)
        options = LogOptions(
            timestamps=request.timestamps,
            tail_lines=request.tail_lines if request.HasField("tail_lines") else None,
            limit_bytes=request.limit_bytes if request.HasField("limit_bytes") else None,
            since_unix_s=request.since_time_unix_s if request.HasField("since_time_unix_s") else None,
            stream=request.stream or "All",
        )
        await call.write(node_pb2.StreamFrame(opened=node_pb2.Opened()))
        running = self._is_running(request.pod_uid, request.container, attempt)
        async with asyncio.TaskGroup() as group:
            closed = group.create_task(_until_gone(call))
            with contextlib.suppress(NoLog):  # it was there a moment ago, and went with its attempt
                async for text in read_log(target.log_folder, attempt, options, follow=request.follow, running=running):
                    await _send(call, STDOUT, text)
            closed.cancel()

    def _is_running(self, pod_uid: str, container: str, attempt: int) -> Callable[[], bool]:
        def running() -> bool:
            target = self._containers.stream_target(pod_uid, container)
            return target is not None and target.attempt == attempt and not target.waiting

        return running

    def _running_target(self, request: node_pb2.ExecRequest | node_pb2.AttachRequest) -> str:
        target = self._target(request.pod_uid, request.container)
        if target.waiting:
            raise BadRequest(f"container {request.container!r} is not running: {target.waiting}")
        return target.container_id

    async def _exec(self, call: StreamCall, request: node_pb2.ExecRequest) -> None:
        container_id = self._running_target(request)
        session = self._runtime.exec(container_id, request.command, tty=request.tty, stdin=request.stdin)
        await _serve_session(call, session, request, _exit_status)

    async def _attach(self, call: StreamCall, request: node_pb2.AttachRequest) -> None:
        session = self._runtime.attach(self._running_target(request), stdin=request.stdin)
        await _serve_session(call, session, request, _attach_status)

    async def _port_forward(self, call: StreamCall, request: node_pb2.PortForwardRequest) -> None:
        what = f"error forwarding port {request.port} to pod {request.pod_uid}"
        async with contextlib.AsyncExitStack() as stack:
            dialling = self._runtime.port_forward(request.pod_uid, request.port)
            try:
                connection = await stack.enter_async_context(dialling)
            except NoSuchContainer as error:
                raise NotFound(f"{what}: {error}") from error
            except PortRefused as error:
                raise InternalError(f"{what}: {error}") from error
            await call.write(node_pb2.StreamFrame(opened=node_pb2.Opened()))
            await pump_port(call, connection)


def _attempt(target: StreamTarget, request: node_pb2.LogRequest) -> int:
    """Raises BadRequest in kubelet's words."""
    found = attempts(target.log_folder)
    pod = f'in pod "{target.pod_name}"'
    if request.previous:
        earlier = [attempt for attempt in found if attempt < target.attempt]
        if not earlier:
            raise BadRequest(f'previous terminated container "{request.container}" {pod} not found')
        return earlier[-1]
    if not found:
        reason = WAITING_FOR_IMAGE.get(target.waiting, target.waiting or "it has no log yet")
        raise BadRequest(f'container "{request.container}" {pod} is waiting to start: {reason}')
    return found[-1]


Request = node_pb2.ExecRequest | node_pb2.AttachRequest


async def _serve_session(
    call: StreamCall,
    opening: AbstractAsyncContextManager[ExecSession],
    request: Request,
    ending: Callable[[ExecSession], Awaitable[dict[str, Any]]],
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            session = await stack.enter_async_context(opening)
        except RuntimeFault as error:
            raise InternalError(f"{COMMAND_ERROR}: {error}") from error
        await call.write(node_pb2.StreamFrame(opened=node_pb2.Opened()))
        await _send(call, ERROR, json.dumps(await _pump(call, session, request, ending)).encode())


async def _pump(
    call: StreamCall, session: ExecSession, request: Request, ending: Callable[[ExecSession], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Input to the session and output from it until it ends; its Status. Output that nobody wants is read too: it
    would hold the process up."""
    try:
        async with asyncio.TaskGroup() as group:
            inbound = group.create_task(_feed(call, session))
            async for descriptor, data in session.output():
                if (descriptor == STDOUT and request.stdout) or (descriptor == STDERR and request.stderr):
                    await _send(call, descriptor, data)
            status = await ending(session)
            inbound.cancel()
    except* RuntimeFault as faults:
        status = InternalError(f"{COMMAND_ERROR}: {faults.exceptions[0]}").to_status()
    return status


async def _exit_status(session: ExecSession) -> dict[str, Any]:
    return exit_status(await session.wait())


async def _attach_status(session: ExecSession) -> dict[str, Any]:
    """An attach that was served to the end is a success, whatever the container's exit code: as kubelet's."""
    return exit_status(0)


async def _until_gone(call: StreamCall) -> None:
    while await call.read() is not None:
        continue
    raise LinkLost("the user of the stream has gone")


async def _feed(call: StreamCall, command: ExecSession) -> None:
    while (frame := await call.read()) is not None:
        channel, data = frame.data.channel, frame.data.data
        if channel == STDIN:
            await command.write_stdin(data)
        elif channel == RESIZE:
            size = json.loads(data)
            await command.resize(int(size["Width"]), int(size["Height"]))
        elif channel == CLOSE and data == bytes([STDIN]):
            await command.close_stdin()
    raise LinkLost("the user of the stream has gone")


def exit_status(code: int) -> dict[str, Any]:
    """How a command ended, as the error channel tells it (v4 of the remotecommand protocol)."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def _send(call: StreamCall, channel: int, data: bytes) -> None:
    await call.write(node_pb2.StreamFrame(data=node_pb2.Data(channel=channel, data=data)))


async def _refuse(call: StreamCall, error: ApiError) -> None:
    await call.write(node_pb2.StreamFrame(refused=json.dumps(error.to_status()).encode()))
