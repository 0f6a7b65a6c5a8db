"""What the control plane wants of this node, kept on the node's disk; Secrets on its tmpfs only.

A snapshot takes effect at its end, whole; a delta at once. Nothing with a lower (epoch, revision) than what is held is
taken, nothing of another cluster. With the control plane gone, or after a restart of the agent or the machine, the
node goes on from what lies here: the objects, and the status of each pod as this node last saved it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from nodeagent.journal import Journal, Record
from orch.api.configmap import ConfigMap
from orch.api.kind import Kind
from orch.api.kinds import (
    CONFIGMAPS,
    ENDPOINTSLICES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    RUNTIMECLASSES,
    SECRETS,
    SERVICES,
)
from orch.api.meta import Object
from orch.api.persistentvolume import PersistentVolume
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.api.runtimeclass import RuntimeClass
from orch.api.secret import Secret
from orch.api.service import Service
from orch.errors import BadRequest, OrchError

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Object)

KINDS: dict[str, Kind[Any]] = {
    kind.kind: kind
    for kind in (
        CONFIGMAPS, SECRETS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, RUNTIMECLASSES, SERVICES, ENDPOINTSLICES,
        NODES, PODS,
    )
}  # fmt: skip
STATUS, POSITION = "PodStatus", "Position"
"""Kinds of records that are no objects of the API."""
JOURNAL_FILE = "desired.journal"


class StaleSnapshot(OrchError):
    """The snapshot is older than what the node holds, or of another cluster."""


class Position(msgspec.Struct, frozen=True, order=True):
    """How far the node is: snapshots and deltas of this cluster up to (epoch, revision) are applied."""

    epoch: int = 0
    revision: int = 0
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """An object as it came: its JSON, empty when the node needs it no longer."""

    kind: str
    uid: str
    revision: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What changed in the desired state. `new` is None: no longer needed here."""

    kind: str
    old: Object | None
    new: Object | None


