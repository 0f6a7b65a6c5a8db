"""The key of service account tokens."""

import base64
import json

import jwt
import pytest

from controlplane.tokens.claims import BindingClaims, Claims, ObjectClaim, namespace_of_user, user_name
from controlplane.tokens.signer import DISCOVERY_PATH, JWKS_PATH, NotOurToken, TokenSigner
from orch import pki

CLAIMS = Claims(
    aud=("here",), exp=2, iat=1, iss="us", jti="j", nbf=1, sub="s",
    binding=BindingClaims(namespace="shop", serviceaccount=ObjectClaim("robot", "u")),
)  # fmt: skip


def test_what_was_signed_is_known_again() -> None:
    signer = TokenSigner(pki.new_key())
    assert signer.verified(signer.sign(CLAIMS)) == CLAIMS


def test_another_key_a_changed_claim_and_nonsense_are_refused() -> None:
    signer, other = TokenSigner(pki.new_key()), TokenSigner(pki.new_key())
    token = signer.sign(CLAIMS)
    head, payload, signature = token.split(".")
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(payload + "==").replace(b"robot", b"admin"))
    unsigned = jwt.PyJWS().encode(b"{}", None, algorithm="none")
    shared = jwt.PyJWS().encode(b"{}", "a secret that is known to all who ask", algorithm="HS256")
    changed = f"{head}.{forged.decode().rstrip('=')}.{signature}"
    for wrong in (changed, other.sign(CLAIMS), unsigned, shared, "", "x.y.z"):
        with pytest.raises(NotOurToken):
            signer.verified(wrong)


def test_a_token_without_our_claims_is_refused() -> None:
    key = pki.new_key()
    bare = jwt.encode({"sub": "somebody"}, key, algorithm="ES256")
    with pytest.raises(NotOurToken):
        TokenSigner(key).verified(bare)


def test_the_published_key_verifies_tokens_elsewhere() -> None:
    signer = TokenSigner(pki.new_key(), api_url="https://192.0.2.1:6443")
    documents = signer.documents()
    discovery = json.loads(documents[DISCOVERY_PATH][0])
    assert discovery["jwks_uri"] == f"https://192.0.2.1:6443{JWKS_PATH}"
    assert discovery["issuer"] == signer.issuer
    (key,) = jwt.PyJWKSet.from_json(documents[JWKS_PATH][0].decode()).keys
    token = signer.sign(CLAIMS)
    assert jwt.get_unverified_header(token)["kid"] == key.key_id
    options = {"verify_exp": False, "verify_aud": False}
    assert jwt.decode(token, key, algorithms=["ES256"], options=options)["kubernetes.io"]["namespace"] == "shop"


def test_only_keys_on_p256_are_taken() -> None:
    with pytest.raises(ValueError, match="PEM"):
        TokenSigner(b"no key")


@pytest.mark.parametrize(
    ("user", "namespace"),
    [(user_name("shop", "robot"), "shop"), ("system:serviceaccount:shop", ""), ("eve", ""), ("", "")],
)
def test_a_user_name_tells_its_namespace(user: str, namespace: str) -> None:
    assert namespace_of_user(user) == namespace
