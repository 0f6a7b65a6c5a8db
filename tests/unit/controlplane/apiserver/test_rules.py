"""What rules cover, and what a ServiceAccount is given."""

import pytest

from controlplane.apiserver.authz import SystemAuthorizer
from controlplane.apiserver.rules import Rule
from controlplane.registry.interface import RequestContext, User

ROBOT = User(
    "system:serviceaccount:shop:robot",
    ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
)


@pytest.mark.parametrize(
    ("rule", "asked", "covered"),
    [
        (Rule(("get",), ("",), ("pods",)), ("get", "", "pods", "", "x"), True),
        (Rule(("get",), ("",), ("pods",)), ("get", "", "pods", "log", "x"), False),
        (Rule(("get",), ("",), ("pods/log",)), ("get", "", "pods", "log", "x"), True),
        (Rule(("get",), ("",), ("pods",)), ("list", "", "pods", "", ""), False),
        (Rule(("get",), ("apps",), ("pods",)), ("get", "", "pods", "", "x"), False),
        (Rule(("*",), ("*",), ("*",)), ("delete", "apps", "deployments", "scale", "x"), True),
        (Rule(("get",), ("",), ("namespaces",), ("shop",)), ("get", "", "namespaces", "", "shop"), True),
        (Rule(("get",), ("",), ("namespaces",), ("shop",)), ("get", "", "namespaces", "", "other"), False),
        (Rule(("get",), paths=("/api/*",)), ("get", "", "/api/v1", "", ""), True),
        (Rule(("get",), paths=("/api/*",)), ("get", "", "/apis", "", ""), False),
        (Rule(("get",), paths=("/api",)), ("get", "", "/api/v1", "", ""), False),
        (Rule(("*",), ("*",), ("*",)), ("get", "", "/metrics", "", ""), False),
    ],
)
def test_covers(rule: Rule, asked: tuple[str, str, str, str, str], covered: bool) -> None:
    assert rule.covers(*asked) is covered


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (("list", "", "pods", "", "shop", ""), True),
        (("watch", "apps", "deployments", "", "shop", ""), True),
        (("get", "", "configmaps", "", "shop", "kube-root-ca.crt"), True),
        (("get", "discovery.k8s.io", "endpointslices", "", "shop", "x"), True),
        (("get", "", "namespaces", "", "", "shop"), True),
        (("create", "authentication.k8s.io", "selfsubjectreviews", "", "", ""), True),
        (("create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "", ""), True),
        (("get", "", "/openapi/v3", "", "", ""), True),
        (("get", "", "/openid/v1/jwks", "", "", ""), True),
        (("get", "", "/.well-known/openid-configuration", "", "", ""), True),
        (("list", "", "pods", "", "default", ""), False),
        (("list", "", "pods", "", "", ""), False),
        (("get", "", "namespaces", "", "", "default"), False),
        (("list", "", "namespaces", "", "", ""), False),
        (("get", "", "secrets", "", "shop", "x"), False),
        (("get", "", "pods", "log", "shop", "x"), False),
        (("create", "", "pods", "exec", "shop", "x"), False),
        (("create", "", "pods", "", "shop", ""), False),
        (("delete", "", "configmaps", "", "shop", "x"), False),
        (("create", "", "serviceaccounts", "token", "shop", "robot"), False),
        (("create", "authentication.k8s.io", "tokenreviews", "", "", ""), False),
        (("get", "", "nodes", "", "", "n1"), False),
        (("get", "", "/metrics", "", "", ""), False),
    ],
)
async def test_a_service_account_reads_the_basics_of_its_own_namespace(
    request_: tuple[str, str, str, str, str, str], allowed: bool
) -> None:
    authorizer = SystemAuthorizer(lambda namespace, name: "")
    assert (await authorizer(RequestContext(ROBOT, "r"), *request_) == "") is allowed
    impostor = User(ROBOT.name, ("system:authenticated",))
    if request_[4] == "shop":
        assert await authorizer(RequestContext(impostor, "r"), *request_)
