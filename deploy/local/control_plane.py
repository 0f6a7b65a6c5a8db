"""The processes of a local cluster's control plane: etcd, orch-server, two registries; and how to see them ready.

A part is data, and asking for it makes nothing: its command line, its files and its readiness test. etcd trusts an
authority of its own, so that no certificate of a node opens it. The registries serve one storage folder: nodes read it
with any certificate of the cluster; writing needs a certificate of an authority that signs the admin's only, on
loopback.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.etcd_command import EtcdFiles, etcd_command
from deploy.local.preflight import own_executable
from deploy.local.spec import ClusterSpec

LOOPBACK = "127.0.0.1"
ETCD_QUOTA_BYTES = 4 * 1024**3
PROBE_TIMEOUT_S = 2.0
ETCD_STOP_GRACE_S = 15.0
STOP_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Part:
    """`ports`: names of fields of Ports. `address`: what status shows."""

    name: str
    command: list[str]
    address: str
    ports: tuple[str, ...]
    ready: Callable[[], bool]
    stop_grace_s: float = STOP_GRACE_S
    files: Mapping[Path, str] = field(default_factory=dict)
    """What its command reads, written before it starts."""


def parts(spec: ClusterSpec) -> list[Part]:
    """In the order of starting."""
    return [etcd(spec), registry(spec), registry_push(spec), server(spec)]


def etcd(spec: ClusterSpec) -> Part:
    pki, ports = spec.paths.pki, spec.ports
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.etcd_peer}"
    data = spec.paths.state / "etcd"
    files = EtcdFiles(data, pki / "etcd-server.crt", pki / "etcd-server.key", pki / "etcd-ca.crt")
    command = etcd_command(client, peer, files, ETCD_QUOTA_BYTES)
    address = f"{LOOPBACK}:{ports.etcd}"
    return Part(
        "etcd", command, address, ("etcd", "etcd_peer"),
        lambda: _answers(address, "/health", pki, "etcd-ca", "etcd-client", b'"true"'), ETCD_STOP_GRACE_S,
    )  # fmt: skip


def server(spec: ClusterSpec) -> Part:
    command = [
        own_executable("orch-server"), "run",
        "--state-dir", str(spec.paths.server),
        "--bind", f"{LOOPBACK},{spec.gateway}",
        "--advertise-address", spec.gateway,
        "--port", str(spec.ports.api),
        "--node-port", str(spec.ports.node),
        "--etcd", f"https://{LOOPBACK}:{spec.ports.etcd}",
        "--etcd-quota-bytes", str(ETCD_QUOTA_BYTES),
        "--service-cidr", spec.service_cidr,
        "--cluster-cidr", spec.cluster_cidr,
        "--node-port-range", spec.node_port_range,
    ]  # fmt: skip
    address = f"{spec.gateway}:{spec.ports.api}"
    return Part(
        "orch-server", command, address, ("api", "node", "join"),
        lambda: _answers(address, "/readyz", spec.paths.pki, "ca", "admin", b"ok"),
    )  # fmt: skip


def registry(spec: ClusterSpec) -> Part:
    address = f"{spec.gateway}:{spec.ports.registry}"
    return _registry(spec, "registry", address, "registry", client_ca="ca", read_only=True)


def registry_push(spec: ClusterSpec) -> Part:
    address = f"{LOOPBACK}:{spec.ports.registry_push}"
    return _registry(spec, "registry-push", address, "registry_push", client_ca="registry-push-ca", read_only=False)


def _registry(spec: ClusterSpec, name: str, address: str, port: str, *, client_ca: str, read_only: bool) -> Part:
    path = spec.paths.state / "registry" / f"{name}.yml"
    config = {path: _registry_config(spec, address, client_ca, read_only)}
    command = ["docker-registry", "serve", str(path)]
    return Part(name, command, address, (port,), lambda: _listens(address), files=config)


def _registry_config(spec: ClusterSpec, address: str, client_ca: str, read_only: bool) -> str:
    """No descriptor cache: what one instance caches, the other may delete."""
    pki = spec.paths.pki
    return f"""version: 0.1
log:
  level: info
  accesslog: {{disabled: true}}
storage:
  filesystem: {{rootdirectory: {spec.paths.state / "registry" / "storage"}}}
  delete: {{enabled: true}}
  maintenance:
    readonly: {{enabled: {str(read_only).lower()}}}
    uploadpurging: {{enabled: {str(not read_only).lower()}, age: 24h, interval: 24h, dryrun: false}}
http:
  addr: {address}
  tls:
    certificate: {pki / "registry.crt"}
    key: {pki / "registry.key"}
    clientcas: [{pki / client_ca}.crt]
"""


def _answers(address: str, path: str, pki: Path, ca: str, client: str, expected: bytes) -> bool:
    """Whether an HTTPS GET with that client certificate answers 200 with the expected text in it."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(pki / f"{ca}.crt"))
    context.load_cert_chain(str(pki / f"{client}.crt"), str(pki / f"{client}.key"))
    connection = http.client.HTTPSConnection(host, int(port), timeout=PROBE_TIMEOUT_S, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == 200 and expected in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True
