"""Which ReplicaSet holds the Deployment's template, and the revision numbers and history of all of them. Pure.

As deployment/util/deployment_util.go. Invariant: the set of the current template has the highest revision; going back
to an old template gives its old set a new revision instead of making a second set.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from controlplane.controllers.deployment.scaling import DESIRED_REPLICAS, MAX_REPLICAS, age_order, replicas_annotations
from controlplane.controllers.ownership import reference_to
from orch.api.deployment import Deployment
from orch.api.meta import LabelSelector, ObjectMeta
from orch.api.pod.spec import PodTemplateSpec
from orch.api.replicaset import ReplicaSet, ReplicaSetSpec
from orch.kit.ids import SUFFIX_ALPHABET

HASH_LABEL = "pod-template-hash"
HASH_LENGTH = 10
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The ReplicaSets of a Deployment; the old ones from the oldest on."""

    new: ReplicaSet | None
    old: tuple[ReplicaSet, ...]

    @property
    def all(self) -> tuple[ReplicaSet, ...]:
        return self.old if self.new is None else (*self.old, self.new)


def fleet_of(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Fleet:
    """Of several sets with the template the oldest is the new one, so that all decisions agree."""
    in_order = sorted(sets, key=age_order)
    new = next((each for each in in_order if same_template(each.spec.template, deployment.spec.template)), None)
    return Fleet(new, tuple(each for each in in_order if each is not new))


def same_template(one: PodTemplateSpec, other: PodTemplateSpec) -> bool:
    """Whether they make the same pods, the hash label aside."""
    return _without_hash(one) == _without_hash(other)


def template_hash(template: PodTemplateSpec, collision_count: int) -> str:
    """A short name for the template; another for each count of collisions."""
    data = msgspec.json.encode((_without_hash(template), collision_count), order="sorted")
    number, letters = int.from_bytes(hashlib.sha256(data).digest()), []
    for _ in range(HASH_LENGTH):
        number, letter = divmod(number, len(SUFFIX_ALPHABET))
        letters.append(SUFFIX_ALPHABET[letter])
    return "".join(letters)


def revision_of(replica_set: ReplicaSet) -> int:
    text = (replica_set.metadata.annotations or {}).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def new_set_name(deployment: Deployment) -> str:
    return f"{deployment.metadata.name}-{_hash_of(deployment)}"


def new_set(deployment: Deployment, fleet: Fleet, replicas: int) -> ReplicaSet:
    """The ReplicaSet of the current template."""
    labels = {HASH_LABEL: _hash_of(deployment)}
    template, selector = deployment.spec.template, deployment.spec.selector
    template_metadata = replace(template.metadata, labels=(template.metadata.labels or {}) | labels)
    annotations = _copied(deployment) | replicas_annotations(deployment)
    return ReplicaSet(
        metadata=ObjectMeta(
            name=new_set_name(deployment),
            namespace=deployment.metadata.namespace,
            labels=template_metadata.labels,
            annotations=annotations | {REVISION: str(_next_revision(fleet))},
            owner_references=(reference_to(deployment),),
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=LabelSelector(
                match_labels=(selector.match_labels or {}) | labels, match_expressions=selector.match_expressions
            ),
            template=replace(template, metadata=template_metadata),
        ),
    )


def synced_new_set(deployment: Deployment, fleet: Fleet) -> ReplicaSet | None:
    """The new set with the revision, annotations and minReadySeconds it ought to have; None: it has them."""
    if fleet.new is None:
        return None
    before = fleet.new.metadata.annotations or {}
    annotations = before | _copied(deployment) | _revision_annotations(fleet.new, _next_revision(fleet))
    synced = replace(
        fleet.new,
        metadata=replace(fleet.new.metadata, annotations=annotations or None),
        spec=replace(fleet.new.spec, min_ready_seconds=deployment.spec.min_ready_seconds),
    )
    same = annotations == before and (fleet.new.spec.min_ready_seconds or 0) == (synced.spec.min_ready_seconds or 0)
    return None if same else synced


def synced_deployment(deployment: Deployment, fleet: Fleet) -> Deployment | None:
    """The Deployment with the new set's revision, which `kubectl rollout` reads there; None: it has it."""
    if fleet.new is None:
        return None
    before = deployment.metadata.annotations or {}
    revision = (fleet.new.metadata.annotations or {}).get(REVISION, "")
    if not revision or before.get(REVISION) == revision:
        return None
    return replace(deployment, metadata=replace(deployment.metadata, annotations=before | {REVISION: revision}))


def expired_sets(deployment: Deployment, fleet: Fleet) -> list[ReplicaSet]:
    """Old sets beyond the history limit, oldest revision first; only those that are empty and have settled."""
    limit = deployment.spec.revision_history_limit
    if limit is None:
        return []
    settled = [each for each in fleet.old if _is_settled_and_empty(each)]
    surplus = max(0, len(settled) - limit)
    return sorted(settled, key=lambda each: (revision_of(each), age_order(each)))[:surplus]


def _is_settled_and_empty(replica_set: ReplicaSet) -> bool:
    return (
        not replica_set.status.replicas
        and not replica_set.spec.replicas
        and (replica_set.metadata.generation or 0) <= (replica_set.status.observed_generation or 0)
        and replica_set.metadata.deletion_timestamp is None
    )


def _revision_annotations(replica_set: ReplicaSet, revision: int) -> dict[str, str]:
    before = replica_set.metadata.annotations or {}
    old_revision = revision_of(replica_set)
    if old_revision >= revision:
        return {}
    history = [past for past in before.get(REVISION_HISTORY, "").split(",") if past]
    past = {REVISION_HISTORY: ",".join([*history, str(old_revision)])} if old_revision else {}
    return {REVISION: str(revision)} | past


def _next_revision(fleet: Fleet) -> int:
    return max((revision_of(each) for each in fleet.old), default=0) + 1


def _copied(deployment: Deployment) -> dict[str, str]:
    return {name: text for name, text in (deployment.metadata.annotations or {}).items() if name not in NOT_COPIED}


def _hash_of(deployment: Deployment) -> str:
    return template_hash(deployment.spec.template, deployment.status.collision_count or 0)


def _without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    labels = {name: value for name, value in (template.metadata.labels or {}).items() if name != HASH_LABEL}
    return replace(template, metadata=replace(template.metadata, labels=labels or None))
