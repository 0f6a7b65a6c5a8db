"""ServiceAccount tokens for pods, asked for by the agents that run them.

Invariant: a node gets tokens of its own pods only (as the node authorizer and NodeRestriction of kube-apiserver hold
it), bound to the pod, so that they end with it; and none for mirrors, which are what the node itself says.
"""

from controlplane.tokens.issuer import TOKENREQUEST
from orch.api.authentication import BoundObjectReference, TokenRequest, TokenRequestSpec
from orch.api.kinds import PODS, SERVICEACCOUNTS
from orch.api.pod.spec import Pod
from orch.api.pod.static import is_mirror
from orch.client.client import Client
from orch.client.informer import Informer
from orch.errors import Forbidden
from protos import node_pb2


class PodTokens:
    def __init__(self, client: Client, pods: Informer[Pod]) -> None:
        self._client, self._pods = client, pods

    async def issue(self, node: str, asked: node_pb2.IssueTokenRequest) -> node_pb2.IssueTokenResponse:
        """Raises Forbidden for another's pod, else what the API says."""
        pod = self._pods.get(asked.namespace, asked.pod)
        if pod is None or not _is_its_own(pod, node, asked):
            raise Forbidden(
                f'node "{node}" may not have a token of service account "{asked.service_account}" for pod '
                f"{asked.namespace}/{asked.pod} ({asked.pod_uid}): no such pod with that account is bound to the node"
            )
        answer = await self._client.create_subresource(
            SERVICEACCOUNTS, asked.service_account, asked.namespace, "token", TOKENREQUEST.codec.to_plain(_body(asked))
        )
        status = TOKENREQUEST.codec.from_plain(answer).status
        assert status is not None, "a token request is answered with its status"
        assert status.expiration_timestamp is not None, "a token ends"
        return node_pb2.IssueTokenResponse(
            token=status.token, expires_at_unix_s=status.expiration_timestamp.timestamp()
        )


def _is_its_own(pod: Pod, node: str, asked: node_pb2.IssueTokenRequest) -> bool:
    spec = pod.spec
    found = (pod.metadata.uid, spec.node_name, spec.service_account_name)
    return found == (asked.pod_uid, node, asked.service_account) and not is_mirror(pod)


def _body(asked: node_pb2.IssueTokenRequest) -> TokenRequest:
    bound = BoundObjectReference(api_version=PODS.api_version, kind=PODS.kind, name=asked.pod, uid=asked.pod_uid)
    return TokenRequest(
        spec=TokenRequestSpec(
            audiences=tuple(asked.audiences),
            bound_object_ref=bound,
            expiration_seconds=asked.expiration_seconds or None,
        )
    )
