"""A real etcd for tests: one process on loopback, with TLS and client certificates, data in a given folder."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controlplane.store.backend import StoreError
from controlplane.store.etcd import EtcdBackend, EtcdTls
from deploy.local.etcd_command import EtcdFiles, etcd_command
from orch import pki

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 10
QUOTA_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Etcd:
    endpoint: str
    tls: EtcdTls
    pid: int

    async def connect(self) -> EtcdBackend:
        return await EtcdBackend.connect([self.endpoint], self.tls)

    async def connect_when_up(self) -> EtcdBackend:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                try:
                    return await self.connect()
                except StoreError:
                    await asyncio.sleep(0.05)


@contextmanager
def running_etcd(folder: Path, *, port: int = 0, quota_bytes: int = QUOTA_BYTES) -> Iterator[Etcd]:
    """`folder` is kept: another etcd may go on with its data and certificates. Port 0: any free one."""
    folder.mkdir(parents=True, exist_ok=True)
    tls = _certificates(folder)
    client, peer = f"https://127.0.0.1:{port or free_port()}", f"https://127.0.0.1:{free_port()}"
    files = EtcdFiles(folder / "data", folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    command = etcd_command(client, peer, files, quota_bytes)
    with open(folder / "log", "ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Etcd(client, tls, process.pid)
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _certificates(folder: Path) -> EtcdTls:
    """Made once per folder."""
    files = [folder / name for name in ("ca.crt", "tls.crt", "tls.key")]
    if not files[0].exists():
        now = datetime.now(UTC)
        ca = pki.create_ca("test", now=now)
        pair = pki.issue(ca, "etcd", now=now, addresses=["127.0.0.1"])
        for file, pem in zip(files, (ca.cert_pem, pair.cert_pem, pair.key_pem), strict=True):
            file.write_bytes(pem)
    return EtcdTls(*(file.read_bytes() for file in files))
