"""X.509 for one cluster: a certificate authority, certificates it issues, requests it signs. PEM bytes in and out.

Pure: no files, no clock (`now` is an argument). Keys are ECDSA P-256. Every certificate carries the extensions that
strict verifiers ask for (RFC 5280 4.2.1). Invariant: a signed request's subject is what the signer says, never what
the request says. Subjects follow Kubernetes: CN is the user name, each O a group.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orch.errors import OrchError

CLOCK_SKEW_MAX = timedelta(hours=1)
"""Certificates begin this long before `now`, so that a machine whose clock is behind accepts them."""

_SIGNING = x509.KeyUsage(
    digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
_LEAF = x509.KeyUsage(
    digital_signature=True, key_cert_sign=False, crl_sign=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


class InvalidRequest(OrchError):
    """A certificate signing request that cannot be read or is not signed by its own key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key (PKCS #8), both PEM."""

    cert_pem: bytes
    key_pem: bytes


def create_ca(common_name: str, *, now: datetime, days: int = 3650) -> KeyPair:
    """A self-signed certificate authority that signs leaf certificates only (path length 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(common_name, ())
    builder = (
        _builder(subject, subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNING, critical=True)
    )
    return KeyPair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def issue(
    ca: KeyPair,
    common_name: str,
    *,
    now: datetime,
    organizations: Sequence[str] = (),
    dns_names: Sequence[str] = (),
    addresses: Sequence[str] = (),
    days: int = 365,
) -> KeyPair:
    """A new key with a certificate that is usable as server and client."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(common_name, organizations)
    return KeyPair(_sign_leaf(ca, key.public_key(), subject, dns_names, addresses, now, days), _key_pem(key))


def new_key() -> bytes:
    """A private key on P-256 as PEM, for signatures without a certificate."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def new_csr(common_name: str, organizations: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """(request, key): a PKCS #10 signing request for a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_subject(common_name, organizations))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), _key_pem(key)


def sign_csr(
    ca: KeyPair, csr_pem: bytes, *, common_name: str, organizations: Sequence[str], now: datetime, days: int = 365
) -> bytes:
    """A certificate for the request's key. Of the request nothing but the key is used. Raises InvalidRequest."""
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        valid, public_key = request.is_signature_valid, request.public_key()
    except (ValueError, InvalidSignature) as error:
        raise InvalidRequest(f"the certificate signing request cannot be read: {error}") from error
    if not valid or not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise InvalidRequest("the certificate signing request is not signed by an elliptic-curve key of its own")
    return _sign_leaf(ca, public_key, _subject(common_name, organizations), (), (), now, days)


def is_current(cert_pem: bytes, *, now: datetime, remaining: timedelta, names: Sequence[str] = ()) -> bool:
    """Whether the certificate is valid for at least `remaining` and names every DNS name and address in `names`."""
    certificate = x509.load_pem_x509_certificate(cert_pem)
    if certificate.not_valid_after_utc - now < remaining:
        return False
    return set(names) <= _alternative_names(certificate)


def is_address(name: str) -> bool:
    """Whether a subject alternative name is an IP address; if not, it is a DNS name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _alternative_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _sign_leaf(
    ca: KeyPair,
    public_key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    dns_names: Sequence[str],
    addresses: Sequence[str],
    now: datetime,
    days: int,
) -> bytes:
    authority = x509.load_pem_x509_certificate(ca.cert_pem)
    authority_key = serialization.load_pem_private_key(ca.key_pem, password=None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey), "a KeyPair of this module has a P-256 key"
    builder = (
        _builder(subject, authority.subject, public_key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_LEAF, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _pem(builder.sign(authority_key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW_MAX)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
