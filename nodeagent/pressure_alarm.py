"""The kernel's word that a node's memory runs short, so that nobody has to look every moment.

cgroup v1: an eventfd that fires when the cgroup's use crosses a number of bytes. v2: a pressure stall trigger of the
cgroup. A kernel that has neither leaves the agent to its slow look; that is logged once.
"""

import asyncio
import os
import select

import structlog

from nodeagent.runtime.cgroups import Layout

log = structlog.get_logger(__name__)

STALL_TRIGGER = b"some 300000 2000000\0"
"""Somebody waited for memory for 300 ms within 2 s, the only window that needs no CAP_SYS_RESOURCE
(Documentation/accounting/psi.rst). The kernel overwrites the last byte."""
USAGE_FILE = "memory.usage_in_bytes"


class MemoryAlarm:
    """`rang` is set when it fires; whoever has looked clears it. A context manager."""

    def __init__(self, layout: Layout, cgroup: str) -> None:
        root = layout.unified if layout.is_v2 else dict(layout.v1)["memory"]
        self._folder, self._is_v2 = os.path.join(root, cgroup.strip("/")), layout.is_v2
        self.rang = asyncio.Event()
        self._open: list[int] = []
        self._epoll: select.epoll | None = None
        self._works = True

    def __enter__(self) -> "MemoryAlarm":
        return self

    def __exit__(self, *error: object) -> None:
        self._disarm()

    def arm(self, spare_bytes: int) -> None:
        """To fire when the cgroup uses so much more than now; on v2, when its processes wait for memory."""
        if not self._works or (self._is_v2 and self._open):
            return
        self._disarm()
        try:
            watched = self._watch_stalls() if self._is_v2 else self._watch_usage(spare_bytes)
        except OSError as error:
            self._works = False
            self._disarm()
            log.info("memory_alarm_unavailable", error=str(error), next="memory is looked at every some seconds")
            return
        asyncio.get_running_loop().add_reader(watched, self._ring, watched)

    def _watch_usage(self, spare_bytes: int) -> int:
        fired = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._open.append(fired)
        usage = os.open(os.path.join(self._folder, USAGE_FILE), os.O_RDONLY | os.O_CLOEXEC)
        self._open.append(usage)
        with open(os.path.join(self._folder, USAGE_FILE)) as file:
            threshold = int(file.read()) + spare_bytes
        with open(os.path.join(self._folder, "cgroup.event_control"), "w") as control:
            control.write(f"{fired} {usage} {threshold}")
        return fired

    def _watch_stalls(self) -> int:
        """The trigger speaks through POLLPRI, which event loops do not watch; an epoll of its own turns it into data to
        read."""
        trigger = os.open(os.path.join(self._folder, "memory.pressure"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._open.append(trigger)
        os.write(trigger, STALL_TRIGGER)
        self._epoll = select.epoll()
        self._epoll.register(trigger, select.EPOLLPRI)
        return self._epoll.fileno()

    def _ring(self, watched: int) -> None:
        if self._epoll is not None:
            self._epoll.poll(0)
        else:
            os.eventfd_read(watched)
        self.rang.set()

    def _disarm(self) -> None:
        loop = asyncio.get_running_loop()
        if self._epoll is not None:
            loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
        elif self._open:
            loop.remove_reader(self._open[0])
        for descriptor in self._open:
            os.close(descriptor)
        self._open = []
