"""Network namespaces as nodes, for tests that run as root.

A lab is one private network namespace with a bridge, and nodes, each a namespace with `eth0` on that bridge; pods are
namespaces too. Nothing touches the namespace of the test process. Whatever a lab made is gone when its context is left.
"""

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import uvloop

from nodeagent.network.netns import enter_netns

T = TypeVar("T")

STEP_TIMEOUT_S = 20.0
POLL_S = 0.02


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Netns:
    """A named network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    def exec(self, *command: str) -> str:
        return run("ip", "netns", "exec", self.name, *command)

    def call(self, work: Callable[[], T]) -> T:
        """`work` in a throw-away thread inside the namespace."""
        return self._start(work).result(STEP_TIMEOUT_S)

    async def acall(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._start(work))

    def run_async(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """A coroutine on an event loop of its own inside the namespace."""
        return self.call(lambda: asyncio.run(make()))

    def _start(self, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()

        def body() -> None:
            try:
                self._enter()
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=body, daemon=True).start()
        return future

    def _enter(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter_netns(descriptor, self.path)
        finally:
            os.close(descriptor)

    def delete(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=STEP_TIMEOUT_S, check=False)


class LoopInNetns:
    """An event loop that runs in a thread inside a namespace, as an agent runs in its node's."""

    def __init__(self, netns: Netns) -> None:
        self.loop = uvloop.new_event_loop()
        started: Future[None] = Future()

        def body() -> None:
            netns._enter()
            asyncio.set_event_loop(self.loop)
            self.loop.call_soon(started.set_result, None)
            self.loop.run_forever()
            self.loop.close()

        self._thread = threading.Thread(target=body, daemon=True)
        self._thread.start()
        started.result(STEP_TIMEOUT_S)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(STEP_TIMEOUT_S)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def background(self, coroutine: Coroutine[Any, Any, object]) -> Callable[[], None]:
        """Runs it until the function that this returns is called; that waits until it has ended."""

        async def spawn() -> asyncio.Task[object]:
            return self.loop.create_task(coroutine)

        task = self.call(spawn())

        async def cancel() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        return lambda: self.call(cancel())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STEP_TIMEOUT_S)


class Lab:
    def __init__(self, prefix: str) -> None:
        self._prefix = f"orch-test-{prefix}-{os.getpid()}"
        self._made: list[Netns] = []
        self.lan = self.netns("lan")
        self.lan.ip("link", "add", "lan0", "type", "bridge")
        self.lan.ip("addr", "add", "192.168.77.254/24", "dev", "lan0")
        self.lan.ip("link", "set", "lan0", "up")

    def netns(self, name: str) -> Netns:
        made = Netns(f"{self._prefix}-{name}")
        self._made.append(made)
        return made

    def node(self, number: int) -> Netns:
        """A namespace with eth0 192.168.77.<number> on the lab's bridge and a default route to it."""
        node = self.netns(f"n{number}")
        port = f"port{number}"
        self.lan.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", node.name)
        self.lan.ip("link", "set", port, "master", "lan0", "up")
        node.ip("addr", "add", f"192.168.77.{number}/24", "dev", "eth0")
        node.ip("link", "set", "eth0", "up")
        # Asking for a link makes the kernel finish activating it: until then it drops packets.
        self.lan.ip("link", "show", port)
        node.ip("link", "show", "eth0")
        node.ip("route", "add", "default", "via", "192.168.77.254")
        return node

    def close(self) -> None:
        for netns in reversed(self._made):
            netns.delete()


@contextmanager
def lab(prefix: str) -> Iterator[Lab]:
    made = Lab(prefix)
    try:
        yield made
    finally:
        made.close()


class Server:
    """Answers in a thread until it is closed. The thread ends before the socket does: a descriptor that is closed
    under a waiting thread is soon another file's, which that thread would then keep open."""

    def __init__(self, netns: Netns, kind: socket.SocketKind, address: str, port: int, greeting: str) -> None:
        self._greeting = greeting.encode()
        self._stopped = threading.Event()
        self._socket = netns.call(lambda: self._bind(kind, address, port))
        self._socket.settimeout(POLL_S)
        answer = self._answer_tcp if kind is socket.SOCK_STREAM else self._answer_udp
        self._thread = threading.Thread(target=self._serve, args=(answer,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def _bind(self, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if kind is socket.SOCK_STREAM:
            made.listen()
        return made

    def _serve(self, answer: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                answer()

    def _answer_tcp(self) -> None:
        connection, peer = self._socket.accept()
        with connection:
            connection.sendall(self._greeting + b" " + peer[0].encode())

    def _answer_udp(self) -> None:
        _, peer = self._socket.recvfrom(1000)
        self._socket.sendto(self._greeting, peer)


def serve_tcp(netns: Netns, address: str, port: int, greeting: str) -> Server:
    """Says `greeting` and the client's address to whoever connects."""
    return Server(netns, socket.SOCK_STREAM, address, port, greeting)


def serve_udp(netns: Netns, address: str, port: int, greeting: str) -> Server:
    """Says `greeting` to whoever sends something."""
    return Server(netns, socket.SOCK_DGRAM, address, port, greeting)


def fetch(netns: Netns, address: str, port: int, timeout_s: float = 3.0, source: str = "") -> str:
    """What the server there says. Raises OSError."""

    def talk() -> str:
        bound = (source, 0) if source else None
        with socket.create_connection((address, port), timeout_s, source_address=bound) as connection:
            return connection.recv(1000).decode()

    return netns.call(talk)
