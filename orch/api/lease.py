"""Lease (coordination.k8s.io/v1)."""

from orch.api.base import ApiStruct, Int32, MicroTime, always
from orch.api.meta import Object, ObjectMeta


class LeaseSpec(ApiStruct):
    acquire_time: MicroTime | None = None
    holder_identity: str | None = None
    lease_duration_seconds: Int32 | None = None
    lease_transitions: Int32 | None = None
    preferred_holder: str | None = None
    renew_time: MicroTime | None = None
    strategy: str | None = None


class Lease(Object):
    api_version: str = always("coordination.k8s.io/v1")
    kind: str = always("Lease")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: LeaseSpec = always(LeaseSpec())
