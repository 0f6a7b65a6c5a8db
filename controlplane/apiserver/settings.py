"""What an operator may set of the API server. Every bound has its unit in its name."""

from dataclasses import dataclass

KUBERNETES_MAJOR, KUBERNETES_MINOR = "1", "34"
GIT_VERSION = "v1.34.0+orch"
"""The Kubernetes release whose API the server presents."""


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
    reads_in_flight_max: int = 400
    writes_in_flight_max: int = 200
    retry_after_s: int = 1

    watch_timeout_min_s: float = 1800.0
    """A watch without timeoutSeconds ends after a random time between this and twice this, as in Kubernetes, so that
    watchers spread over servers again."""
    slow_watcher_timeout_s: float = 10.0
    """A watcher whose transport does not drain for so long is cut; it resumes from its last revision."""
    shutdown_timeout_s: float = 5.0
