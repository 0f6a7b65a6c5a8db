"""Object metadata, label selectors, Status and delete options (meta/v1)."""

from typing import Annotated, ClassVar

import msgspec

from orch.api.base import ApiStruct, Int32, Int64, Time, always, merge_list, merge_set


class Condition(ApiStruct):
    last_transition_time: Time | None = None
    message: str = always("")
    observed_generation: Int64 | None = None
    reason: str = always("")
    status: str = always("")
    type: str = always("")


class Preconditions(ApiStruct):
    resource_version: str | None = None
    uid: str | None = None


class DeleteOptions(ApiStruct):
    api_version: str = always("v1")
    kind: str = always("DeleteOptions")
    dry_run: tuple[str, ...] | None = None
    grace_period_seconds: Int64 | None = None
    ignore_store_read_error_with_cluster_breaking_potential: bool | None = None
    orphan_dependents: bool | None = None
    preconditions: Preconditions | None = None
    propagation_policy: str | None = None


class LabelSelectorRequirement(ApiStruct):
    key: str = always("")
    operator: str = always("")
    values: tuple[str, ...] | None = None


class LabelSelector(ApiStruct):
    is_atomic: ClassVar[bool] = True
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = None
    match_labels: dict[str, str] | None = None


class ListMeta(ApiStruct):
    continue_: str | None = None
    remaining_item_count: Int64 | None = None
    resource_version: str | None = None
    self_link: str | None = None


class ManagedFieldsEntry(ApiStruct):
    api_version: str | None = None
    fields_type: str | None = None
    fields_v1: msgspec.Raw = msgspec.Raw()
    """JSON text of a set of fields (`orch.managed.sets`): who does not ask for it never parses it. Empty: absent."""
    manager: str | None = None
    operation: str | None = None
    subresource: str | None = None
    time: Time | None = None


class OwnerReference(ApiStruct):
    api_version: str = always("")
    block_owner_deletion: bool | None = None
    controller: bool | None = None
    kind: str = always("")
    name: str = always("")
    uid: str = always("")


class ObjectMeta(ApiStruct):
    annotations: dict[str, str] | None = None
    creation_timestamp: Time | None = None
    deletion_grace_period_seconds: Int64 | None = None
    deletion_timestamp: Time | None = None
    finalizers: Annotated[tuple[str, ...] | None, merge_set()] = None
    generate_name: str = ""
    generation: Int64 | None = None
    labels: dict[str, str] | None = None
    managed_fields: tuple[ManagedFieldsEntry, ...] | None = None
    name: str = ""
    namespace: str = ""
    owner_references: Annotated[tuple[OwnerReference, ...] | None, merge_list("uid")] = None
    resource_version: str = ""
    self_link: str | None = None
    uid: str = ""


class Object(ApiStruct):
    """What the registry, the cache, selectors and the garbage collector know of every kind."""

    api_version: str = always("")
    kind: str = always("")
    metadata: ObjectMeta = always(ObjectMeta())


class StatusCause(ApiStruct):
    field: str | None = None
    message: str | None = None
    reason: str | None = None


class StatusDetails(ApiStruct):
    causes: tuple[StatusCause, ...] | None = None
    group: str | None = None
    kind: str | None = None
    name: str | None = None
    retry_after_seconds: Int32 | None = None
    uid: str | None = None


class Status(ApiStruct):
    api_version: str = always("v1")
    kind: str = always("Status")
    metadata: ListMeta = always(ListMeta())
    code: Int32 | None = None
    details: StatusDetails | None = None
    message: str | None = None
    reason: str | None = None
    status: str | None = None