class DesiredState:
    """Implements volumes.VolumeInputs and pod_parts.PodInputs. `load` comes first, and raises OSError when the disk
    fails. Later failures are logged: the node goes on from memory, and the next change that can be written brings all
    that is held."""

    def __init__(self, state_dir: Path, run_dir: Path) -> None:
        self._disk, self._memory = Journal(state_dir / JOURNAL_FILE), Journal(run_dir / JOURNAL_FILE)
        self._behind: set[Journal] = set()
        """Journals that miss something."""
        self._objects: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._statuses: dict[str, PodStatus] = {}
        self._staged: dict[tuple[str, str], Item] = {}
        self._begun: Position | None = None
        self.position = Position()

    def load(self) -> None:
        """What an earlier agent left. An object that cannot be read is dropped: the next snapshot brings it again."""
        for record in (*self._disk.load(), *self._memory.load()):
            if record.kind == STATUS:
                self._keep(self._statuses, record, msgspec.json.Decoder(PodStatus).decode)
            elif record.kind == POSITION:
                self.position = msgspec.json.decode(record.object, type=Position)
            elif record.kind in KINDS:
                self._keep(self._objects[record.kind], record, partial(_decode, KINDS[record.kind]))
        newest = max((_revision(obj) for held in self._objects.values() for obj in held.values()), default=0)
        self.position = replace(self.position, revision=max(self.position.revision, newest))

    def pod(self, uid: str) -> Pod | None:
        return self._objects[PODS.kind].get(uid)

    def pods(self) -> Sequence[Pod]:
        return tuple(self._objects[PODS.kind].values())

    def all_of(self, kind: Kind[Any]) -> Sequence[Any]:
        return tuple(self._objects[kind.kind].values())

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return self._named(CONFIGMAPS, namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self._named(SECRETS, namespace, name)

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self._named(PERSISTENTVOLUMECLAIMS, namespace, name)

    def persistent_volume(self, name: str) -> PersistentVolume | None:
        return self._named(PERSISTENTVOLUMES, "", name)

    def persistent_volumes(self) -> Sequence[PersistentVolume]:
        return tuple(self._objects[PERSISTENTVOLUMES.kind].values())

    def runtime_class(self, name: str) -> RuntimeClass | None:
        return self._named(RUNTIMECLASSES, "", name)

    def services(self, namespace: str) -> tuple[Service, ...]:
        return tuple(s for s in self._objects[SERVICES.kind].values() if s.metadata.namespace == namespace)

    def status(self, uid: str) -> PodStatus | None:
        """The status that this node last saved of the pod."""
        return self._statuses.get(uid)

    def save_status(self, uid: str, status: PodStatus) -> None:
        self._statuses[uid] = status
        self._note([Record(STATUS, uid, msgspec.Raw(msgspec.json.encode(status)))])

    def forget_status(self, uid: str) -> None:
        if self._statuses.pop(uid, None) is not None:
            self._note([Record(STATUS, uid)])

    def begin(self, position: Position) -> None:
        """A snapshot begins. Raises StaleSnapshot."""
        held = self.position
        if held.cluster_id and held.cluster_id != position.cluster_id:
            raise StaleSnapshot(f"this node belongs to cluster {held.cluster_id!r}, not to {position.cluster_id!r}")
        if (position.epoch, position.revision) < (held.epoch, held.revision):
            raise StaleSnapshot(f"the server's state {position} is older than what this node holds, {held}")
        self._begun, self._staged = position, {}

    def stage(self, items: Sequence[Item]) -> None:
        self._staged |= {(item.kind, item.uid): item for item in items}

    def end(self, item_count: int) -> list[Change]:
        """The snapshot takes effect. Raises StaleSnapshot when part of it is missing."""
        begun, staged = self._begun, self._staged
        self._begun, self._staged = None, {}
        if begun is None or len(staged) != item_count:
            raise StaleSnapshot(f"the snapshot has {len(staged)} of {item_count} objects")
        if begun.epoch > self.position.epoch:
            self._drop_revisions()
        doomed = [(kind, uid) for kind, held in self._objects.items() for uid in held if (kind, uid) not in staged]
        changes = self._apply([*staged.values(), *(Item(kind, uid, 0, b"") for kind, uid in doomed)])
        self.position = begun
        self._note([Record(POSITION, "", msgspec.Raw(msgspec.json.encode(begun)))])
        return changes

    def apply(self, items: Sequence[Item], revision: int) -> list[Change]:
        """A delta takes effect; what is older than what is held changes nothing. Its revision is not noted apart: the
        objects carry it."""
        changes = self._apply(items)
        self.position = replace(self.position, revision=max(self.position.revision, revision))
        return changes

    def close(self) -> None:
        self._disk.close()
        self._memory.close()

    def _drop_revisions(self) -> None:
        """After a restore, revisions start lower: whatever comes now counts."""
        for held in self._objects.values():
            for uid, obj in held.items():
                held[uid] = replace(obj, metadata=replace(obj.metadata, resource_version=""))

    def _apply(self, items: Sequence[Item]) -> list[Change]:
        changes = [change for item in items if (change := self._change(item)) is not None]
        self._note([_record_of(change) for change in changes])
        return changes

    def _change(self, item: Item) -> Change | None:
        if item.kind not in KINDS:
            log.warning("kind_not_known", kind=item.kind, uid=item.uid)
            return None
        held = self._objects[item.kind]
        old = held.get(item.uid)
        if not item.data:
            return Change(item.kind, held.pop(item.uid), None) if old is not None else None
        if old is not None and _revision(old) >= item.revision:
            return None
        held[item.uid] = _decode(KINDS[item.kind], item.data)
        return Change(item.kind, old, held[item.uid])

    def _note(self, records: Sequence[Record]) -> None:
        for journal, secret in ((self._disk, False), (self._memory, True)):
            try:
                if journal not in self._behind:
                    journal.append(record for record in records if (record.kind == SECRETS.kind) is secret)
                if journal in self._behind or journal.is_bloated:
                    journal.rewrite(record for record in self._records() if (record.kind == SECRETS.kind) is secret)
                self._behind.discard(journal)
            except OSError as error:
                self._behind.add(journal)
                log.error("desired_state_not_written", error=str(error), next="all is written with the next change")

    def _records(self) -> Iterator[Record]:
        """All that is held."""
        for kind, held in self._objects.items():
            for uid, obj in held.items():
                yield Record(kind, uid, msgspec.Raw(KINDS[kind].codec.encode(obj)))
        for uid, status in self._statuses.items():
            yield Record(STATUS, uid, msgspec.Raw(msgspec.json.encode(status)))
        yield Record(POSITION, "", msgspec.Raw(msgspec.json.encode(self.position)))

    def _named(self, kind: Kind[T], namespace: str, name: str) -> T | None:
        held: Iterable[T] = self._objects[kind.kind].values()
        return next((o for o in held if (o.metadata.namespace, o.metadata.name) == (namespace, name)), None)

    def _keep(self, held: dict[str, Any], record: Record, decode: Callable[[bytes], Any]) -> None:
        try:
            held[record.uid] = decode(record.data)
        except (msgspec.MsgspecError, BadRequest) as error:
            log.warning("desired_object_unreadable", kind=record.kind, uid=record.uid, error=str(error), next="dropped")


def _record_of(change: Change) -> Record:
    if change.new is not None:
        return Record(change.kind, change.new.metadata.uid, msgspec.Raw(KINDS[change.kind].codec.encode(change.new)))
    assert change.old is not None, "a change has an old or a new object"
    return Record(change.kind, change.old.metadata.uid)


def _decode(kind: Kind[T], data: bytes) -> T:
    """A newer server's fields that this agent does not know are dropped."""
    try:
        return kind.codec.decode(data)
    except msgspec.ValidationError:
        return kind.codec.decode_lenient(data).obj


def _revision(obj: Object) -> int:
    return int(obj.metadata.resource_version or 0)
