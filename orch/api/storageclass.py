"""StorageClass (storage.k8s.io/v1), and which class of a cluster is the default."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from orch.api.base import ApiStruct, always
from orch.api.causes import Causes
from orch.api.change import fill
from orch.api.formats import label_key_problem, label_value_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules, metadata_update_rules
from orch.errors import Cause


class TopologySelectorLabelRequirement(ApiStruct):
    key: str = always("")
    values: tuple[str, ...] = always(())


class TopologySelectorTerm(ApiStruct):
    is_atomic: ClassVar[bool] = True
    match_label_expressions: tuple[TopologySelectorLabelRequirement, ...] | None = None


class StorageClass(Object):
    api_version: str = always("storage.k8s.io/v1")
    kind: str = always("StorageClass")
    metadata: ObjectMeta = always(ObjectMeta())
    allow_volume_expansion: bool | None = None
    allowed_topologies: tuple[TopologySelectorTerm, ...] | None = None
    mount_options: tuple[str, ...] | None = None
    parameters: dict[str, str] | None = None
    provisioner: str = always("")
    reclaim_policy: str | None = None
    volume_binding_mode: str | None = None


DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
RECLAIM_POLICIES = ("Delete", "Retain")
IMMEDIATE, WAITS_FOR_FIRST = "Immediate", "WaitForFirstConsumer"
BINDING_MODES = (IMMEDIATE, WAITS_FOR_FIRST)
PARAMETERS_MAX = 512
PARAMETERS_MAX_BYTES = 256 * 1024


def storageclass_defaults(storage_class: StorageClass) -> StorageClass:
    return fill(storage_class, reclaim_policy="Delete", volume_binding_mode=IMMEDIATE)


def is_default(storage_class: StorageClass) -> bool:
    annotations = storage_class.metadata.annotations or {}
    return any(annotations.get(name) == "true" for name in DEFAULT_ANNOTATIONS)


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The newest of those marked; of equally new ones the first by name (`util.GetDefaultClass`)."""
    marked = sorted((c for c in classes if is_default(c)), key=lambda c: c.metadata.name)
    return max(marked, key=lambda c: c.metadata.creation_timestamp.timestamp() if c.metadata.creation_timestamp else 0,
               default=None)  # fmt: skip


def validate_storageclass(storage_class: StorageClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, storage_class.metadata, namespaced=False)
    if not storage_class.provisioner:
        causes.required("provisioner")
    else:
        causes.check("provisioner", storage_class.provisioner, label_key_problem(storage_class.provisioner.lower()))
    _parameter_rules(causes, storage_class.parameters or {})
    causes.maybe_one_of("reclaimPolicy", storage_class.reclaim_policy, RECLAIM_POLICIES)
    causes.one_of("volumeBindingMode", storage_class.volume_binding_mode, BINDING_MODES)
    for index, term in enumerate(storage_class.allowed_topologies or ()):
        _topology_rules(causes, f"allowedTopologies[{index}]", term)
    return causes.found


def validate_storageclass_update(new: StorageClass, old: StorageClass) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if (new.parameters or {}) != (old.parameters or {}):
        causes.forbidden("parameters", "updates to parameters are forbidden.")
    if new.provisioner != old.provisioner:
        causes.forbidden("provisioner", "updates to provisioner are forbidden.")
    if new.reclaim_policy != old.reclaim_policy:
        causes.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden.")
    causes.immutable("volumeBindingMode", new.volume_binding_mode, old.volume_binding_mode)
    return causes.found


def _parameter_rules(causes: Causes, parameters: dict[str, str]) -> None:
    if len(parameters) > PARAMETERS_MAX:
        causes.too_long("parameters", PARAMETERS_MAX)
    if "" in parameters:
        causes.invalid("parameters", "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > PARAMETERS_MAX_BYTES:
        causes.too_long("parameters", PARAMETERS_MAX_BYTES)


def _topology_rules(causes: Causes, path: str, term: TopologySelectorTerm) -> None:
    seen: set[str] = set()
    for index, requirement in enumerate(term.match_label_expressions or ()):
        at = f"{path}.matchLabelExpressions[{index}]"
        causes.check(f"{at}.key", requirement.key, label_key_problem(requirement.key))
        if not requirement.values:
            causes.required(f"{at}.values")
        for value_index, value in enumerate(requirement.values):
            causes.check(f"{at}.values[{value_index}]", value, label_value_problem(value))
        if requirement.key in seen:
            causes.duplicate(f"{at}.key", requirement.key)
        seen.add(requirement.key)
