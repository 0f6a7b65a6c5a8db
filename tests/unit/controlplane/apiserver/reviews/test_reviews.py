"""Reviews through the chain: who somebody is, and what somebody may do."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.interface import User
from orch.api.authentication import SelfSubjectReview, TokenReview, TokenReviewSpec
from orch.api.authorization import (
    FieldSelectorAttributes,
    FieldSelectorRequirement,
    LocalSubjectAccessReview,
    NonResourceAttributes,
    ResourceAttributes,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SelfSubjectRulesReviewSpec,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from orch.api.kinds import (
    LOCALSUBJECTACCESSREVIEWS,
    REVIEW_KINDS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    SERVICEACCOUNTS,
    SUBJECTACCESSREVIEWS,
    TOKENREVIEWS,
)
from orch.api.meta import ObjectMeta
from orch.api.serviceaccount import ServiceAccount
from orch.errors import BadRequest, Forbidden, Invalid, MethodNotAllowed
from tests.sim.virtual_loop import virtual
from tests.tokens import a_signer
from tests.unit.controlplane.world import ADMIN, World, world

ROBOT = User(
    "system:serviceaccount:shop:robot",
    ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
    "uid-1",
    {"authentication.kubernetes.io/pod-name": ("web",)},
)
LIST_PODS = ResourceAttributes(verb="list", resource="pods", namespace="shop")
LIST_SECRETS = replace(LIST_PODS, resource="secrets")


async def token_in(w: World) -> str:
    await w.admin.create(SERVICEACCOUNTS, ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default")))
    answer = await w.admin.create_subresource(SERVICEACCOUNTS, "robot", "default", "token", {})
    return str(answer["status"]["token"])


async def reviewed(w: World, token: str, *audiences: str) -> Any:
    spec = TokenReviewSpec(token=token, audiences=audiences or None)
    return (await w.admin.create(TOKENREVIEWS, TokenReview(spec=spec))).status


@virtual
async def test_a_token_review_tells_the_user() -> None:
    async with world() as w:
        status = await reviewed(w, await token_in(w))
        assert (status.authenticated, status.audiences) == (True, (a_signer().issuer,))
        assert status.user.username == "system:serviceaccount:default:robot"
        assert status.user.groups[-1] == "system:authenticated"


@virtual
async def test_a_token_review_of_a_bad_token_is_answered_too() -> None:
    async with world() as w:
        good = await token_in(w)
        for status in (await reviewed(w, "nonsense"), await reviewed(w, good, "vault")):
            assert status.authenticated is None
            assert "invalid bearer token" in status.error
        with pytest.raises(BadRequest, match="token is required"):
            await reviewed(w, "")


@virtual
async def test_everybody_may_ask_who_they_are() -> None:
    async with world() as w:
        info = (await w.client(ROBOT).create(SELFSUBJECTREVIEWS, SelfSubjectReview())).status.user_info  # type: ignore[union-attr]
        assert (info.username, info.uid, info.groups) == (ROBOT.name, ROBOT.uid, ROBOT.groups)
        assert info.extra == {"authentication.kubernetes.io/pod-name": ("web",)}


@pytest.mark.parametrize(
    ("user", "asked", "allowed"),
    [(ROBOT, LIST_PODS, True), (ROBOT, LIST_SECRETS, False), (ADMIN, LIST_SECRETS, True)],
)
@virtual
async def test_who_may_do_what(user: User, asked: ResourceAttributes, allowed: bool) -> None:
    async with world() as w:
        subject = SubjectAccessReviewSpec(user=user.name, groups=user.groups, resource_attributes=asked)
        answers = [
            await w.admin.create(SUBJECTACCESSREVIEWS, SubjectAccessReview(spec=subject)),
            await w.admin.create(
                LOCALSUBJECTACCESSREVIEWS,
                LocalSubjectAccessReview(metadata=ObjectMeta(namespace="shop"), spec=subject),
            ),
        ]
        if user is not ADMIN:
            own = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resource_attributes=asked))
            answers.append(await w.client(user).create(SELFSUBJECTACCESSREVIEWS, own))  # type: ignore[arg-type]
        for answer in answers:
            assert answer.status is not None
            assert answer.status.allowed is allowed
            assert bool(answer.status.reason) is not allowed


@virtual
async def test_paths_can_be_asked_about() -> None:
    async with world() as w:
        for path, allowed in (("/openapi/v2", True), ("/metrics", False)):
            spec = SelfSubjectAccessReviewSpec(non_resource_attributes=NonResourceAttributes(verb="get", path=path))
            answer = await w.client(ROBOT).create(SELFSUBJECTACCESSREVIEWS, SelfSubjectAccessReview(spec=spec))
            assert answer.status is not None
            assert answer.status.allowed is allowed


@virtual
async def test_the_rules_of_oneself() -> None:
    async def rules_in(w: World, user: User, namespace: str) -> Any:
        spec = SelfSubjectRulesReviewSpec(namespace=namespace)
        return (await w.client(user).create(SELFSUBJECTRULESREVIEWS, SelfSubjectRulesReview(spec=spec))).status

    async with world() as w:
        own, other = await rules_in(w, ROBOT, "shop"), await rules_in(w, ROBOT, "default")
        assert any("pods" in rule.resources for rule in own.resource_rules)
        assert not any("pods" in rule.resources for rule in other.resource_rules)
        assert any("/openapi/*" in rule.non_resource_urls for rule in other.non_resource_rules)
        assert (await rules_in(w, ADMIN, "shop")).resource_rules[0].resources == ("*",)
        node = User("system:node:n1", ("system:nodes", "system:authenticated"))
        assert (await rules_in(w, node, "shop")).incomplete
        with pytest.raises(BadRequest, match="no namespace"):
            await rules_in(w, ROBOT, "")


@virtual
async def test_questions_that_make_no_sense() -> None:
    both = {"resource_attributes": LIST_PODS, "non_resource_attributes": NonResourceAttributes(verb="get", path="/x")}
    async with world() as w:
        for spec in ({"user": "eve"}, {"user": "eve", **both}, {"resource_attributes": LIST_PODS}):
            with pytest.raises(Invalid):
                await w.admin.create(SUBJECTACCESSREVIEWS, SubjectAccessReview(spec=SubjectAccessReviewSpec(**spec)))  # type: ignore[arg-type]
        elsewhere = SubjectAccessReviewSpec(user="eve", resource_attributes=LIST_PODS)
        with pytest.raises(BadRequest, match="must match namespace"):
            await w.admin.create(
                LOCALSUBJECTACCESSREVIEWS,
                LocalSubjectAccessReview(metadata=ObjectMeta(namespace="default"), spec=elsewhere),
            )


@virtual
async def test_questions_about_others_are_not_for_everybody() -> None:
    async with world() as w:
        with pytest.raises(Forbidden):
            await w.client(ROBOT).create(TOKENREVIEWS, TokenReview(spec=TokenReviewSpec(token="x")))
        with pytest.raises(Forbidden):
            await w.client(ROBOT).create(SUBJECTACCESSREVIEWS, SubjectAccessReview())


@virtual
async def test_reviews_are_created_only() -> None:
    async with world() as w:
        for kind in REVIEW_KINDS:
            with pytest.raises(MethodNotAllowed):
                await w.admin.list(kind)
        assert not [kind for kind in w.kinds.stored() if kind in REVIEW_KINDS]


@virtual
@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        (None, False),
        (FieldSelectorAttributes(raw_selector="spec.nodeName=n1"), True),
        (FieldSelectorAttributes(raw_selector="spec.nodeName=n2"), False),
        (FieldSelectorAttributes(raw_selector="=("), False),
        (
            FieldSelectorAttributes(
                requirements=(FieldSelectorRequirement(key="spec.nodeName", operator="In", values=("n1",)),)
            ),
            True,
        ),
    ],
)
async def test_a_node_may_list_its_own_pods_only(selector: FieldSelectorAttributes | None, allowed: bool) -> None:
    node = User("system:node:n1", ("system:nodes", "system:authenticated"))
    asked = replace(LIST_PODS, field_selector=selector)
    async with world() as w:
        review = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resource_attributes=asked))
        answer = await w.client(node).create(SELFSUBJECTACCESSREVIEWS, review)
    assert answer.status.allowed is allowed
