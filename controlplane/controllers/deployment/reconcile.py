"""One decision on a Deployment: which ReplicaSet to make, scale or drop next. Takes one kind of step at a time.

Invariant: a step is taken only on sets whose sizes, as read, were reached by earlier steps; the runner sees to it that
this controller's own writes are read before it decides again.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from controlplane.controllers.actions import NOTHING, Action, Announcement, Create, Decision, Delete, Update
from controlplane.controllers.deployment import revisions, scaling
from controlplane.controllers.deployment.revisions import Fleet
from controlplane.controllers.deployment.status import deadline_in_s, is_complete, new_status
from controlplane.controllers.ownership import candidates, claim, controller_ref, index_by_controller, owned
from controlplane.controllers.podstate import is_finished
from controlplane.controllers.runner import Controller, Watch, own_key
from orch.api.deployment import Deployment
from orch.api.kinds import DEPLOYMENTS, PODS, REPLICASETS
from orch.api.pod.spec import Pod
from orch.api.replicaset import ReplicaSet
from orch.api.selectors import from_label_selector
from orch.client.informer import Informers, Key
from orch.errors import AlreadyExists, ApiError


def reconcile(deployment: Deployment, sets: Iterable[ReplicaSet], old_pods: int, now: datetime) -> Decision:
    """`sets`: what it controls, and what nobody controls in its namespace. `old_pods`: pods, also those being deleted,
    that old sets still have running; asked for with the Recreate strategy only."""
    selector = from_label_selector(deployment.spec.selector)
    claimed = claim(deployment, DEPLOYMENTS, REPLICASETS, selector, sets)
    if claimed.actions:
        return Decision(claimed.actions)
    fleet = revisions.fleet_of(deployment, claimed.owned)
    actions: tuple[Action, ...] = ()
    if deployment.metadata.deletion_timestamp is None:
        actions = _steps(deployment, fleet, old_pods)
    status = new_status(deployment, fleet, now)
    # A write of the Deployment itself moves its resourceVersion; the status then follows in the next decision.
    writable = status != deployment.status and not any(action.kind is DEPLOYMENTS for action in actions)  # type: ignore[union-attr]
    return Decision(
        actions,
        replace(deployment, status=status) if writable else None,
        deadline_in_s(deployment, status, now),
        tuple(_scalings(deployment, actions, fleet)),
    )


def refused(deployment: Deployment, taken: ReplicaSet | None, error: ApiError) -> Deployment | None:
    """Another set has the new set's name (`taken`): count a collision, so that the next name differs."""
    if not isinstance(error, AlreadyExists) or taken is None:
        return None
    ref = controller_ref(taken)
    ours = ref is not None and ref.uid == deployment.metadata.uid
    if ours and revisions.same_template(taken.spec.template, deployment.spec.template):
        return None
    count = (deployment.status.collision_count or 0) + 1
    return replace(deployment, status=replace(deployment.status, collision_count=count))


def _steps(deployment: Deployment, fleet: Fleet, old_pods: int) -> tuple[Action, ...]:
    relabelled = _revision_updates(deployment, fleet)
    if relabelled:
        return relabelled
    if deployment.spec.paused or scaling.is_scaling_event(deployment, fleet.all):
        steps = _scaled(deployment, fleet, scaling.proportional_sizes(deployment, fleet.new, fleet.old))
        return steps or (_expired(deployment, fleet) if deployment.spec.paused else ())
    steps = _roll(deployment, fleet) if scaling.is_rolling(deployment) else _recreate(deployment, fleet, old_pods)
    finished = fleet.new is not None and is_complete(deployment, deployment.status)
    return steps or (_expired(deployment, fleet) if finished else ())


def _revision_updates(deployment: Deployment, fleet: Fleet) -> tuple[Action, ...]:
    new_set = revisions.synced_new_set(deployment, fleet)
    if new_set is not None:
        return (Update(REPLICASETS, new_set),)
    annotated = revisions.synced_deployment(deployment, fleet)
    return (Update(DEPLOYMENTS, annotated),) if annotated is not None else ()


def _roll(deployment: Deployment, fleet: Fleet) -> tuple[Action, ...]:
    size = scaling.new_set_size(deployment, fleet.new, fleet.old)
    if fleet.new is None:
        return (Create(REPLICASETS, revisions.new_set(deployment, fleet, size)),)
    grown = _scaled(deployment, fleet, {fleet.new.metadata.name: size})
    return grown or _scaled(deployment, fleet, scaling.old_set_sizes(deployment, fleet.new, fleet.old))


