"""Bodies of token requests and of the questions who somebody is (authentication.k8s.io/v1). None of them is stored."""

import msgspec

from orch.api.base import ApiStruct, Int64, Time, always
from orch.api.meta import Object, ObjectMeta


class BoundObjectReference(ApiStruct):
    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None


class TokenRequestSpec(ApiStruct):
    audiences: tuple[str, ...] = always(())
    bound_object_ref: BoundObjectReference | None = None
    expiration_seconds: Int64 | None = None


class TokenRequestStatus(ApiStruct):
    expiration_timestamp: Time | None = msgspec.field(default_factory=lambda: None)
    token: str = always("")


class TokenRequest(Object):
    """Body and answer of the `token` subresource of a ServiceAccount."""

    api_version: str = always("authentication.k8s.io/v1")
    kind: str = always("TokenRequest")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: TokenRequestSpec = always(TokenRequestSpec())
    status: TokenRequestStatus | None = None


class UserInfo(ApiStruct):
    extra: dict[str, tuple[str, ...]] | None = None
    groups: tuple[str, ...] | None = None
    uid: str | None = None
    username: str | None = None


class TokenReviewSpec(ApiStruct):
    audiences: tuple[str, ...] | None = None
    token: str | None = None


class TokenReviewStatus(ApiStruct):
    audiences: tuple[str, ...] | None = None
    authenticated: bool | None = None
    error: str | None = None
    user: UserInfo | None = None


class TokenReview(Object):
    """Asks whose token it is."""

    api_version: str = always("authentication.k8s.io/v1")
    kind: str = always("TokenReview")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: TokenReviewSpec = always(TokenReviewSpec())
    status: TokenReviewStatus | None = None


class SelfSubjectReviewStatus(ApiStruct):
    user_info: UserInfo | None = None


class SelfSubjectReview(Object):
    """Asks who the asker is."""

    api_version: str = always("authentication.k8s.io/v1")
    kind: str = always("SelfSubjectReview")
    metadata: ObjectMeta = always(ObjectMeta())
    status: SelfSubjectReviewStatus | None = None
