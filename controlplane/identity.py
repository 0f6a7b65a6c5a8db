"""What `orch-server init` left in the state folder, read once at start. Raises ServerFilesMissing, naming the file."""

import base64
import hashlib
from functools import cached_property
from pathlib import Path

from orch.errors import OrchError
from orch.pki import KeyPair


class ServerFilesMissing(OrchError):
    """The state folder lacks a file; `orch-server init` makes it."""


class ServerFiles:
    """Key pairs and secrets of one server, from `<state-dir>/pki`."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    @cached_property
    def ca(self) -> KeyPair:
        return self._pair("ca")

    @cached_property
    def server(self) -> KeyPair:
        return self._pair("server")

    @cached_property
    def etcd_ca(self) -> bytes:
        """The certificate of the authority that etcd and its clients have to themselves. PEM."""
        return self._read("pki/etcd-ca.crt")

    @cached_property
    def etcd_client(self) -> KeyPair:
        return self._pair("etcd-client")

    @cached_property
    def join_token(self) -> str:
        return self._read("pki/join-token").decode().strip()

    @cached_property
    def encryption_key(self) -> bytes:
        return base64.b64decode(self._read("pki/encryption.key"))

    @cached_property
    def service_account_key(self) -> bytes:
        """Signs the tokens of ServiceAccounts. PEM."""
        return self._read("pki/service-account.key")

    @property
    def cluster_id(self) -> str:
        """Names the cluster once and for all: the fingerprint of its authority."""
        return hashlib.sha256(self.ca.cert_pem).hexdigest()[:32]

    @property
    def epoch(self) -> int:
        """Which history the revisions belong to; a restore raises it."""
        path = self._state_dir / "epoch"
        return int(path.read_text()) if path.exists() else 1

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(self._read(f"pki/{name}.crt"), self._read(f"pki/{name}.key"))

    def _read(self, name: str) -> bytes:
        try:
            return (self._state_dir / name).read_bytes()
        except FileNotFoundError as error:
            raise ServerFilesMissing(
                f"{self._state_dir / name} does not exist: run `orch-server init --state-dir {self._state_dir}` first"
            ) from error
