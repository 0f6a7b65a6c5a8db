"""An orch-server with an etcd of its own, and nothing else: no node, no agent. Gone with its data at the end."""

import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.etcd_command import EtcdFiles, etcd_command
from tests.etcd import free_port

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
HOST = "127.0.0.1"
ETCD_QUOTA_BYTES = 4 * 1024**3
BIN_DIR = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Server:
    """`tls` carries the administrator's certificate."""

    port: int
    process: int
    tls: ssl.SSLContext

    def resident_bytes(self) -> int:
        """Memory of the server's own process, etcd's not counted."""
        pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Processor time of the server's own process so far."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_server() -> Iterator[Server]:
    """Raises TimeoutError when it does not become ready."""
    with tempfile.TemporaryDirectory(prefix="orch-benchmark-") as folder:
        state, port, etcd_port = Path(folder), free_port(), free_port()
        names = ("--cluster-name", "benchmark", "--advertise-address", HOST, "--port", str(port))
        subprocess.run([BIN_DIR / "orch-server", "init", "--state-dir", state, *names], check=True, capture_output=True)
        with (
            open(state / "log", "ab") as log,
            _process(_etcd(state, etcd_port), log),
            _process(_orch_server(state, port, etcd_port), log) as server,
        ):
            tls = _admin_context(state / "pki")
            _wait_until_ready(port, tls)
            yield Server(port, server.pid, tls)


@contextmanager
def _process(command: list[str], log: object) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=log, stderr=log) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def _etcd(state: Path, port: int) -> list[str]:
    pki = state / "pki"
    files = EtcdFiles(state / "etcd", pki / "etcd-server.crt", pki / "etcd-server.key", pki / "etcd-ca.crt")
    return etcd_command(f"https://{HOST}:{port}", f"https://{HOST}:{free_port()}", files, ETCD_QUOTA_BYTES)


def _orch_server(state: Path, port: int, etcd_port: int) -> list[str]:
    node_port = free_port()
    return [
        str(BIN_DIR / "orch-server"), "run", "--state-dir", str(state), "--bind", HOST, "--advertise-address", HOST,
        "--port", str(port), "--node-port", str(node_port), "--etcd", f"https://{HOST}:{etcd_port}",
        "--etcd-quota-bytes", str(ETCD_QUOTA_BYTES),
    ]  # fmt: skip


def _admin_context(pki: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(str(pki / "admin.crt"), str(pki / "admin.key"))
    return context


def _wait_until_ready(port: int, tls: ssl.SSLContext) -> None:
    url, deadline = f"https://{HOST}:{port}/readyz", time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, context=tls, timeout=2):
            return  # any status but 2xx raises
        time.sleep(0.1)
    raise TimeoutError(f"the server was not ready in {START_TIMEOUT_S:.0f} s")
