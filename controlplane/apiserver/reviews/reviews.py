"""Which review is answered by whom. The chain has authorized the asker before."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from controlplane.apiserver.reviews.access import AccessReviews
from controlplane.apiserver.reviews.identity import IdentityReviews
from controlplane.registry.interface import Authorizer, RequestContext, Stored
from controlplane.tokens.authenticator import TokenAuthenticator
from orch.api.causes import invalid
from orch.api.kind import Kind
from orch.api.kinds import (
    LOCALSUBJECTACCESSREVIEWS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    SUBJECTACCESSREVIEWS,
    TOKENREVIEWS,
)
from orch.api.meta import Object

T = TypeVar("T", bound=Object)

Answer = Callable[[RequestContext, str, Any], Awaitable[Any]]
"""(who asks, namespace, the review) -> the review with its status."""


class Reviews:
    def __init__(self, authorizer: Authorizer, tokens: TokenAuthenticator) -> None:
        access, identity = AccessReviews(authorizer), IdentityReviews(tokens)
        self._answers: Mapping[str, Answer] = {
            TOKENREVIEWS.resource: identity.token,
            SELFSUBJECTREVIEWS.resource: identity.own,
            SUBJECTACCESSREVIEWS.resource: access.subject,
            LOCALSUBJECTACCESSREVIEWS.resource: access.local,
            SELFSUBJECTACCESSREVIEWS.resource: access.own,
            SELFSUBJECTRULESREVIEWS.resource: access.own_rules,
        }

    async def answer(self, context: RequestContext, kind: Kind[T], namespace: str, review: T) -> Stored[T]:
        """At no revision. Raises Invalid, BadRequest."""
        if causes := kind.validate(review):
            raise invalid(kind, review.metadata.name, causes)
        answer = await self._answers[kind.resource](context, namespace, review)
        return Stored(answer, 0, kind.codec.encode(answer))
