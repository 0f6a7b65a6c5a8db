"""Bodies of the questions what somebody may do (authorization.k8s.io/v1), and their rules. None of them is stored."""

from collections.abc import Sequence

import msgspec

from orch.api.base import ApiStruct, always
from orch.api.causes import Causes
from orch.api.meta import LabelSelectorRequirement, Object, ObjectMeta
from orch.errors import Cause


class FieldSelectorRequirement(ApiStruct):
    key: str = always("")
    operator: str = always("")
    values: tuple[str, ...] | None = None


class FieldSelectorAttributes(ApiStruct):
    raw_selector: str | None = None
    requirements: tuple[FieldSelectorRequirement, ...] | None = None


class LabelSelectorAttributes(ApiStruct):
    raw_selector: str | None = None
    requirements: tuple[LabelSelectorRequirement, ...] | None = None


class ResourceAttributes(ApiStruct):
    field_selector: FieldSelectorAttributes | None = None
    group: str | None = None
    label_selector: LabelSelectorAttributes | None = None
    name: str | None = None
    namespace: str | None = None
    resource: str | None = None
    subresource: str | None = None
    verb: str | None = None
    version: str | None = None


class NonResourceAttributes(ApiStruct):
    path: str | None = None
    verb: str | None = None


class SubjectAccessReviewSpec(ApiStruct):
    extra: dict[str, tuple[str, ...]] | None = None
    groups: tuple[str, ...] | None = None
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None
    uid: str | None = None
    user: str | None = None


class SelfSubjectAccessReviewSpec(ApiStruct):
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None


class SubjectAccessReviewStatus(ApiStruct):
    allowed: bool = always(False)
    denied: bool | None = None
    evaluation_error: str | None = None
    reason: str | None = None


class SubjectAccessReview(Object):
    """Asks whether somebody may do something."""

    api_version: str = always("authorization.k8s.io/v1")
    kind: str = always("SubjectAccessReview")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: SubjectAccessReviewSpec = always(SubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus | None = None


class LocalSubjectAccessReview(Object):
    """Asks whether somebody may do something in one namespace."""

    api_version: str = always("authorization.k8s.io/v1")
    kind: str = always("LocalSubjectAccessReview")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: SubjectAccessReviewSpec = always(SubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus | None = None


class SelfSubjectAccessReview(Object):
    """Asks whether the asker may do something."""

    api_version: str = always("authorization.k8s.io/v1")
    kind: str = always("SelfSubjectAccessReview")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: SelfSubjectAccessReviewSpec = always(SelfSubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus | None = None


class ResourceRule(ApiStruct):
    api_groups: tuple[str, ...] | None = None
    resource_names: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    verbs: tuple[str, ...] = always(())


class NonResourceRule(ApiStruct):
    non_resource_urls: tuple[str, ...] | None = msgspec.field(default=None, name="nonResourceURLs")
    verbs: tuple[str, ...] = always(())


class SelfSubjectRulesReviewSpec(ApiStruct):
    namespace: str | None = None


class SubjectRulesReviewStatus(ApiStruct):
    evaluation_error: str | None = None
    incomplete: bool = always(False)
    non_resource_rules: tuple[NonResourceRule, ...] = always(())
    resource_rules: tuple[ResourceRule, ...] = always(())


class SelfSubjectRulesReview(Object):
    """Asks for all that the asker may do in a namespace."""

    api_version: str = always("authorization.k8s.io/v1")
    kind: str = always("SelfSubjectRulesReview")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: SelfSubjectRulesReviewSpec = always(SelfSubjectRulesReviewSpec())
    status: SubjectRulesReviewStatus | None = None


def validate_access_review(review: SubjectAccessReview | LocalSubjectAccessReview) -> Sequence[Cause]:
    """As pkg/apis/authorization/validation of Kubernetes."""
    causes = Causes()
    _check_attributes(causes, review.spec)
    if not review.spec.user and not review.spec.groups:
        causes.invalid("spec.user", "", "at least one of user or group must be specified")
    if isinstance(review, LocalSubjectAccessReview) and review.spec.non_resource_attributes is not None:
        causes.invalid("spec.nonResourceAttributes", "", "disallowed on this kind of request")
    return causes.found


def validate_self_access_review(review: SelfSubjectAccessReview) -> Sequence[Cause]:
    causes = Causes()
    _check_attributes(causes, review.spec)
    return causes.found


def _check_attributes(causes: Causes, spec: SubjectAccessReviewSpec | SelfSubjectAccessReviewSpec) -> None:
    both = spec.resource_attributes is not None and spec.non_resource_attributes is not None
    if both:
        why = "cannot be specified in combination with resourceAttributes"
        causes.invalid("spec.nonResourceAttributes", "", why)
    elif spec.resource_attributes is None and spec.non_resource_attributes is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.invalid("spec.resourceAttributes", "", why)
