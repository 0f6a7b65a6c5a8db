"""What an operator may set of the API server. Every bound has its unit in its name."""

from dataclasses import dataclass

from controlplane.apiserver.limits import GateLimits

KUBERNETES_MAJOR, KUBERNETES_MINOR = "1", "34"
GIT_VERSION = "v1.34.2+orch"
"""The Kubernetes release whose API the server presents."""

READS = GateLimits(in_flight_max=400, in_flight_per_user_max=100, queued_per_user_max=400, retry_after_s=1)
WRITES = GateLimits(in_flight_max=200, in_flight_per_user_max=64, queued_per_user_max=400, retry_after_s=1)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Clients that present a certificate must have it from `client_ca_file`; presenting none is allowed."""

    cert_file: str
    key_file: str
    client_ca_file: str


@dataclass(frozen=True, slots=True)
class ServerSettings:
    tls: TlsFiles
    bind_addresses: tuple[str, ...] = ("127.0.0.1",)
    port: int = 6443
    """0: any free port; `ApiServer.addresses` tells which."""

    body_max_bytes: int = 3 * 1024 * 1024
    request_timeout_s: float = 60.0
    """For everything but watch, followed logs and exec."""
    reads: GateLimits = READS
    writes: GateLimits = WRITES

    watch_timeout_min_s: float = 1800.0
    """A watch without timeoutSeconds ends after a random time between this and twice this, as in Kubernetes, so that
    watchers spread over servers again."""
    slow_watcher_timeout_s: float = 10.0
    """A watcher whose transport does not drain for so long is cut; it resumes from its last revision."""
    shutdown_timeout_s: float = 5.0
