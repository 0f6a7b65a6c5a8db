"""Namespace (core/v1)."""

from typing import Annotated

from orch.api.base import ApiStruct, Time, always, merge_list
from orch.api.meta import Object, ObjectMeta


class NamespaceSpec(ApiStruct):
    finalizers: tuple[str, ...] | None = None


class NamespaceCondition(ApiStruct):
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class NamespaceStatus(ApiStruct):
    conditions: Annotated[tuple[NamespaceCondition, ...] | None, merge_list("type")] = None
    phase: str | None = None


class Namespace(Object):
    api_version: str = always("v1")
    kind: str = always("Namespace")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: NamespaceSpec = always(NamespaceSpec())
    status: NamespaceStatus = always(NamespaceStatus())
