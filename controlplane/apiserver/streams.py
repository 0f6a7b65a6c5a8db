"""What the API server needs of the nodes for exec, attach, log, port-forward and proxy. The nodeplane implements
it; this file only says what."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Channel(IntEnum):
    """Channel numbers of the Kubernetes remotecommand protocol (v4.channel.k8s.io and v5.channel.k8s.io)."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    """A Status as JSON: how the command ended; an exit code is a cause with reason ExitCode."""
    RESIZE = 4
    """JSON {"Width": columns, "Height": rows}."""
    CLOSE = 255
    """v5: the payload is one byte, the channel whose writing side is closed."""


@dataclass(frozen=True, slots=True)
class Frame:
    channel: Channel
    data: bytes


@dataclass(frozen=True, slots=True)
class ExecRequest:
    pod_uid: str
    namespace: str
    pod: str
    container: str
    command: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """The first process of a container."""

    pod_uid: str
    namespace: str
    pod: str
    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


@dataclass(frozen=True, slots=True)
class PortForwardRequest:
    """One TCP connection to a port on the pod's loopback."""

    pod_uid: str
    namespace: str
    pod: str
    port: int


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Options of the log subresource (core/v1 PodLogOptions)."""

    pod_uid: str
    namespace: str
    pod: str
    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_time_unix_s: float | None = None
    stream: str = "All"


class ExecStream(Protocol):
    """Both directions of one exec or attach. Iterating yields STDOUT, STDERR and at last one ERROR frame. What breaks
    between here and the node is a ConnectionError."""

    async def send(self, frame: Frame) -> None: ...

    def __aiter__(self) -> AsyncIterator[Frame]: ...


class PortStream(Protocol):
    """A connection to a pod's port. What breaks on the way, or is reset by the pod, is a ConnectionError."""

    async def read(self) -> bytes:
        """b"" when the pod has ended its direction."""

    async def write(self, data: bytes) -> None:
        """Waits while the way to the pod is full."""

    async def end(self) -> None:
        """Nothing more will be written; reading goes on."""


class NodeStreams(Protocol):
    """Raises ServiceUnavailable when the node has no session, NotFound/BadRequest as the agent says. Leaving the
    context ends the stream on the node."""

    def exec(self, node: str, request: ExecRequest) -> AbstractAsyncContextManager[ExecStream]: ...

    def attach(self, node: str, request: AttachRequest) -> AbstractAsyncContextManager[ExecStream]: ...

    def port_forward(self, node: str, request: PortForwardRequest) -> AbstractAsyncContextManager[PortStream]: ...

    def logs(self, node: str, request: LogRequest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...

    def metrics(self, node: str, name: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """`resource` or `cadvisor`, in Prometheus' text format."""
