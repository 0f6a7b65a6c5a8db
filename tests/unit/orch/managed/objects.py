"""Deployments, typed and plain, for tests of field management."""

from collections.abc import Mapping
from typing import Any

from orch.api.deployment import Deployment
from orch.api.kinds import DEPLOYMENTS


def container(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "app:1", **more}


def config(*containers: Mapping[str, Any], labels: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Deployment as somebody applies it."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": list(containers or (container("app"),))}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", **({"labels": dict(labels)} if labels else {})},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def typed(plain: Mapping[str, Any]) -> Deployment:
    return DEPLOYMENTS.codec.from_plain(plain)
