"""What an identity may do, as rules (rbac/v1 PolicyRule), for identities that are given anything at all. Pure.

Every authenticated user may ask what there is and what it may do (Kubernetes' roles system:discovery and
system:basic-user). A ServiceAccount may read the basics of its own namespace: what Kubernetes' role `view` shows,
without logs; Secrets are not among it, and nothing may be written.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.registry.interface import User
from controlplane.registry.pod import NODEPLANE_USER
from controlplane.tokens.claims import ACCOUNTS_GROUP, namespace_of_user
from controlplane.tokens.signer import DISCOVERY_PATH, JWKS_PATH
from orch.api.identities import AUTHENTICATED

MASTERS_GROUP = "system:masters"
SYSTEM_USERS = ("system:kube-scheduler", "system:kube-controller-manager", NODEPLANE_USER)
ALL = "*"
READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Rule:
    """Either of resources or of paths. `*` stands for all; at the end of a path, for what begins so."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """`pods`, `pods/log`."""
    names: tuple[str, ...] = ()
    """Empty: all."""
    paths: tuple[str, ...] = ()

    def covers(self, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
        """`resource` is a path when it begins with a slash."""
        if not _has(self.verbs, verb):
            return False
        if resource.startswith("/"):
            return any(_matches(pattern, resource) for pattern in self.paths)
        target = f"{resource}/{subresource}" if subresource else resource
        return _has(self.groups, group) and _has(self.resources, target) and (not self.names or name in self.names)


def _has(values: tuple[str, ...], value: str) -> bool:
    return value in values or ALL in values


def _matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith(ALL) else path == pattern


EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))
DISCOVERY = (
    Rule(
        ("get",),
        paths=(
            "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
            "/version", "/version/",
        ),
    ),
)  # fmt: skip
SELF_REVIEWS = (
    Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
)
ISSUER_DISCOVERY = (Rule(("get",), paths=(DISCOVERY_PATH, f"{DISCOVERY_PATH}/", JWKS_PATH, f"{JWKS_PATH}/")),)
"""Kubernetes' role system:service-account-issuer-discovery."""
NAMESPACE_BASICS = (
    Rule(
        READ,
        ("",),
        (
            "configmaps", "endpoints", "events", "limitranges", "persistentvolumeclaims", "pods", "podtemplates",
            "replicationcontrollers", "resourcequotas", "serviceaccounts", "services",
        ),
    ),
    Rule(READ, ("apps",), ("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets")),
    Rule(READ, ("autoscaling",), ("horizontalpodautoscalers",)),
    Rule(READ, ("batch",), ("cronjobs", "jobs")),
    Rule(READ, ("discovery.k8s.io",), ("endpointslices",)),
    Rule(READ, ("events.k8s.io",), ("events",)),
    Rule(READ, ("networking.k8s.io",), ("ingresses", "networkpolicies")),
    Rule(READ, ("policy",), ("poddisruptionbudgets",)),
)  # fmt: skip


def is_unbound(user: User) -> bool:
    """Administrators and the server's own parts."""
    return MASTERS_GROUP in user.groups or user.name in SYSTEM_USERS


def rules_of(user: User, namespace: str) -> Iterator[Rule]:
    """The rules that hold in `namespace` ("": outside of any). Of nodes they are not all: `authz` has the rest."""
    if is_unbound(user):
        yield from EVERYTHING
        return
    if AUTHENTICATED in user.groups:
        yield from SELF_REVIEWS
        yield from DISCOVERY
    if ACCOUNTS_GROUP in user.groups and (own := namespace_of_user(user.name)):
        yield from ISSUER_DISCOVERY
        if namespace == own:
            yield from NAMESPACE_BASICS
        if namespace in ("", own):
            yield Rule(("get",), ("",), ("namespaces",), (own,))
