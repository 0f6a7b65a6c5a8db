"""Generic ephemeral volumes: a claim per volume, named after pod and volume, that goes with the pod.

As pkg/controller/volume/ephemeral. A claim of that name that belongs to somebody else is never used.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from controlplane.controllers.actions import NOTHING, Announcement, Create, Decision
from controlplane.controllers.ownership import controller_ref, reference_to
from controlplane.controllers.podstate import is_active
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PODS
from orch.api.meta import ObjectMeta
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.spec import Pod
from orch.api.pod.volume import Volume
from orch.api.volume_binding import ephemeral_claim_name, is_made_for
from orch.client.informer import Informers, Key


def reconcile(pod: Pod, claims: Mapping[str, PersistentVolumeClaim]) -> Decision:
    """`claims`: those of the pod's namespace that have the names of its ephemeral volumes."""
    if not is_active(pod):
        return NOTHING
    missing, events = [], []
    for volume in pod.spec.volumes or ():
        if volume.ephemeral is None:
            continue
        name = ephemeral_claim_name(pod, volume)
        held = claims.get(name)
        if held is None:
            missing.append(Create(PERSISTENTVOLUMECLAIMS, claim_of(pod, volume)))
        elif not is_made_for(held, pod):
            why = f'PVC "{name}" was not created for pod "{pod.metadata.name}"'
            events.append(Announcement(pod, "Warning", "EphemeralVolumeConflict", why))
    return Decision(tuple(missing), events=tuple(events))


def claim_of(pod: Pod, volume: Volume) -> PersistentVolumeClaim:
    template = volume.ephemeral.volume_claim_template if volume.ephemeral is not None else None
    assert template is not None, "validation asks for it"
    given = template.metadata or ObjectMeta()
    metadata = ObjectMeta(
        name=ephemeral_claim_name(pod, volume),
        namespace=pod.metadata.namespace,
        labels=given.labels,
        annotations=given.annotations,
        owner_references=(reference_to(pod),),
    )
    return PersistentVolumeClaim(metadata=metadata, spec=template.spec)


def ephemeral_volume_controller(informers: Informers) -> Controller:
    pods, claims = informers.of(PODS), informers.of(PERSISTENTVOLUMECLAIMS)

    def decide(key: Key, now: datetime) -> Decision:
        pod = pods.get(*key)
        if pod is None:
            return NOTHING
        names = [ephemeral_claim_name(pod, v) for v in pod.spec.volumes or () if v.ephemeral is not None]
        return reconcile(pod, {name: claim for name in names if (claim := claims.get(key[0], name))})

    def keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        if new is not None and any(volume.ephemeral is not None for volume in new.spec.volumes or ()):
            yield from own_key(None, new)

    def keys_of_claim(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> Iterable[Key]:
        """One that went is made again for the pod that it was of."""
        owner = controller_ref(old) if old is not None and new is None else None
        if old is not None and owner is not None and owner.kind == PODS.kind:
            yield old.metadata.namespace, owner.name

    watches = (Watch(pods, keys_of_pod), Watch(claims, keys_of_claim))
    return Controller("ephemeral-volume", PODS, watches, decide)
