"""The kinds of the group authorization.k8s.io: questions that are answered at once, never stored."""

from orch.api.authorization import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    validate_access_review,
    validate_self_access_review,
)
from orch.api.codec import StructCodec
from orch.api.kind import Kind

SUBJECTACCESSREVIEWS: Kind[SubjectAccessReview] = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SubjectAccessReview",
    plural="subjectaccessreviews",
    singular="subjectaccessreview",
    codec=StructCodec(SubjectAccessReview),
    validate=validate_access_review,
    namespaced=False,
    verbs=("create",),
)

LOCALSUBJECTACCESSREVIEWS: Kind[LocalSubjectAccessReview] = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="LocalSubjectAccessReview",
    plural="localsubjectaccessreviews",
    singular="localsubjectaccessreview",
    codec=StructCodec(LocalSubjectAccessReview),
    validate=validate_access_review,
    verbs=("create",),
)

SELFSUBJECTACCESSREVIEWS: Kind[SelfSubjectAccessReview] = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
    singular="selfsubjectaccessreview",
    codec=StructCodec(SelfSubjectAccessReview),
    validate=validate_self_access_review,
    namespaced=False,
    verbs=("create",),
)

SELFSUBJECTRULESREVIEWS: Kind[SelfSubjectRulesReview] = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectRulesReview",
    plural="selfsubjectrulesreviews",
    singular="selfsubjectrulesreview",
    codec=StructCodec(SelfSubjectRulesReview),
    namespaced=False,
    verbs=("create",),
)
