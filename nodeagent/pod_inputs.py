"""Which changes of the desired state are about something that pods are made from, and what pods call it. Pure."""

from nodeagent.desired_state import Change
from orch.api.kinds import CONFIGMAPS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, SECRETS
from orch.api.persistentvolume import PersistentVolume
from orch.api.pod.references import Reference

NAMED_KINDS = frozenset({CONFIGMAPS.kind, SECRETS.kind, PERSISTENTVOLUMECLAIMS.kind})
INPUT_KINDS = NAMED_KINDS | {PERSISTENTVOLUMES.kind}


def changed_input(change: Change) -> Reference | None:
    """What the pods concerned name; None when it concerns none. A pod names a volume by its claim."""
    obj = change.new or change.old
    if obj is not None and change.kind in NAMED_KINDS:
        return Reference(change.kind, obj.metadata.namespace, obj.metadata.name)
    if isinstance(obj, PersistentVolume) and obj.spec.claim_ref is not None:
        claim = obj.spec.claim_ref
        return Reference(PERSISTENTVOLUMECLAIMS.kind, claim.namespace or "", claim.name or "")
    return None


def changed_volume(change: Change) -> PersistentVolume | None:
    obj = change.new or change.old
    return obj if isinstance(obj, PersistentVolume) else None
