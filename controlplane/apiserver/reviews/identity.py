"""Whose token is it, who am I (authentication.k8s.io)."""

from msgspec.structs import replace

from controlplane.registry.interface import RequestContext, User
from controlplane.tokens.authenticator import TokenAuthenticator
from orch.api.authentication import (
    SelfSubjectReview,
    SelfSubjectReviewStatus,
    TokenReview,
    TokenReviewStatus,
    UserInfo,
)
from orch.errors import BadRequest, Unauthorized


class IdentityReviews:
    def __init__(self, tokens: TokenAuthenticator) -> None:
        self._tokens = tokens

    async def token(self, context: RequestContext, namespace: str, review: TokenReview) -> TokenReview:
        """Raises BadRequest. A token that is not good is an answer, no error."""
        if not review.spec.token:
            raise BadRequest("token is required for TokenReview in authentication")
        asked = review.spec.audiences or (self._tokens.api_audience,)
        try:
            user, audiences = self._tokens.user(review.spec.token, asked)
        except Unauthorized as error:
            return replace(review, status=TokenReviewStatus(user=UserInfo(), error=error.message))
        return replace(review, status=TokenReviewStatus(authenticated=True, user=user_info(user), audiences=audiences))

    async def own(self, context: RequestContext, namespace: str, review: SelfSubjectReview) -> SelfSubjectReview:
        return replace(review, status=SelfSubjectReviewStatus(user_info=user_info(context.user)))


def user_info(user: User) -> UserInfo:
    return UserInfo(
        username=user.name, uid=user.uid or None, groups=user.groups or None, extra=dict(user.extra) or None
    )
