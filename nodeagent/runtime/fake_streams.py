"""The fake runtime's sessions: commands, attached streams and ports that are queues. No kernel, no clock."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from nodeagent.runtime.interface import CommandNotStarted, RuntimeFault

NOT_FOUND = 127


class FakeExec:
    """Implements ExecSession. `cat` gives its input back; `exit N` ends with N; `missing` is not found; everything else
    says its arguments."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._input: asyncio.Queue[bytes] = asyncio.Queue()

    async def write_stdin(self, data: bytes) -> None:
        await self._input.put(data)

    async def close_stdin(self) -> None:
        await self._input.put(b"")

    async def resize(self, columns: int, rows: int) -> None:
        await self._input.put(f"{columns}x{rows}\n".encode())

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self._command[0] == "cat":
            while data := await self._input.get():
                yield 1, data
        elif self._command[0] != "missing":
            yield 1, (" ".join(self._command) + "\n").encode()

    async def wait(self) -> int:
        if self._command[0] == "missing":
            raise CommandNotStarted('exec: "missing": executable file not found in $PATH', NOT_FOUND)
        return int(self._command[1]) if self._command[0] == "exit" else 0


@dataclass(slots=True)
class FakeTerminal:
    """The streams of a container, which gives all input back as output to everyone attached."""

    attached: list["FakeAttach"] = field(default_factory=list)
    input_open: bool = True
    size: tuple[int, int] | None = None
    """Columns, rows: as last told."""

    def say(self, data: bytes) -> None:
        """Empty: the output ends."""
        for session in self.attached:
            session.received.put_nowait(data)


@dataclass(slots=True)
class FakeAttach:
    """Implements ExecSession."""

    terminal: FakeTerminal
    ended: asyncio.Event
    """Of the container."""
    stdin: bool
    exit_code: list[int]
    """Filled when the container ends."""
    received: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)

    async def write_stdin(self, data: bytes) -> None:
        if self.stdin and self.terminal.input_open and data:
            self.terminal.say(data)

    async def close_stdin(self) -> None:
        if self.stdin:
            self.terminal.input_open = False

    async def resize(self, columns: int, rows: int) -> None:
        self.terminal.size = columns, rows

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while data := await self.received.get():
            yield 1, data

    async def wait(self) -> int:
        await self.ended.wait()
        return self.exit_code[0]


@dataclass(slots=True, eq=False)
class FakePort:
    """Implements PortConnection: a server that gives back what it gets, until its client ends."""

    _echo: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    """None: it was reset."""
    _writable: bool = True

    def reset(self) -> None:
        self._writable = False
        self._echo.put_nowait(None)

    async def read(self) -> bytes:
        if (data := await self._echo.get()) is None:
            raise RuntimeFault("the connection was reset")
        return data

    async def write(self, data: bytes) -> None:
        if not self._writable:
            raise RuntimeFault("the direction to the pod is over")
        if data:
            await self._echo.put(data)

    async def close_write(self) -> None:
        if self._writable:
            self._writable = False
            await self._echo.put(b"")
