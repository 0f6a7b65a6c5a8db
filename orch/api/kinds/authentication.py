"""The kinds of the group authentication.k8s.io: questions that are answered at once, never stored."""

from orch.api.authentication import SelfSubjectReview, TokenReview
from orch.api.codec import StructCodec
from orch.api.kind import Kind

TOKENREVIEWS: Kind[TokenReview] = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenReview",
    plural="tokenreviews",
    singular="tokenreview",
    codec=StructCodec(TokenReview),
    namespaced=False,
    verbs=("create",),
)

SELFSUBJECTREVIEWS: Kind[SelfSubjectReview] = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="SelfSubjectReview",
    plural="selfsubjectreviews",
    singular="selfsubjectreview",
    codec=StructCodec(SelfSubjectReview),
    namespaced=False,
    verbs=("create",),
)
