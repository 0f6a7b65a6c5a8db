"""Makes a token for a ServiceAccount (registry/core/serviceaccount/storage/token.go of kube-apiserver).

What the token is bound to is looked up in the cache and must be what the request says. Nothing is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from controlplane.registry import failures
from controlplane.store.cache import WatchCache
from controlplane.tokens.claims import BindingClaims, Claims, ObjectClaim, user_name
from controlplane.tokens.signer import TokenSigner
from orch.api.authentication import BoundObjectReference, TokenRequest, TokenRequestStatus
from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.kinds import NODES, PODS, SECRETS, SERVICEACCOUNTS
from orch.api.meta import ObjectMeta
from orch.errors import BadRequest
from orch.kit.clock import Clock, whole_seconds
from orch.kit.ids import Ids

LIFETIME_DEFAULT_S = 3600
LIFETIME_MIN_S = 600
LIFETIME_MAX_S = 1 << 32
MOUNTED_LIFETIME_S = 3607
"""What the token that every pod gets asks for; an odd number, by which it is known."""
EXTENDED_LIFETIME_S = 365 * 24 * 3600
"""How long such a token is taken after all, as kube-apiserver's --service-account-extend-token-expiration: clients that
read their token once go on working as long as their pod does."""

TOKENREQUEST: Kind[TokenRequest] = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenRequest",
    plural="tokenrequests",
    codec=StructCodec(TokenRequest),
)
"""Not a kind of its own, but the body of a ServiceAccount's subresource."""
_BINDABLE: Mapping[tuple[str, str], Kind[Any]] = {("v1", kind.kind): kind for kind in (PODS, SECRETS, NODES)}


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    cache: WatchCache
    signer: TokenSigner
    clock: Clock
    ids: Ids

    def issue(self, namespace: str, name: str, request: TokenRequest) -> TokenRequest:
        """The request with its status. Raises Invalid, NotFound, BadRequest, Conflict."""
        spec = request.spec
        lifetime_s = LIFETIME_DEFAULT_S if spec.expiration_seconds is None else spec.expiration_seconds
        _check(request, namespace, name, lifetime_s)
        account = self.cache.get(SERVICEACCOUNTS, namespace, name)
        if account is None:
            raise failures.not_found(SERVICEACCOUNTS, name)
        unbound = BindingClaims(namespace=namespace, serviceaccount=ObjectClaim(name, account.obj.metadata.uid))
        binding = self._bound(unbound, spec.bound_object_ref) if spec.bound_object_ref else unbound
        audiences = spec.audiences or (self.signer.issuer,)
        now = whole_seconds(self.clock.now())
        claims = self._claims(now, lifetime_s, audiences, binding)
        status = TokenRequestStatus(
            token=self.signer.sign(claims), expiration_timestamp=now + timedelta(seconds=lifetime_s)
        )
        return TokenRequest(
            metadata=ObjectMeta(name=name, namespace=namespace, creation_timestamp=now),
            spec=replace(spec, audiences=audiences, expiration_seconds=lifetime_s),
            status=status,
        )

    def _claims(self, now: datetime, lifetime_s: int, audiences: tuple[str, ...], binding: BindingClaims) -> Claims:
        starts = int(now.timestamp())
        ends = starts + lifetime_s
        if binding.pod is not None and lifetime_s == MOUNTED_LIFETIME_S and audiences == (self.signer.issuer,):
            ends, binding = starts + EXTENDED_LIFETIME_S, replace(binding, warnafter=starts + lifetime_s)
        return Claims(
            aud=audiences,
            exp=ends,
            iat=starts,
            iss=self.signer.issuer,
            jti=self.ids.uid(),
            binding=binding,
            nbf=starts,
            sub=user_name(binding.namespace, binding.serviceaccount.name),
        )

    def _bound(self, binding: BindingClaims, ref: BoundObjectReference) -> BindingClaims:
        kind = _BINDABLE.get((ref.api_version or "", ref.kind or ""))
        if kind is None:
            raise BadRequest(f"cannot bind token to object of type {ref.api_version or ''}, Kind={ref.kind or ''}")
        found = self.cache.get(kind, binding.namespace if kind.namespaced else "", ref.name or "")
        if found is None:
            raise failures.not_found(kind, ref.name or "")
        bound = ObjectClaim(found.obj.metadata.name, found.obj.metadata.uid)
        if ref.uid and ref.uid != bound.uid:
            why = f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. "
            raise failures.conflict(kind, bound.name, why + "The object might have been deleted and then recreated")
        if kind is PODS:
            return replace(binding, pod=bound, node=self._node_of(found.obj, binding.serviceaccount.name))
        return replace(binding, **{kind.singular: bound})

    def _node_of(self, pod: Any, account: str) -> ObjectClaim | None:
        if pod.spec.service_account_name != account:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        if not pod.spec.node_name:
            return None
        node = self.cache.get(NODES, "", pod.spec.node_name)
        return ObjectClaim(pod.spec.node_name, node.obj.metadata.uid if node else "")


def _check(request: TokenRequest, namespace: str, name: str, lifetime_s: int) -> None:
    """As pkg/apis/authentication/validation of Kubernetes. Raises BadRequest, Invalid."""
    if request.metadata.name not in ("", name):
        raise BadRequest("name on token request must match the name of the service account")
    if request.metadata.namespace not in ("", namespace):
        raise BadRequest("namespace on token request must match the namespace of the service account")
    if lifetime_s < LIFETIME_MIN_S:
        why = "may not specify a duration less than 10 minutes"
        raise failures.invalid_value(TOKENREQUEST, "", "spec.expirationSeconds", lifetime_s, why)
    if lifetime_s > LIFETIME_MAX_S:
        why = "may not specify a duration larger than 2^32 seconds"
        raise failures.invalid_value(TOKENREQUEST, "", "spec.expirationSeconds", lifetime_s, why)
