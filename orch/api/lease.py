"""Lease (coordination.k8s.io/v1)."""

from collections.abc import Sequence

from orch.api.base import ApiStruct, Int32, MicroTime, always
from orch.api.causes import Causes
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.errors import Cause


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


def validate_lease(lease: Lease) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, lease.metadata)
    spec = lease.spec
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        causes.invalid("spec.leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0")
    causes.not_negative("spec.leaseTransitions", spec.lease_transitions)
    return causes.found
