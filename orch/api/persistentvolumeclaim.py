"""PersistentVolumeClaim (core/v1). Its spec is also a part of pods: `orch.api.pod.volume`."""

from collections.abc import Sequence
from typing import Annotated

from msgspec.structs import replace

from orch.api import quantity
from orch.api.base import ApiStruct, Quantity, Time, always, merge_list
from orch.api.causes import Causes
from orch.api.change import change, fill, fill_zero
from orch.api.formats import dns_subdomain_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules, selector_rules
from orch.api.pod.volume import PersistentVolumeClaimSpec, VolumeResourceRequirements
from orch.api.shared import TypedLocalObjectReference, TypedObjectReference
from orch.errors import Cause


class PersistentVolumeClaimCondition(ApiStruct):
    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    message: str | None = None
    reason: str | None = None
    status: str = always("")
    type: str = always("")


class ModifyVolumeStatus(ApiStruct):
    status: str = always("")
    target_volume_attributes_class_name: str | None = None


class PersistentVolumeClaimStatus(ApiStruct):
    access_modes: tuple[str, ...] | None = None
    allocated_resource_statuses: dict[str, str] | None = None
    allocated_resources: dict[str, Quantity] | None = None
    capacity: dict[str, Quantity] | None = None
    conditions: Annotated[tuple[PersistentVolumeClaimCondition, ...] | None, merge_list("type")] = None
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None
    phase: str | None = None


class PersistentVolumeClaim(Object):
    api_version: str = always("v1")
    kind: str = always("PersistentVolumeClaim")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: PersistentVolumeClaimSpec = always(PersistentVolumeClaimSpec())
    status: PersistentVolumeClaimStatus = always(PersistentVolumeClaimStatus())


SINGLE_POD = "ReadWriteOncePod"
ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", SINGLE_POD)
VOLUME_MODES = ("Block", "Filesystem")
STORAGE = "storage"
BOUND = "Bound"


def persistentvolumeclaim_defaults(claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    status = change(
        fill_zero(claim.status, phase="Pending"),
        capacity=quantity.canonical_map(claim.status.capacity),
        allocated_resources=quantity.canonical_map(claim.status.allocated_resources),
    )
    return change(claim, spec=_with_one_source(claim_spec_defaults(claim.spec)), status=status)


def claim_spec_defaults(spec: PersistentVolumeClaimSpec) -> PersistentVolumeClaimSpec:
    spec = fill(spec, volume_mode="Filesystem")
    resources = change(
        spec.resources,
        limits=quantity.canonical_map(spec.resources.limits),
        requests=quantity.canonical_map(spec.resources.requests),
    )
    return change(spec, resources=resources)


def _with_one_source(spec: PersistentVolumeClaimSpec) -> PersistentVolumeClaimSpec:
    """dataSource and dataSourceRef say the same within the claim's namespace (`NormalizeDataSources`)."""
    local, wide = spec.data_source, spec.data_source_ref
    if local is not None and wide is None:
        wide = TypedObjectReference(api_group=local.api_group, kind=local.kind, name=local.name)
    elif wide is not None and local is None and not wide.namespace:
        local = TypedLocalObjectReference(api_group=wide.api_group, kind=wide.kind, name=wide.name)
    return change(spec, data_source=local, data_source_ref=wide)


def validate_persistentvolumeclaim(claim: PersistentVolumeClaim) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, claim.metadata)
    claim_spec_rules(causes, "spec", claim.spec)
    for path, amounts in (
        ("capacity", claim.status.capacity),
        ("allocatedResources", claim.status.allocated_resources),
    ):
        for name, amount in (amounts or {}).items():
            if quantity.parse(amount) < 0:
                causes.invalid(f"status.{path}[{name}]", amount, "must be greater than or equal to 0")
    return causes.found


def validate_persistentvolumeclaim_update(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> Sequence[Cause]:
    """Only the controller's binding may complete a claim; bound, it may grow."""
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if _frozen(new, old) != old.spec:
        causes.forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        )
    before, after, held = (_storage(amounts) for amounts in (
        old.spec.resources.requests, new.spec.resources.requests, old.status.capacity,
    ))  # fmt: skip
    if quantity.parse(after) < quantity.parse(before) and quantity.parse(after) <= quantity.parse(held):
        causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    causes.immutable("spec.volumeMode", new.spec.volume_mode, old.spec.volume_mode)
    return causes.found


def _frozen(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> PersistentVolumeClaimSpec:
    """The new spec with everything that may change set back."""
    spec = new.spec
    if not old.spec.volume_name:
        spec = replace(spec, volume_name=old.spec.volume_name)
    if old.spec.storage_class_name is None:
        spec = replace(spec, storage_class_name=None)
    if old.status.phase == BOUND:
        spec = replace(spec, volume_attributes_class_name=old.spec.volume_attributes_class_name)
        others = {name: amount for name, amount in (spec.resources.requests or {}).items() if name != STORAGE}
        requests = {**others, STORAGE: _storage(old.spec.resources.requests)}
        spec = replace(spec, resources=replace(spec.resources, requests=requests))
    return spec


def _storage(amounts: dict[str, Quantity] | None) -> Quantity:
    return (amounts or {}).get(STORAGE, "0")


def claim_spec_rules(causes: Causes, path: str, spec: PersistentVolumeClaimSpec) -> None:
    access_mode_rules(causes, f"{path}.accessModes", spec.access_modes or (), "at least 1 access mode is required")
    selector_rules(causes, f"{path}.selector", spec.selector)
    _storage_rules(causes, f"{path}.resources", spec.resources)
    for name, value in (
        ("storageClassName", spec.storage_class_name),
        ("volumeAttributesClassName", spec.volume_attributes_class_name),
    ):
        if value:
            causes.check(f"{path}.{name}", value, dns_subdomain_problem(value))
    causes.maybe_one_of(f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES)
    _data_source_rules(causes, path, spec)


def access_mode_rules(causes: Causes, path: str, modes: Sequence[str], required: str) -> None:
    if not modes:
        causes.required(path, required)
    for mode in modes:
        if mode not in ACCESS_MODES:
            causes.not_supported(path, mode, ACCESS_MODES)
    if SINGLE_POD in modes and len(modes) > 1:
        causes.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def _storage_rules(causes: Causes, path: str, resources: VolumeResourceRequirements) -> None:
    amount = (resources.requests or {}).get(STORAGE)
    if amount is None:
        causes.required(f"{path}[{STORAGE}]")
    elif quantity.parse(amount) <= 0:
        causes.invalid(f"{path}[{STORAGE}]", amount, "must be greater than zero")


def _data_source_rules(causes: Causes, path: str, spec: PersistentVolumeClaimSpec) -> None:
    for name, source in (("dataSource", spec.data_source), ("dataSourceRef", spec.data_source_ref)):
        if source is None:
            continue
        for inner, value in (("name", source.name), ("kind", source.kind)):
            if not value:
                causes.required(f"{path}.{name}.{inner}")
        if not source.api_group and source.kind != "PersistentVolumeClaim":
            causes.invalid(
                f"{path}.{name}", source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            )
    wide = spec.data_source_ref
    if spec.data_source is not None and wide is not None:
        as_local = TypedLocalObjectReference(api_group=wide.api_group, kind=wide.kind, name=wide.name)
        if wide.namespace:
            causes.invalid(
                f"{path}.dataSource", spec.data_source, "may not be specified when dataSourceRef.namespace is specified"
            )
        elif as_local != spec.data_source:
            causes.invalid(f"{path}", spec.data_source, "must match dataSourceRef")
