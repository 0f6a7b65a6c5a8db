"""`orch-server init`: makes what a server needs before its first start, in its state folder.

Certificates, the admin's kubeconfig, the join token, the key of service account tokens and the encryption key.
Idempotent: what exists and is still good is kept, so that running it again changes nothing; certificates that run out
soon, or lack a name that is wanted now, are issued anew by the same authority. Keys that protect data or trust (CA,
encryption key, token and its key) are never replaced.
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from orch import kubeconfig, pki
from orch.kit.files import PUBLIC_MODE, write_atomic

RENEW_BEFORE = timedelta(days=60)
ENCRYPTION_KEY_BYTES = 32
"""AES-256; the file holds them in base64."""
JOIN_TOKEN_BYTES = 32
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Setup:
    """What `init` was asked for. `sans` are further DNS names or addresses of the server."""

    state_dir: Path
    cluster_name: str
    advertise_address: str
    port: int
    sans: tuple[str, ...] = ()
    service_address: str = "10.96.0.1"
    """First address of the service range: the `kubernetes` Service."""


def initialize(setup: Setup, *, now: datetime) -> list[str]:
    """Makes all that is missing below `state_dir`; returns what was made, as file names relative to it."""
    folder = setup.state_dir / "pki"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    issuer = _Issuer(folder, now)
    cluster_ca = issuer.authority("ca", f"orch-ca-{setup.cluster_name}")
    etcd_ca = issuer.authority("etcd-ca", f"orch-etcd-ca-{setup.cluster_name}")  # the cluster's also signs nodes
    push_ca = issuer.authority("registry-push-ca", f"orch-registry-push-ca-{setup.cluster_name}")
    server_names = (*SERVICE_NAMES, *LOOPBACK, setup.advertise_address, setup.service_address, *setup.sans)
    issuer.certificate(cluster_ca, "server", "orch-server", names=server_names)
    issuer.certificate(etcd_ca, "etcd-server", "etcd", names=("localhost", *LOOPBACK))
    issuer.certificate(etcd_ca, "etcd-client", "orch-server")
    issuer.certificate(cluster_ca, "registry", "registry", names=("localhost", *LOOPBACK, setup.advertise_address))
    issuer.certificate(push_ca, "registry-push", "orch-admin", organizations=("system:masters",))
    admin = issuer.certificate(cluster_ca, "admin", "orch-admin", organizations=("system:masters",))
    issuer.secret("encryption.key", base64.b64encode(secrets.token_bytes(ENCRYPTION_KEY_BYTES)))
    issuer.secret("service-account.key", pki.new_key())
    issuer.secret("join-token", secrets.token_urlsafe(JOIN_TOKEN_BYTES).encode())
    issuer.keep(setup.state_dir / "admin.kubeconfig", _admin_kubeconfig(setup, cluster_ca, admin))
    return [str(path.relative_to(setup.state_dir)) for path in issuer.made]


def _admin_kubeconfig(setup: Setup, ca: pki.KeyPair, admin: pki.KeyPair) -> bytes:
    host = f"[{setup.advertise_address}]" if ":" in setup.advertise_address else setup.advertise_address
    return kubeconfig.render(
        setup.cluster_name,
        f"https://{host}:{setup.port}",
        f"{setup.cluster_name}-admin",
        ca_pem=ca.cert_pem,
        cert_pem=admin.cert_pem,
        key_pem=admin.key_pem,
    )


class _Issuer:
    """Files of one PKI folder. `made` lists what this run wrote."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._folder = folder
        self._now = now
        self.made: list[Path] = []

    def authority(self, name: str, common_name: str) -> pki.KeyPair:
        return self._load(name) or self._save(name, pki.create_ca(common_name, now=self._now))

    def certificate(
        self,
        ca: pki.KeyPair,
        name: str,
        common_name: str,
        *,
        organizations: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> pki.KeyPair:
        existing = self._load(name)
        if existing and pki.is_current(existing.cert_pem, now=self._now, remaining=RENEW_BEFORE, names=names):
            return existing
        addresses = [one for one in names if pki.is_address(one)]
        dns_names = [one for one in names if not pki.is_address(one)]
        issued = pki.issue(
            ca, common_name, now=self._now, organizations=organizations, dns_names=dns_names, addresses=addresses
        )
        return self._save(name, issued)

    def secret(self, name: str, value: bytes) -> None:
        if not (self._folder / name).exists():
            self.keep(self._folder / name, value.rstrip() + b"\n")

    def keep(self, path: Path, content: bytes, *, mode: int = 0o600) -> None:
        """Writes only what differs."""
        if not path.exists() or path.read_bytes() != content:
            write_atomic(path, content, mode=mode)
            self.made.append(path)

    def _load(self, name: str) -> pki.KeyPair | None:
        cert, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        return pki.KeyPair(cert.read_bytes(), key.read_bytes()) if cert.exists() and key.exists() else None

    def _save(self, name: str, pair: pki.KeyPair) -> pki.KeyPair:
        """A certificate file means that its key is there: so the old one goes first and the new one comes last."""
        (self._folder / f"{name}.crt").unlink(missing_ok=True)
        self.keep(self._folder / f"{name}.key", pair.key_pem)
        self.keep(self._folder / f"{name}.crt", pair.cert_pem, mode=PUBLIC_MODE)
        return pair
