"""What signs the service account tokens of a test's API, and the authority that its pods are told of."""

from functools import cache

from controlplane.tokens.signer import TokenSigner
from orch import pki

ROOT_CA = "-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n"


@cache
def a_signer() -> TokenSigner:
    """With one key for all tests of a process."""
    return TokenSigner(pki.new_key())
