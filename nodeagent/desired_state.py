"""What the control plane wants of this node, kept on the node's disk; Secrets on its tmpfs only.

A snapshot takes effect at its end, whole; a delta at once. Nothing with a lower (epoch, revision) than what is held is
taken, nothing of another cluster. With the control plane gone, or after a restart of the agent or the machine, the
node goes on from what lies here. One file per object: a crash of the agent leaves each object old or new, and the
position last written is never ahead of the objects. Only the position is forced to the disk: what a loss of power takes
comes again with the next snapshot, and forcing each object would cost a burst of pods as much as the runtime does.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from orch.api.configmap import ConfigMap
from orch.api.kind import Kind
from orch.api.kinds import CONFIGMAPS, ENDPOINTSLICES, NODES, PODS, SECRETS, SERVICES
from orch.api.meta import Object
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.api.secret import Secret
from orch.api.service import Service
from orch.errors import BadRequest, OrchError
from orch.kit.files import PRIVATE_MODE, write_atomic

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Object)
V = TypeVar("V")

KINDS: dict[str, Kind[Any]] = {kind.kind: kind for kind in (CONFIGMAPS, SECRETS, SERVICES, ENDPOINTSLICES, NODES, PODS)}
STATUS_FOLDER = "PodStatus"
POSITION_FILE = "position.json"


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
    """Implements environment.Inputs. Raises OSError when the disk fails; nothing is applied then."""

    def __init__(self, state_dir: Path, run_dir: Path) -> None:
        self._disk, self._memory = state_dir / "desired", run_dir / "desired"
        self._objects: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._statuses: dict[str, PodStatus] = {}
        self._staged: dict[tuple[str, str], Item] = {}
        self._begun: Position | None = None
        self.position = Position()

    def load(self) -> None:
        """What an earlier agent left. A file that cannot be read is dropped: the next snapshot brings it again."""
        for kind in KINDS:
            self._folder(kind).mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in self._folder(kind).glob("*.json"):
                obj = self._read(path, partial(_decode, KINDS[kind]))
                if obj is not None:
                    self._objects[kind][path.stem] = obj
        statuses = self._folder(STATUS_FOLDER)
        statuses.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in statuses.glob("*.json"):
            status = self._read(path, msgspec.json.Decoder(PodStatus).decode)
            if status is not None:
                self._statuses[path.stem] = status
        position = self._disk / POSITION_FILE
        if position.exists():
            self.position = self._read(position, msgspec.json.Decoder(Position).decode) or Position()
        newest = max((_revision(obj) for held in self._objects.values() for obj in held.values()), default=0)
        if newest > self.position.revision:
            self.position = Position(self.position.epoch, newest, self.position.cluster_id)

    def pods(self) -> Sequence[Pod]:
        return tuple(self._objects[PODS.kind].values())

    def all_of(self, kind: Kind[Any]) -> Sequence[Any]:
        return tuple(self._objects[kind.kind].values())

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return self._named(CONFIGMAPS, namespace, name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return self._named(SECRETS, namespace, name)

    def services(self, namespace: str) -> tuple[Service, ...]:
        return tuple(s for s in self._objects[SERVICES.kind].values() if s.metadata.namespace == namespace)

    def status(self, uid: str) -> PodStatus | None:
        """The status that this node last saved of the pod."""
        return self._statuses.get(uid)

    def save_status(self, uid: str, status: PodStatus) -> None:
        _write(self._folder(STATUS_FOLDER) / f"{uid}.json", msgspec.json.encode(status))
        self._statuses[uid] = status

    def forget_status(self, uid: str) -> None:
        self._statuses.pop(uid, None)
        (self._folder(STATUS_FOLDER) / f"{uid}.json").unlink(missing_ok=True)

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
        changes = list(self._apply([*staged.values(), *(Item(kind, uid, 0, b"") for kind, uid in doomed)]))
        self._move(begun)
        return changes

    def apply(self, items: Sequence[Item], revision: int) -> list[Change]:
        """A delta takes effect; what is older than what is held changes nothing. Its revision is not written apart: on
        disk the objects carry it."""
        changes = list(self._apply(items))
        if revision > self.position.revision:
            self.position = Position(self.position.epoch, revision, self.position.cluster_id)
        return changes

    def _drop_revisions(self) -> None:
        """After a restore, revisions start lower: what is held is compared by content only."""
        for held in self._objects.values():
            for uid, obj in held.items():
                held[uid] = msgspec.structs.replace(
                    obj, metadata=msgspec.structs.replace(obj.metadata, resource_version="")
                )

    def _apply(self, items: Sequence[Item]) -> Iterator[Change]:
        for item in items:
            if item.kind not in KINDS:
                log.warning("kind_not_known", kind=item.kind, uid=item.uid)
                continue
            held = self._objects[item.kind]
            old = held.get(item.uid)
            if item.data and old is not None and _revision(old) >= item.revision:
                continue
            path = self._folder(item.kind) / f"{item.uid}.json"
            if item.data:
                new = _decode(KINDS[item.kind], item.data)
                _write(path, item.data)
                held[item.uid] = new
                yield Change(item.kind, old, new)
            elif old is not None:
                path.unlink(missing_ok=True)
                del held[item.uid]
                yield Change(item.kind, old, None)

    def _move(self, position: Position) -> None:
        self.position = position
        write_atomic(self._disk / POSITION_FILE, msgspec.json.encode(position))

    def _named(self, kind: Kind[T], namespace: str, name: str) -> T | None:
        held: dict[str, T] = self._objects[kind.kind]
        wanted = (namespace, name)
        return next((obj for obj in held.values() if (obj.metadata.namespace, obj.metadata.name) == wanted), None)

    def _folder(self, kind: str) -> Path:
        return (self._memory if kind == SECRETS.kind else self._disk) / kind

    def _read(self, path: Path, decode: Callable[[bytes], V]) -> V | None:
        try:
            return decode(path.read_bytes())
        except (msgspec.MsgspecError, BadRequest) as error:
            log.warning("desired_object_unreadable", path=str(path), error=str(error), next="dropped")
            path.unlink()
            return None


def _write(path: Path, data: bytes) -> None:
    """Old or new, whatever happens to the agent."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_MODE)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def _decode(kind: Kind[T], data: bytes) -> T:
    """A newer server's fields that this agent does not know are dropped."""
    try:
        return kind.codec.decode(data)
    except msgspec.ValidationError:
        return kind.codec.decode_lenient(data).obj


def _revision(obj: Object) -> int:
    return int(obj.metadata.resource_version or 0)
