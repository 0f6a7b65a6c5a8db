"""Certificates: what verifiers accept, and that a request cannot choose its own name."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from orch import pki

NOW = datetime.now(UTC)


def subject(cert_pem: bytes) -> tuple[list[str], list[str]]:
    name = x509.load_pem_x509_certificate(cert_pem).subject
    values = [
        [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    ]
    return values[0], values[1]


@pytest.fixture(scope="module")
def ca() -> pki.KeyPair:
    return pki.create_ca("orch-ca", now=NOW)


def write(folder: Path, name: str, pair: pki.KeyPair) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    cert.write_bytes(pair.cert_pem)
    key.write_bytes(pair.key_pem)
    return cert, key


def handshake(folder: Path, ca: pki.KeyPair, server: pki.KeyPair, client: pki.KeyPair, hostname: str) -> list[str]:
    """Mutual TLS over a socket pair, as strict as OpenSSL can be; the names that each side saw of the other."""
    authority = write(folder, "ca", ca)[0]
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    server_side.load_cert_chain(*write(folder, "server", server))
    server_side.verify_mode = ssl.CERT_REQUIRED
    client_side = ssl.create_default_context(cafile=str(authority))
    client_side.load_cert_chain(*write(folder, "client", client))
    for context in (server_side, client_side):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    left, right = socket.socketpair()
    seen: list[str] = []

    def serve() -> None:
        try:
            with server_side.wrap_socket(left, server_side=True) as wrapped:
                seen.append(str(wrapped.getpeercert()))
                wrapped.sendall(b"!")
        except OSError as error:
            seen.append(str(error))
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with right, client_side.wrap_socket(right, server_hostname=hostname) as wrapped:
            wrapped.recv(1)
            seen.append(str(wrapped.getpeercert()))
    finally:
        thread.join()
    return seen


def test_issued_certificates_pass_strict_mutual_tls(tmp_path: Path, ca: pki.KeyPair) -> None:
    server = pki.issue(ca, "orch-server", now=NOW, dns_names=["kubernetes"], addresses=["127.0.0.1", "::1"])
    client = pki.issue(ca, "orch-admin", now=NOW, organizations=["system:masters"])
    seen = handshake(tmp_path, ca, server, client, "127.0.0.1")
    assert any("system:masters" in names for names in seen)
    assert any("kubernetes" in names for names in seen)


@pytest.mark.parametrize(
    ("hostname", "foreign"), [("10.0.0.9", False), ("127.0.0.1", True)], ids=["wrong name", "another authority"]
)
def test_what_does_not_belong_is_refused(tmp_path: Path, ca: pki.KeyPair, hostname: str, foreign: bool) -> None:
    signer = pki.create_ca("orch-ca", now=NOW) if foreign else ca
    server = pki.issue(signer, "orch-server", now=NOW, addresses=["127.0.0.1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, ca, server, pki.issue(ca, "someone", now=NOW), hostname)


def test_a_request_gets_the_subject_that_the_signer_says(ca: pki.KeyPair) -> None:
    csr, _ = pki.new_csr("orch-admin", ["system:masters"])
    cert = pki.sign_csr(ca, csr, common_name="system:node:node-1", organizations=["system:nodes"], now=NOW)
    assert subject(cert) == (["system:node:node-1"], ["system:nodes"])


def test_a_signed_request_works_with_its_key(tmp_path: Path, ca: pki.KeyPair) -> None:
    csr, key = pki.new_csr("anything")
    cert = pki.sign_csr(ca, csr, common_name="system:node:node-1", organizations=["system:nodes"], now=NOW)
    server = pki.issue(ca, "orch-server", now=NOW, addresses=["127.0.0.1"])
    seen = handshake(tmp_path, ca, server, pki.KeyPair(cert, key), "127.0.0.1")
    assert any("system:node:node-1" in names for names in seen)


def test_a_broken_request_is_refused(ca: pki.KeyPair) -> None:
    csr, _ = pki.new_csr("node-1")
    lines = csr.splitlines()
    lines[-3] = lines[-3][:-4] + (b"AAAA" if lines[-3][-4:] != b"AAAA" else b"BBBB")
    for broken in (b"not a request", b"\n".join(lines)):
        with pytest.raises(pki.InvalidRequest):
            pki.sign_csr(ca, broken, common_name="x", organizations=[], now=NOW)


def test_is_current_looks_at_time_and_names(ca: pki.KeyPair) -> None:
    cert = pki.issue(ca, "s", now=NOW, dns_names=["a"], addresses=["10.0.0.1"], days=10).cert_pem
    month = timedelta(days=30)
    day = timedelta(days=1)
    assert pki.is_current(cert, now=NOW, remaining=day, names=["a", "10.0.0.1"])
    assert not pki.is_current(cert, now=NOW, remaining=month)
    assert not pki.is_current(cert, now=NOW, remaining=day, names=["10.0.0.2"])
    assert not pki.is_current(pki.issue(ca, "s", now=NOW).cert_pem, now=NOW, remaining=day, names=["a"])
