"""How large each ReplicaSet of a Deployment should be. Pure arithmetic on counts (deployment/rolling.go, sync.go).

Invariants, while nothing else takes pods away: never more pods than replicas + maxSurge are asked for, and an old set
shrinks only so far that replicas - maxUnavailable pods stay available.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from math import ceil

from orch.api.base import IntOrString
from orch.api.deployment import Deployment, RollingUpdateDeployment
from orch.api.replicaset import ReplicaSet

DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"

Sizes = dict[str, int]
"""Name of a ReplicaSet -> its replicas."""


def wanted(deployment: Deployment) -> int:
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def size(replica_set: ReplicaSet) -> int:
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def available(replica_set: ReplicaSet) -> int:
    return replica_set.status.available_replicas or 0


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type != "Recreate"


def max_surge(deployment: Deployment) -> int:
    """Pods above the desired number during a rolling update; a percentage is rounded up."""
    return _bounds(deployment)[0]


def max_unavailable(deployment: Deployment) -> int:
    """Pods below the desired number during a rolling update; a percentage is rounded down."""
    return _bounds(deployment)[1]


def replicas_annotations(deployment: Deployment) -> dict[str, str]:
    """What tells a later decision that the Deployment was scaled, and from what."""
    return {
        DESIRED_REPLICAS: str(wanted(deployment)),
        MAX_REPLICAS: str(wanted(deployment) + max_surge(deployment)),
    }


def is_scaling_event(deployment: Deployment, sets: Sequence[ReplicaSet]) -> bool:
    """Whether the desired number changed since the sets were last scaled."""
    marks = [_annotated(each, DESIRED_REPLICAS) for each in sets if size(each)]
    return any(mark is not None and mark != wanted(deployment) for mark in marks)


def new_set_size(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> int:
    """As far as the surge allows."""
    present = size(new) if new else 0
    if not is_rolling(deployment) or present >= wanted(deployment):
        return wanted(deployment)
    room = wanted(deployment) + max_surge(deployment) - present - sum(map(size, old))
    return present + max(0, min(room, wanted(deployment) - present))


def old_set_sizes(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Sizes:
    """Smaller old sets, as far as availability allows: first pods that are not available, then available ones."""
    sizes = {each.metadata.name: size(each) for each in old}
    minimum = wanted(deployment) - max_unavailable(deployment)
    new_unavailable = size(new) - available(new)
    spare = sum(sizes.values()) + size(new) - minimum - new_unavailable
    if spare <= 0:
        return sizes
    for each in old:
        unhealthy = max(0, sizes[each.metadata.name] - available(each))
        cut = max(0, min(unhealthy, spare))
        sizes[each.metadata.name] -= cut
        spare -= cut
    surplus = sum(map(available, (*old, new))) - minimum
    for each in old:
        cut = max(0, min(sizes[each.metadata.name], surplus))
        sizes[each.metadata.name] -= cut
        surplus -= cut
    return sizes


def proportional_sizes(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> Sizes:
    """After the desired number changed: one set takes it all, several share it by their sizes."""
    everything = (*old, new) if new else tuple(old)
    active = [each for each in everything if size(each)]
    if len(active) < 2:
        target = (active or ([new] if new else list(old[-1:])))[:1]
        return {each.metadata.name: wanted(deployment) for each in target}
    if new is not None and _is_saturated(deployment, new):
        return {each.metadata.name: 0 for each in old if size(each)}
    return _shared(deployment, active) if is_rolling(deployment) else {}


def _shared(deployment: Deployment, active: Sequence[ReplicaSet]) -> Sizes:
    """Leftovers of rounding go to the largest set (sync.go, scale)."""
    allowed = wanted(deployment) + max_surge(deployment) if wanted(deployment) else 0
    to_add = allowed - sum(map(size, active))
    newest_first = sorted(active, key=age_order, reverse=to_add > 0)
    in_order = sorted(newest_first, key=size, reverse=True)
    sizes, added = {}, 0
    for each in in_order:
        share = _share(deployment, each)
        room = to_add - added
        share = min(share, room) if to_add > 0 else max(share, room)
        if not to_add or (share > 0) != (to_add > 0):
            share = 0
        sizes[each.metadata.name] = size(each) + share
        added += share
    for each in in_order:
        rounded = sizes[each.metadata.name]
        sizes[each.metadata.name] = max(0, rounded + to_add - added)
        added += sizes[each.metadata.name] - rounded
    return sizes


def _share(deployment: Deployment, replica_set: ReplicaSet) -> int:
    """How much the set grows or shrinks when the largest allowed total changes in proportion."""
    if not wanted(deployment):
        return -size(replica_set)
    before = _annotated(replica_set, MAX_REPLICAS) or deployment.status.replicas or 0
    if not before:
        return 0
    after = Decimal(size(replica_set) * (wanted(deployment) + max_surge(deployment))) / before
    return int(after.quantize(Decimal(1), ROUND_HALF_UP)) - size(replica_set)


def _is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    """The new set alone serves what is desired."""
    desired = wanted(deployment)
    return size(new) == desired and _annotated(new, DESIRED_REPLICAS) == desired and available(new) == desired


def _annotated(replica_set: ReplicaSet, name: str) -> int | None:
    text = (replica_set.metadata.annotations or {}).get(name, "")
    return int(text) if text.isdecimal() else None


def _bounds(deployment: Deployment) -> tuple[int, int]:
    """(surge, unavailable); both 0 would never move, so that one may be unavailable then (ResolveFenceposts)."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = deployment.spec.strategy.rolling_update or RollingUpdateDeployment()
    surge = _resolve(rolling.max_surge, wanted(deployment), round_up=True)
    unavailable = _resolve(rolling.max_unavailable, wanted(deployment), round_up=False)
    if not surge and not unavailable:
        unavailable = 1
    return surge, min(unavailable, wanted(deployment))


def _resolve(bound: IntOrString | None, total: int, *, round_up: bool) -> int:
    if bound is None:
        return 0
    if isinstance(bound, int):
        return bound
    share = Decimal(bound.removesuffix("%")) * total / 100
    return ceil(share) if round_up else int(share)


def age_order(replica_set: ReplicaSet) -> tuple[float, str]:
    """Sorts the oldest first; names decide between equals."""
    created = replica_set.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, replica_set.metadata.name)
