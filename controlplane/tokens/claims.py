"""What a ServiceAccount token says: the claims of Kubernetes' bound tokens (pkg/serviceaccount/claims.go). Pure data.

Times are whole seconds since the epoch, as RFC 7519 has them.
"""

import msgspec

USER_PREFIX = "system:serviceaccount:"
ACCOUNTS_GROUP = "system:serviceaccounts"


class ObjectClaim(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object at the time when the token was made."""

    name: str
    uid: str = ""


class BindingClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claim `kubernetes.io`. A token has at most one of pod and secret; beside a pod, `node` only informs."""

    namespace: str
    serviceaccount: ObjectClaim
    pod: ObjectClaim | None = None
    secret: ObjectClaim | None = None
    node: ObjectClaim | None = None
    warnafter: int | None = None
    """When the token should have been renewed, if it lives longer than that."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    aud: tuple[str, ...]
    exp: int
    iat: int
    iss: str
    jti: str
    binding: BindingClaims = msgspec.field(name="kubernetes.io")
    nbf: int
    sub: str


def user_name(namespace: str, account: str) -> str:
    return f"{USER_PREFIX}{namespace}:{account}"


def account_groups(namespace: str) -> tuple[str, str]:
    return ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:{namespace}"


def namespace_of_user(name: str) -> str:
    """The namespace of the ServiceAccount that a user is, or ""."""
    if not name.startswith(USER_PREFIX):
        return ""
    namespace, _, account = name.removeprefix(USER_PREFIX).partition(":")
    return namespace if account else ""
