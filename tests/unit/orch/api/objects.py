"""Objects for the tests of this folder: plain data as a user writes it, read and defaulted as the server does."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings

from orch.api.kind import Kind
from orch.api.kinds import DEPLOYMENTS, PODS, SERVICES
from orch.errors import Cause

SLOW_MACHINE = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""Properties are about results, not about the time that a shared machine takes."""


def made(kind: Kind[Any], plain: dict[str, Any]) -> Any:
    """The object of some plain data, defaulted; metadata has a name and, where it needs one, a namespace."""
    meta = {"name": "web"} | ({"namespace": "default"} if kind.namespaced else {}) | plain.get("metadata", {})
    return kind.set_defaults(kind.codec.decode_lenient({**plain, "metadata": meta}).obj)


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "app", "image": "registry.local/app:1", **fields}


def pod(*containers: dict[str, Any], metadata: dict[str, Any] | None = None, **spec: Any) -> Any:
    return made(PODS, {"metadata": metadata or {}, "spec": {"containers": containers or [container()], **spec}})


def deployment(*, template_labels: dict[str, str] | None = None, **spec: Any) -> Any:
    labels = {"app": "web"}
    template = {"metadata": {"labels": template_labels or labels}, "spec": {"containers": [container()]}}
    return made(DEPLOYMENTS, {"spec": {"selector": {"matchLabels": labels}, "template": template, **spec}})


def service(*ports: dict[str, Any], **spec: Any) -> Any:
    return made(SERVICES, {"spec": {"ports": ports or [{"port": 80}], **spec}})


def brief(causes: Sequence[Cause]) -> list[tuple[str, str]]:
    """(field, reason without its prefix) of each cause, in order."""
    return [(cause.field, cause.reason.removeprefix("FieldValue")) for cause in causes]
