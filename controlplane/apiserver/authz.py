"""Who may do what, until there are roles: what `rules` gives to an identity, and to a node its own things.

A node may read its own Node, patch its status, and read the pods that are bound to it. Its labels, taints and podCIDR
are not its own to write (as NodeRestriction holds it): the nodeplane registers it. Everybody may ask for health and
version.
"""

from collections.abc import Callable

from controlplane.apiserver.rules import MASTERS_GROUP, is_unbound, rules_of
from controlplane.registry.interface import RequestContext, User
from orch.api.identities import NODE_USER_PREFIX, NODES_GROUP
from orch.api.selectors import parse_field_selector

OWN_NODE_REQUESTS = (("get", ""), ("get", "status"), ("patch", "status"))
OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")

NodeOfPod = Callable[[str, str], str]
"""(namespace, name) of a pod -> the node that it is bound to, or ""."""


class SystemAuthorizer:
    """An `Authorizer`: empty text means allowed, else it says why not."""

    def __init__(self, node_of_pod: NodeOfPod) -> None:
        self._node_of_pod = node_of_pod

    async def __call__(
        self,
        context: RequestContext,
        verb: str,
        group: str,
        resource: str,
        subresource: str,
        namespace: str,
        name: str,
    ) -> str:
        user = context.user
        if is_unbound(user) or is_open_path(verb, resource):
            return ""
        if any(rule.covers(verb, group, resource, subresource, name) for rule in rules_of(user, namespace)):
            return ""
        if (node := node_name(user)) and group == "":
            return self._node_refusal(node, verb, resource, subresource, namespace, name)
        return "no role allows it"

    def _node_refusal(self, node: str, verb: str, resource: str, subresource: str, namespace: str, name: str) -> str:
        if resource == "nodes" and name == node and (verb, subresource) in OWN_NODE_REQUESTS:
            return ""
        if resource == "pods" and subresource == "" and verb in ("list", "watch"):
            return ""  # narrowed to its own pods by `selector_refusal`, which sees the selector
        if resource == "pods" and subresource == "" and verb == "get":
            return "" if self._node_of_pod(namespace, name) == node else "the pod is not bound to this node"
        return "a node may read its own Node, patch its status, and read the pods bound to it"


def selector_refusal(user: User, field_selector: str) -> str:
    """Why a user may not list or watch with this selector: a node sees its own pods only. Raises BadRequest."""
    node = node_name(user)
    if not node or MASTERS_GROUP in user.groups:
        return ""
    if parse_field_selector(field_selector).value_of("spec.nodeName") == node:
        return ""
    return f"a node may list and watch pods with the field selector spec.nodeName={node} only"


def is_open_path(verb: str, path: str) -> bool:
    return verb == "get" and path.startswith("/") and f"/{path.split('/')[1]}" in OPEN_PATHS


def node_name(user: User) -> str:
    """The node that a user is, or ""."""
    if NODES_GROUP in user.groups and user.name.startswith(NODE_USER_PREFIX):
        return user.name.removeprefix(NODE_USER_PREFIX)
    return ""
