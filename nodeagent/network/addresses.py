"""Which pod has which address of the node's range.

The record is a folder on tmpfs, one file per pod, named by its uid and holding its address, so that an agent that was
killed finds every address where it left it; after a reboot no pod is left and neither is the folder. An address given
back is the last to be given out again: peers may still talk to the pod that had it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from nodeagent.network.errors import NetworkFault

_CURSOR = ".last"


class PodAddresses:
    """The first address of `network` is the node's own and the last is the broadcast address; the rest is for pods.
    Every call raises NetworkFault when the folder cannot be read or written."""

    def __init__(self, folder: Path, network: IPv4Network) -> None:
        self._folder, self._network = folder, network
        with _faults(folder):
            self._load()

    def _load(self) -> None:
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        records = (path for path in folder.iterdir() if not path.name.startswith("."))
        self._by_pod = {path.name: IPv4Address(path.read_text()) for path in records}
        cursor = folder / _CURSOR
        self._last = int(cursor.read_text()) if cursor.exists() else 0

    def get(self, pod_uid: str) -> IPv4Address | None:
        return self._by_pod.get(pod_uid)

    def allocate(self, pod_uid: str) -> IPv4Address:
        """The pod's address: the one that it has, or the next free one. Raises NetworkFault when none is left."""
        held = self._by_pod.get(pod_uid)
        if held is not None:
            return held
        offset = self._next_free()
        address = self._network[offset]
        with _faults(self._folder):
            self._write(_CURSOR, str(offset))
            self._write(pod_uid, str(address))
        self._by_pod[pod_uid], self._last = address, offset
        return address

    def release(self, pod_uid: str) -> None:
        if pod_uid in self._by_pod:
            with _faults(self._folder):
                (self._folder / pod_uid).unlink(missing_ok=True)
            del self._by_pod[pod_uid]

    def _next_free(self) -> int:
        usable = self._network.num_addresses - 2
        taken = set(self._by_pod.values())
        for step in range(usable):
            offset = (self._last + step) % usable + 1
            if self._network[offset] not in taken:
                return offset
        raise NetworkFault(f"no pod address is left in {self._network}: {len(taken)} are in use")

    def _write(self, name: str, value: str) -> None:
        """Whole or not at all: a file cut short would break the next start."""
        temporary = self._folder / f".{name}.new"
        temporary.write_text(value)
        os.replace(temporary, self._folder / name)


@contextmanager
def _faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NetworkFault(f"the record of pod addresses in {folder}: {error}") from error
