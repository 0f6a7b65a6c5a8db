"""Which ports of the node lead to pods (hostPort), and what that means for the service rules.

The record is a folder on tmpfs, as that of the addresses: one file per pod, named by its uid, so that an agent that was
killed goes on where it was. Invariant: a pod is in the record as long as its ports are in the rules.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from nodeagent.network.errors import NetworkFault
from nodeagent.network.services.compile import Backend, Frontend, VirtualPort
from nodeagent.runtime.interface import PortMapping

EVERY_ADDRESS = ("", "0.0.0.0", "::")


class _Record(msgspec.Struct, frozen=True):
    address: str
    ports: tuple[PortMapping, ...]


class HostPorts:
    """Every call raises NetworkFault when the folder cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> dict[str, tuple[VirtualPort, ...]]:
        """What an earlier agent published, by the pods' uids."""
        with _faults(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            files = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
            records = {path.name: msgspec.json.decode(path.read_bytes(), type=_Record) for path in files}
        return {uid: virtual_ports(record.address, record.ports) for uid, record in records.items()}

    def publish(self, pod_uid: str, address: str, ports: Sequence[PortMapping]) -> tuple[VirtualPort, ...]:
        with _faults(self._folder):
            temporary = self._folder / f".{pod_uid}.new"
            temporary.write_bytes(msgspec.json.encode(_Record(address, tuple(ports))))
            os.replace(temporary, self._folder / pod_uid)
        return virtual_ports(address, ports)

    def has(self, pod_uid: str) -> bool:
        with _faults(self._folder):
            return (self._folder / pod_uid).exists()

    def withdraw(self, pod_uid: str) -> None:
        with _faults(self._folder):
            (self._folder / pod_uid).unlink(missing_ok=True)


def virtual_ports(address: str, ports: Sequence[PortMapping]) -> tuple[VirtualPort, ...]:
    """As a node port (or, with a host address, an external address) with the pod as its one backend."""
    return tuple(
        VirtualPort(
            Frontend("" if port.host_ip in EVERY_ADDRESS else port.host_ip, port.protocol.lower(), port.host_port),
            (Backend(address, port.container_port),),
            in_service_range=False,
        )
        for port in ports
    )


@contextmanager
def _faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NetworkFault(f"the record of host ports in {folder}: {error}") from error
