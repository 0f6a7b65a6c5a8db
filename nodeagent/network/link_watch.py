"""Hears from the kernel that links, addresses or routes changed (rtnetlink multicast). Says that, never what."""

import asyncio
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nodeagent.network.errors import NetworkFault

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV4_ROUTE = 0x1, 0x10, 0x40
_READ_BYTES = 1 << 16


class LinkWatch:
    """Calls `on_event` from the running loop while its context is open, for the namespace it was opened in."""

    def __init__(self, on_event: Callable[[], None]) -> None:
        self._on_event = on_event

    def __enter__(self) -> Self:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            self._socket.setblocking(False)
            self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV4_ROUTE))
        except OSError as error:
            raise NetworkFault(f"listen for changes of links and routes: {error.strerror}") from error
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._drain)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _drain(self) -> None:
        try:
            while self._socket.recv(_READ_BYTES):
                pass
        except BlockingIOError:
            pass
        except OSError:
            pass  # ENOBUFS: more changed than the buffer held; that something changed is all that counts
        self._on_event()
