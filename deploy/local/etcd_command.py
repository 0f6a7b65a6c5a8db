"""How one etcd is started that is a cluster by itself: TLS and certificates on both sides of every connection.

Used by local clusters, by the tests and by the benchmarks.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EtcdFiles:
    """`certificate` serves, and proves to peers who it is; `ca` signs what clients and peers show."""

    data: Path
    certificate: Path
    key: Path
    ca: Path


def etcd_command(client_url: str, peer_url: str, files: EtcdFiles, quota_bytes: int) -> list[str]:
    options = {
        "name": "orch",
        "data-dir": files.data,
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"orch={peer_url}",
        "quota-backend-bytes": quota_bytes,
        "logger": "zap",
        "log-outputs": "stderr",
    }
    for side in ("", "peer-"):
        options |= {
            f"{side}cert-file": files.certificate,
            f"{side}key-file": files.key,
            f"{side}trusted-ca-file": files.ca,
            f"{side}client-cert-auth": "true",
        }
    return ["etcd", *(f"--{name}={value}" for name, value in options.items())]
