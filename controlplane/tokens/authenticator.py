"""Whose a ServiceAccount token is: signature, times, audience, and that what it names still exists.

Never waits: everything is looked up in the watch cache. Verified signatures are remembered by the token's digest, since
a client sends the same token with every request; times and existence are checked every time all the same.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from controlplane.registry.interface import User
from controlplane.store.cache import WatchCache
from controlplane.tokens.claims import Claims, ObjectClaim, account_groups, user_name
from controlplane.tokens.signer import NotOurToken, TokenSigner
from orch.api.identities import AUTHENTICATED
from orch.api.kind import Kind
from orch.api.kinds import NODES, PODS, SECRETS, SERVICEACCOUNTS
from orch.errors import Unauthorized
from orch.kit.clock import Clock

REMEMBERED_MAX = 4096
LEEWAY_S = 60
"""For clocks that differ, and for objects whose deletion has begun (as kube-apiserver's)."""
EXTRA = "authentication.kubernetes.io/"


class TokenAuthenticator:
    def __init__(self, cache: WatchCache, signer: TokenSigner, clock: Clock) -> None:
        self._cache, self._signer, self._clock = cache, signer, clock
        self._remembered: OrderedDict[bytes, Claims] = OrderedDict()

    async def token_user(self, token: str) -> User | None:
        """An `authn.TokenAuthenticator` for the API's own audience."""
        try:
            return self.user(token, (self._signer.issuer,))[0]
        except Unauthorized:
            return None

    @property
    def api_audience(self) -> str:
        return self._signer.issuer

    def user(self, token: str, audiences: Sequence[str]) -> tuple[User, tuple[str, ...]]:
        """The user and those of `audiences` that the token is for. Raises Unauthorized, saying what is wrong."""
        claims = self._claims(token)
        meant = tuple(audience for audience in audiences if audience in claims.aud)
        if not meant:
            raise Unauthorized(f"invalid bearer token, token audiences {list(claims.aud)} is invalid for this audience")
        now_s = self._clock.now().timestamp()
        if claims.exp + LEEWAY_S < now_s:
            raise Unauthorized("invalid bearer token, service account token has expired")
        if claims.nbf - LEEWAY_S > now_s:
            raise Unauthorized("invalid bearer token, service account token is not valid yet")
        for kind, namespace, named in _names(claims):
            self._check_exists(kind, namespace, named, now_s)
        return user_of(claims), meant

    def _claims(self, token: str) -> Claims:
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._remembered.get(digest)
        if claims is not None:
            self._remembered.move_to_end(digest)
            return claims
        try:
            claims = self._signer.verified(token)
        except NotOurToken as error:
            raise Unauthorized(f"invalid bearer token: {error}") from error
        binding = claims.binding
        if claims.iss != self._signer.issuer or claims.sub != user_name(binding.namespace, binding.serviceaccount.name):
            raise Unauthorized("invalid bearer token: it is not of this cluster")
        self._remembered[digest] = claims
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return claims

    def _check_exists(self, kind: Kind[Any], namespace: str, named: ObjectClaim, now_s: float) -> None:
        found = self._cache.get(kind, namespace, named.name)
        if found is None or found.obj.metadata.uid != named.uid:
            raise Unauthorized(
                f"invalid bearer token, {kind.singular} {named.name} of the token does not exist any more"
            )
        deleted_at = found.obj.metadata.deletion_timestamp
        if deleted_at is not None and deleted_at.timestamp() + LEEWAY_S < now_s:
            raise Unauthorized(f"invalid bearer token, {kind.singular} {named.name} of the token has been deleted")


def _names(claims: Claims) -> Iterator[tuple[Kind[Any], str, ObjectClaim]]:
    """The objects that must exist: a pod's node only informs, since the pod goes with it."""
    binding = claims.binding
    yield SERVICEACCOUNTS, binding.namespace, binding.serviceaccount
    if binding.pod is not None:
        yield PODS, binding.namespace, binding.pod
    elif binding.secret is not None:
        yield SECRETS, binding.namespace, binding.secret
    elif binding.node is not None:
        yield NODES, "", binding.node


def user_of(claims: Claims) -> User:
    binding = claims.binding
    extra = {f"{EXTRA}credential-id": (f"JTI={claims.jti}",)}
    for what, named in (("node", binding.node), ("pod", binding.pod)):
        if named is not None:
            extra[f"{EXTRA}{what}-name"] = (named.name,)
            if named.uid:
                extra[f"{EXTRA}{what}-uid"] = (named.uid,)
    groups = (*account_groups(binding.namespace), AUTHENTICATED)
    return User(claims.sub, groups, binding.serviceaccount.uid, extra)
