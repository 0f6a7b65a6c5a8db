"""The cluster's key for ServiceAccount tokens: signs claims, checks signatures, publishes its public half.

JWS (RFC 7515) with ES256. Knows nothing of clusters, times or audiences: a valid signature says who wrote the claims,
not that they hold.
"""

import base64
import hashlib
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm

from controlplane.tokens.claims import Claims
from orch.errors import OrchError

ALGORITHM = "ES256"
ISSUER = "https://kubernetes.default.svc.cluster.local"
API_URL = "https://kubernetes.default.svc"
JWK_SET_TYPE, JSON_TYPE = "application/jwk-set+json", "application/json"
JWKS_PATH, DISCOVERY_PATH = "/openid/v1/jwks", "/.well-known/openid-configuration"


class NotOurToken(OrchError):
    """Not a token, or not signed with this key, or without the claims of a ServiceAccount token."""


class TokenSigner:
    """`issuer` names the cluster in its tokens and is the audience of its API; `api_url` is where verifiers outside the
    API server find the public key."""

    def __init__(self, key_pem: bytes, *, api_url: str = API_URL, issuer: str = ISSUER) -> None:
        """Raises ValueError for what is no PEM of an elliptic-curve key on P-256."""
        key = load_pem_private_key(key_pem, password=None)
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ValueError("the key of service account tokens is to be an elliptic-curve key on P-256")
        self.issuer, self._api_url = issuer, api_url
        self._key, self._key_id = key, _key_id(key)

    def sign(self, claims: Claims) -> str:
        payload, head = msgspec.json.encode(claims), {"kid": self._key_id, "typ": None}
        return jwt.PyJWS().encode(payload, self._key, algorithm=ALGORITHM, headers=head)

    def verified(self, token: str) -> Claims:
        """Raises NotOurToken."""
        try:
            payload = jwt.PyJWS().decode(token, self._key.public_key(), algorithms=[ALGORITHM])
            return msgspec.json.decode(payload, type=Claims)
        except (jwt.InvalidTokenError, msgspec.MsgspecError, ValueError) as error:
            raise NotOurToken(str(error)) from error

    def documents(self) -> dict[str, tuple[bytes, str]]:
        """Path -> (body, media type): OpenID Connect Discovery 1.0 and the JSON Web Key Set that it points to."""
        discovery = {
            "issuer": self.issuer,
            "jwks_uri": f"{self._api_url}{JWKS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        key: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        keys = {"keys": [{"use": "sig", "kid": self._key_id, "alg": ALGORITHM, **key}]}
        return {
            DISCOVERY_PATH: (msgspec.json.encode(discovery), JSON_TYPE),
            JWKS_PATH: (msgspec.json.encode(keys), JWK_SET_TYPE),
        }


def _key_id(key: EllipticCurvePrivateKey) -> str:
    """As kube-apiserver derives it: SHA-256 of the public key's DER, base64url without padding."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")
