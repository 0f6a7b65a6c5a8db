"""Tokens for pods over the node session: API, nodeplane, gRPC on loopback, the agent's end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from nodeagent.grpc_link import GrpcDialer, TokenRefused
from nodeagent.link import LinkLost
from orch.api.authentication import TokenReview, TokenReviewSpec
from orch.api.kinds import NODES, PODS, SERVICEACCOUNTS, TOKENREVIEWS
from orch.api.meta import ObjectMeta
from orch.api.node import Node
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.api.serviceaccount import ServiceAccount
from protos import node_pb2
from tests.node_session import ControlPlane, FakeNode, control_plane, eventually, pod_on


@asynccontextmanager
async def node_with_pod(folder: Path) -> AsyncIterator[tuple[ControlPlane, GrpcDialer, node_pb2.IssueTokenRequest]]:
    """A session of node n1, the pod `web` of account robot on it, and a proper request for its token."""
    async with control_plane() as plane:
        account = ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default"))
        await plane.client.create(SERVICEACCOUNTS, account)
        spec = PodSpec(containers=(Container(name="app", image="web:1"),), service_account_name="robot")
        dialer = await FakeNode("n1", folder).join(plane)
        async with dialer() as link:
            node = NODES.codec.encode(Node(metadata=ObjectMeta(name="n1")))
            await link.send(node_pb2.AgentMessage(hello=node_pb2.Hello(node=node)))
            async with asyncio.timeout(10):
                while (await anext(aiter(link))).WhichOneof("message") != "snapshot_end":
                    continue
            web = Pod(metadata=ObjectMeta(name="web", namespace="default"), spec=spec)
            pod = await pod_on("n1", plane.client, web)
            request = node_pb2.IssueTokenRequest(
                pod_uid=pod.metadata.uid, namespace="default", pod="web", service_account="robot",
                expiration_seconds=600,
            )  # fmt: skip
            yield plane, dialer, request


async def test_a_node_gets_tokens_of_its_pods(tmp_path: Path) -> None:
    async with node_with_pod(tmp_path) as (plane, dialer, request):
        given: list[node_pb2.IssueTokenResponse] = []

        async def is_given() -> bool:
            try:
                given.append(await dialer.issue_token(request))
            except TokenRefused:
                return False  # the nodeplane has not seen the pod yet
            return True

        await eventually(is_given)
        spec = TokenReviewSpec(token=given[0].token)
        status = (await plane.client.create(TOKENREVIEWS, TokenReview(spec=spec))).status
        assert status is not None
        assert status.user is not None
        assert status.user.username == "system:serviceaccount:default:robot"
        assert (status.user.extra or {})["authentication.kubernetes.io/pod-name"] == ("web",)
        assert given[0].expires_at_unix_s > 0


@pytest.mark.parametrize(
    "wrong",
    [{"pod": "other"}, {"pod_uid": "another"}, {"service_account": "default"}, {"namespace": "kube-system"}],
)
async def test_a_node_gets_no_other_tokens(tmp_path: Path, wrong: dict[str, str]) -> None:
    async with node_with_pod(tmp_path) as (_, dialer, request):
        for name, value in wrong.items():
            setattr(request, name, value)
        with pytest.raises(TokenRefused, match="no such pod with that account is bound to the node"):
            await dialer.issue_token(request)


async def test_a_node_gets_no_token_of_a_pod_that_it_says_to_run_by_itself(tmp_path: Path) -> None:
    async with node_with_pod(tmp_path) as (plane, dialer, request):
        pod = await plane.client.get(PODS, "web", "default")
        annotations = {"kubernetes.io/config.mirror": "static"}
        metadata = ObjectMeta(name="mirror", namespace="default", annotations=annotations)
        mirror = await pod_on("n1", plane.client, Pod(metadata=metadata, spec=replace(pod.spec, node_name=None)))
        request.pod, request.pod_uid = "mirror", mirror.metadata.uid
        for _ in range(10):
            with pytest.raises(TokenRefused, match="no such pod with that account is bound to the node"):
                await dialer.issue_token(request)
            await asyncio.sleep(0.05)


async def test_another_node_gets_no_token_of_the_pod(tmp_path: Path) -> None:
    async with node_with_pod(tmp_path) as (plane, _, request):
        other = await FakeNode("n2", tmp_path / "n2").join(plane)
        async with other():
            with pytest.raises(TokenRefused, match='node "n2" may not'):
                await other.issue_token(request)
        with pytest.raises(LinkLost, match="no session"):
            await other.issue_token(request)
        assert (await plane.client.get(PODS, "web", "default")).spec.node_name == "n1"