def _recreate(deployment: Deployment, fleet: Fleet, old_pods: int) -> tuple[Action, ...]:
    emptied = _scaled(deployment, fleet, {each.metadata.name: 0 for each in fleet.old if scaling.size(each)})
    if emptied or old_pods:
        return emptied
    if fleet.new is None:
        return (Create(REPLICASETS, revisions.new_set(deployment, fleet, scaling.wanted(deployment))),)
    return _scaled(deployment, fleet, {fleet.new.metadata.name: scaling.wanted(deployment)})


def _scaled(deployment: Deployment, fleet: Fleet, sizes: scaling.Sizes) -> tuple[Action, ...]:
    """Updates of the sets whose size, or whose note of the desired number, is another."""
    marks = scaling.replicas_annotations(deployment)
    updates = []
    for each in fleet.all:
        size = sizes.get(each.metadata.name)
        annotations = (each.metadata.annotations or {}) | marks
        if size is None or (size == scaling.size(each) and (not size or annotations == each.metadata.annotations)):
            continue
        metadata = replace(each.metadata, annotations=annotations)
        updates.append(Update(REPLICASETS, replace(each, metadata=metadata, spec=replace(each.spec, replicas=size))))
    return tuple(updates)


def _expired(deployment: Deployment, fleet: Fleet) -> tuple[Action, ...]:
    return tuple(
        Delete(REPLICASETS, each.metadata.namespace, each.metadata.name, each.metadata.uid)
        for each in revisions.expired_sets(deployment, fleet)
    )


def _scalings(deployment: Deployment, actions: Sequence[Action], fleet: Fleet) -> Iterable[Announcement]:
    sizes = {each.metadata.name: scaling.size(each) for each in fleet.all}
    for action in actions:
        if not isinstance(action, Create | Update) or not isinstance(action.obj, ReplicaSet):
            continue
        name, size = action.obj.metadata.name, scaling.size(action.obj)
        before = sizes.get(name, 0)
        if size != before:
            message = f"Scaled {'up' if size > before else 'down'} replica set {name} from {before} to {size}"
            yield Announcement(deployment, "Normal", "ScalingReplicaSet", message)


def deployment_controller(informers: Informers) -> Controller:
    deployments, sets, pods = informers.of(DEPLOYMENTS), informers.of(REPLICASETS), informers.of(PODS)
    index_by_controller(sets)
    index_by_controller(pods)

    def decide(key: Key, now: datetime) -> Decision:
        deployment = deployments.get(*key)
        if deployment is None:
            return NOTHING
        return reconcile(deployment, candidates(sets, deployment), old_pods(deployment), now)

    def old_pods(deployment: Deployment) -> int:
        if scaling.is_rolling(deployment):
            return 0
        fleet = revisions.fleet_of(deployment, owned(sets, deployment))
        return sum(not is_finished(pod) for each in fleet.old for pod in owned(pods, each))

    def tell(key: Key, error: ApiError, now: datetime) -> Deployment | None:
        deployment = deployments.get(*key)
        if deployment is None:
            return None
        return refused(deployment, sets.get(key[0], revisions.new_set_name(deployment)), error)

    def keys_of_set(old: ReplicaSet | None, new: ReplicaSet | None) -> Iterable[Key]:
        for each in (old, new):
            ref = controller_ref(each) if each else None
            if each is not None and ref is None:
                yield from _selecting(deployments.by_namespace(each.metadata.namespace), each)
            elif ref is not None:
                yield from own_key(None, deployments.by_uid(ref.uid))

    def keys_of_pod(old: Pod | None, new: Pod | None) -> Iterable[Key]:
        """A pod matters to a Recreate alone, and only by its end."""
        ref = controller_ref(old) if old is not None and (new is None or is_finished(new)) else None
        owner = sets.by_uid(ref.uid) if ref else None
        return keys_of_set(None, owner) if owner else ()

    watches = (Watch(deployments, own_key), Watch(sets, keys_of_set), Watch(pods, keys_of_pod))
    return Controller("deployment", DEPLOYMENTS, watches, decide, tell)


def _selecting(deployments: Iterable[Deployment], replica_set: ReplicaSet) -> Iterable[Key]:
    for each in deployments:
        if from_label_selector(each.spec.selector).matches(replica_set.metadata.labels):
            yield each.metadata.namespace, each.metadata.name
