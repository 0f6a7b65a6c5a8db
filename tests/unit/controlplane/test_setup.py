"""`orch-server init`: complete, private, and idempotent."""

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from controlplane.identity import ServerFiles
from controlplane.setup import RENEW_BEFORE, Setup, initialize
from orch import kubeconfig

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def setup(folder: Path, address: str = "10.1.1.1") -> Setup:
    return Setup(state_dir=folder, cluster_name="local", advertise_address=address, port=6443)


def test_init_makes_everything_private(tmp_path: Path) -> None:
    made = initialize(setup(tmp_path), now=NOW)
    assert set(made) == set(contents(tmp_path))
    public = {path.name for path in (tmp_path / "pki").iterdir() if stat.S_IMODE(path.stat().st_mode) != 0o600}
    assert public == {path.name for path in (tmp_path / "pki").glob("*.crt")}
    assert len(base64.b64decode((tmp_path / "pki/encryption.key").read_bytes())) == 32


def test_the_admin_kubeconfig_leads_to_the_server(tmp_path: Path) -> None:
    initialize(setup(tmp_path), now=NOW)
    access = kubeconfig.load([tmp_path / "admin.kubeconfig"])
    assert (access.context, access.server) == ("local", "https://10.1.1.1:6443")
    assert access.cert_pem == (tmp_path / "pki/admin.crt").read_bytes()


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    initialize(setup(tmp_path), now=NOW)
    before = contents(tmp_path)
    assert initialize(setup(tmp_path), now=NOW + timedelta(days=1)) == []
    assert contents(tmp_path) == before


def test_a_new_address_renews_only_what_names_it(tmp_path: Path) -> None:
    initialize(setup(tmp_path), now=NOW)
    made = initialize(setup(tmp_path, "10.2.2.2"), now=NOW)
    assert set(made) == {
        "pki/server.key", "pki/server.crt", "pki/registry.key", "pki/registry.crt", "admin.kubeconfig",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("age", "renewed"),
    [(timedelta(days=364) - RENEW_BEFORE, False), (timedelta(days=366) - RENEW_BEFORE, True)],
    ids=["young enough", "runs out soon"],
)
def test_certificates_are_renewed_in_time_and_authorities_kept(tmp_path: Path, age: timedelta, renewed: bool) -> None:
    initialize(setup(tmp_path), now=NOW)
    authority = (tmp_path / "pki/ca.crt").read_bytes()
    assert ("pki/server.crt" in initialize(setup(tmp_path), now=NOW + age)) == renewed
    assert (tmp_path / "pki/ca.crt").read_bytes() == authority


def test_etcd_has_an_authority_of_its_own(tmp_path: Path) -> None:
    initialize(setup(tmp_path), now=NOW)
    pki = {path.name: x509.load_pem_x509_certificate(path.read_bytes()) for path in (tmp_path / "pki").glob("*.crt")}
    signed = {name for name, certificate in pki.items() if certificate.issuer == pki["etcd-ca.crt"].subject}
    assert signed == {"etcd-ca.crt", "etcd-server.crt", "etcd-client.crt"}
    for name in ("etcd-server.crt", "etcd-client.crt"):
        pki[name].verify_directly_issued_by(pki["etcd-ca.crt"])
    assert ServerFiles(tmp_path).etcd_ca == (tmp_path / "pki/etcd-ca.crt").read_bytes()


def test_a_key_without_its_certificate_is_made_anew(tmp_path: Path) -> None:
    initialize(setup(tmp_path), now=NOW)
    (tmp_path / "pki/server.crt").unlink()
    assert initialize(setup(tmp_path), now=NOW) == ["pki/server.key", "pki/server.crt"]
