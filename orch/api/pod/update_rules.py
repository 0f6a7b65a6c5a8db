"""What an update may change of a pod (core validation, ValidatePodUpdate).

Binding (nodeName), resize and ephemeral containers are written through subresources, which do not pass here.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from orch.api.causes import Causes
from orch.api.metadata import metadata_update_rules
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.static import MIRROR_ANNOTATION
from orch.api.schema import fields_of
from orch.errors import Cause

MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(new: Pod, old: Pod) -> Sequence[Cause]:
    causes = Causes()
    metadata_update_rules(causes, new.metadata, old.metadata)
    if _mirrored(new) != _mirrored(old):
        causes.invalid("metadata.annotations", _mirrored(new), "may not add, remove or change the mirror annotation")
    if new.spec is old.spec or new.spec == old.spec:
        return causes.found
    if len(new.spec.containers) != len(old.spec.containers):
        causes.forbidden("spec.containers", "pod updates may not add or remove containers")
    elif len(new.spec.init_containers or ()) != len(old.spec.init_containers or ()):
        causes.forbidden("spec.initContainers", "pod updates may not add or remove containers")
    else:
        _deadline_rules(causes, new.spec, old.spec)
        _toleration_rules(causes, new.spec, old.spec)
        _gate_rules(causes, new.spec, old.spec)
        _frozen_rules(causes, new.spec, old.spec)
    return causes.found


def _mirrored(pod: Pod) -> str | None:
    return (pod.metadata.annotations or {}).get(MIRROR_ANNOTATION)


def _deadline_rules(causes: Causes, new: PodSpec, old: PodSpec) -> None:
    path, after, before = "spec.activeDeadlineSeconds", new.active_deadline_seconds, old.active_deadline_seconds
    if before is None:
        return
    if after is None:
        causes.invalid(path, None, "must not update from a positive integer to nil value")
    elif after > before:
        causes.invalid(path, after, f"must be less than or equal to previous value {before}")


def _toleration_rules(causes: Causes, new: PodSpec, old: PodSpec) -> None:
    """tolerationSeconds of a toleration may change, and tolerations may be added."""
    kept = {replace(toleration, toleration_seconds=None) for toleration in new.tolerations or ()}
    if any(replace(toleration, toleration_seconds=None) not in kept for toleration in old.tolerations or ()):
        causes.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _gate_rules(causes: Causes, new: PodSpec, old: PodSpec) -> None:
    added = set(new.scheduling_gates or ()) - set(old.scheduling_gates or ())
    for gate in sorted(added, key=lambda gate: gate.name):
        causes.forbidden(
            "spec.schedulingGates", f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
        )


def _frozen_rules(causes: Causes, new: PodSpec, old: PodSpec) -> None:
    """Everything that may change is set as it was before; what then still differs is refused."""
    restored = replace(
        new,
        containers=_with_images(new.containers, old.containers),
        init_containers=_with_images(new.init_containers or (), old.init_containers or ()) or old.init_containers,
        active_deadline_seconds=old.active_deadline_seconds,
        tolerations=old.tolerations,
        scheduling_gates=old.scheduling_gates,
    )
    if (old.termination_grace_period_seconds or 0) < 0 and new.termination_grace_period_seconds == 1:
        restored = replace(restored, termination_grace_period_seconds=old.termination_grace_period_seconds)
    changed = [
        field.name
        for field in fields_of(PodSpec).values()
        if getattr(restored, field.attribute) != getattr(old, field.attribute)
    ]
    if changed:
        causes.forbidden("spec", f"{MUTABLE}; changed: {', '.join(f'spec.{name}' for name in changed)}")


def _with_images(new: Sequence[Container], old: Sequence[Container]) -> tuple[Container, ...]:
    return tuple(replace(after, image=before.image) for after, before in zip(new, old, strict=True))
