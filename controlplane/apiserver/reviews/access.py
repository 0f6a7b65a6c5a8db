"""Who may do what (authorization.k8s.io): the authorizer's own answers, told instead of acted on."""

from msgspec.structs import replace

from controlplane.apiserver.authz import node_name, selector_refusal
from controlplane.apiserver.rules import Rule, rules_of
from controlplane.registry.interface import Authorizer, RequestContext, User
from orch.api.authorization import (
    FieldSelectorAttributes,
    LocalSubjectAccessReview,
    NonResourceRule,
    ResourceRule,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from orch.errors import BadRequest

INCOMPLETE = "what a node may do depends on the pods that are bound to it"


class AccessReviews:
    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def subject(
        self, context: RequestContext, namespace: str, review: SubjectAccessReview
    ) -> SubjectAccessReview:
        return replace(review, status=await self._status(_subject(context, review.spec), review.spec))

    async def local(
        self, context: RequestContext, namespace: str, review: LocalSubjectAccessReview
    ) -> LocalSubjectAccessReview:
        """Raises BadRequest when it asks about another namespace than the one that it is asked in."""
        attributes = review.spec.resource_attributes
        if attributes is not None and (attributes.namespace or "") != namespace:
            raise BadRequest(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        return replace(review, status=await self._status(_subject(context, review.spec), review.spec))

    async def own(
        self, context: RequestContext, namespace: str, review: SelfSubjectAccessReview
    ) -> SelfSubjectAccessReview:
        return replace(review, status=await self._status(context, review.spec))

    async def own_rules(
        self, context: RequestContext, namespace: str, review: SelfSubjectRulesReview
    ) -> SelfSubjectRulesReview:
        """Raises BadRequest without a namespace."""
        if not review.spec.namespace:
            raise BadRequest("no namespace on request")
        rules = tuple(rules_of(context.user, review.spec.namespace))
        is_node = bool(node_name(context.user))
        status = SubjectRulesReviewStatus(
            resource_rules=tuple(_resource_rule(rule) for rule in rules if rule.resources),
            non_resource_rules=tuple(
                NonResourceRule(verbs=rule.verbs, non_resource_urls=rule.paths) for rule in rules if rule.paths
            ),
            incomplete=is_node,
            evaluation_error=INCOMPLETE if is_node else None,
        )
        return replace(review, status=status)

    async def _status(
        self, context: RequestContext, spec: SubjectAccessReviewSpec | SelfSubjectAccessReviewSpec
    ) -> SubjectAccessReviewStatus:
        refusal = await self._authorizer(context, *_asked(spec)) or _selector_refusal(context, spec)
        return SubjectAccessReviewStatus(allowed=not refusal, reason=refusal or None)


def _resource_rule(rule: Rule) -> ResourceRule:
    return ResourceRule(
        verbs=rule.verbs, api_groups=rule.groups, resources=rule.resources, resource_names=rule.names or None
    )


def _subject(context: RequestContext, spec: SubjectAccessReviewSpec) -> RequestContext:
    user = User(spec.user or "", spec.groups or (), spec.uid or "", spec.extra or {})
    return RequestContext(user, context.request_id, context.warn)


def _selector_refusal(context: RequestContext, spec: SubjectAccessReviewSpec | SelfSubjectAccessReviewSpec) -> str:
    """As for the request itself; a selector that cannot be read selects nothing."""
    asked = spec.resource_attributes
    if asked is None or asked.verb not in ("list", "watch"):
        return ""
    try:
        return selector_refusal(context.user, _selector_text(asked.field_selector))
    except BadRequest as error:
        return error.message


def _selector_text(asked: FieldSelectorAttributes | None) -> str:
    """Field selectors know equality only: a requirement of several values narrows nothing here."""
    if asked is None:
        return ""
    exact = (each for each in asked.requirements or () if each.operator == "In" and len(each.values or ()) == 1)
    return asked.raw_selector or ",".join(f"{each.key}={(each.values or ())[0]}" for each in exact)


def _asked(spec: SubjectAccessReviewSpec | SelfSubjectAccessReviewSpec) -> tuple[str, str, str, str, str, str]:
    """(verb, group, resource, subresource, namespace, name), as an `Authorizer` takes them."""
    path, asked = spec.non_resource_attributes, spec.resource_attributes
    if path is not None:
        return path.verb or "", "", path.path or "/", "", "", ""
    assert asked is not None, "validation demands one of the two"
    return (
        asked.verb or "",
        asked.group or "",
        asked.resource or "",
        asked.subresource or "",
        asked.namespace or "",
        asked.name or "",
    )
