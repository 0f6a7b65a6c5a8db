"""What of the node is set aside for each of its pods, and whether a pod may have more. One per agent.

A pod keeps what it came with until its resize fits (kubelet's pkg/kubelet/allocation): what can never fit on this node
is Infeasible, what does not fit beside the others is Deferred and tried again whenever something of another pod comes
free, the most important first. On disk, since the pod's object may by then ask for something else.
Invariant: the answer to a resize is on disk before anybody acts on it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from msgspec.structs import replace

from nodeagent.journal import Journal, Record
from nodeagent.pod_events import ResizeDecided
from nodeagent.resources import amounts, pod_requests
from orch.api.pod.allocation import DEFERRED, INFEASIBLE
from orch.api.pod.container import Container
from orch.api.pod.spec import Pod
from orch.api.shared import ResourceRequirements

log = structlog.get_logger(__name__)

JOURNAL_FILE = "allocations.journal"
ALLOCATION = "Allocation"
Sizes = Mapping[str, ResourceRequirements]
"""Container -> its requests and limits."""


def sizes_of(pod: Pod) -> dict[str, ResourceRequirements]:
    return {c.name: c.resources for c in (*pod.spec.containers, *(pod.spec.init_containers or ()))}


def sized(pod: Pod, sizes: Sizes) -> Pod:
    """The pod with these sizes instead of its own."""

    def with_size(container: Container) -> Container:
        size = sizes.get(container.name, container.resources)
        return container if size == container.resources else replace(container, resources=size)

    containers = tuple(map(with_size, pod.spec.containers))
    init = tuple(map(with_size, pod.spec.init_containers)) if pod.spec.init_containers else pod.spec.init_containers
    if (containers, init) == (pod.spec.containers, pod.spec.init_containers):
        return pod
    return replace(pod, spec=replace(pod.spec, containers=containers, init_containers=init))


def verdict(wanted: Pod, held: Pod, taken: Mapping[str, int], allocatable: Mapping[str, int]) -> tuple[str, str]:
    """(reason, message) why the pod cannot have what it wants; empty: it can. `taken`: by all other pods. Only what
    grows needs room."""
    asked, has = pod_requests(wanted), pod_requests(held)
    grows = [name for name in ("memory", "cpu") if asked[name] > has[name]]
    for name in grows:
        if asked[name] > allocatable.get(name, 0):
            detail = f"{name}, requested: {asked[name]}, capacity: {allocatable.get(name, 0)}"
            return INFEASIBLE, f"Node didn't have enough capacity: {detail}"
    for name in grows:
        if asked[name] + taken.get(name, 0) > allocatable.get(name, 0):
            detail = f"{name}, requested: {asked[name]}, used: {taken.get(name, 0)}, capacity: {allocatable[name]}"
            return DEFERRED, f"Node didn't have enough resource: {detail}"
    return "", ""


@dataclass(frozen=True, slots=True)
class Holding:
    """A pod with what it holds, and how much that is: counted once, since all of them are summed up often."""

    pod: Pod
    requests: Mapping[str, int]

    @staticmethod
    def of(pod: Pod) -> "Holding":
        return Holding(pod, pod_requests(pod))


@dataclass(frozen=True, slots=True)
class _Waiting:
    wanted: Pod
    tell: Callable[[ResizeDecided], None]
    number: int
    """In the order of asking."""

    @property
    def rank(self) -> tuple[int, int]:
        return -(self.wanted.spec.priority or 0), self.number


class Allocations:
    def __init__(self, allocatable: Mapping[str, str], state_dir: Path) -> None:
        """Raises OSError when the disk fails."""
        self._allocatable = amounts(allocatable)
        self._journal = Journal(state_dir / JOURNAL_FILE)
        self._saved: dict[str, Sizes] = {}
        decoder = msgspec.json.Decoder(dict[str, ResourceRequirements])
        for record in self._journal.load():
            self._saved[record.uid] = decoder.decode(record.data)
        self._held: dict[str, Holding] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._asked = 0
        self._listeners: list[Callable[[Iterable[Holding]], None]] = []

    def watch(self, listener: Callable[[Iterable[Holding]], None]) -> None:
        """Told of all pods whenever what one holds changes."""
        self._listeners.append(listener)

    def admitted(self, pod: Pod) -> Pod:
        """The pod with what it holds here: what it asks for when it is new."""
        uid = pod.metadata.uid
        if uid not in self._saved:
            self._save(uid, sizes_of(pod))
        held = sized(pod, self._saved[uid])
        self._held[uid] = Holding.of(held)
        self._tell()
        return held

    def ask(self, wanted: Pod, tell: Callable[[ResizeDecided], None]) -> None:
        """The answer is told at once; one that was Deferred is followed by another as soon as that changes."""
        self._asked += 1
        waiting = _Waiting(wanted, tell, self._asked)
        self._waiting.pop(wanted.metadata.uid, None)
        self._decide(waiting)

    def release(self, uid: str) -> None:
        """The pod holds nothing any more. No error when it never did."""
        self._waiting.pop(uid, None)
        held = self._held.pop(uid, None)
        if self._saved.pop(uid, None) is not None:
            self._note(Record(ALLOCATION, uid))
        if held is not None:
            self._tell()
            self._try_again()

    def forget_others(self) -> None:
        """Of pods that were not admitted since the start: they went while no agent looked."""
        for uid in [uid for uid in self._saved if uid not in self._held]:
            del self._saved[uid]
            self._note(Record(ALLOCATION, uid))

    def _decide(self, asking: _Waiting) -> None:
        wanted, uid = asking.wanted, asking.wanted.metadata.uid
        if (held := self._held.get(uid)) is None:
            return
        reason, message = verdict(wanted, held.pod, self._taken_beside(uid), self._allocatable)
        if reason == DEFERRED:
            self._waiting[uid] = asking
        if not reason:
            self._held[uid] = Holding.of(sized(held.pod, sizes_of(wanted)))
            self._save(uid, sizes_of(wanted))
            self._tell()
        log.info("resize_decided", pod=f"{wanted.metadata.namespace}/{wanted.metadata.name}", uid=uid, refused=reason)
        asking.tell(ResizeDecided(sizes_of(wanted), reason, message))
        if not reason and _gives_back(held.pod, wanted):
            self._try_again()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self._held.values())

    def _try_again(self) -> None:
        for waiting in sorted(self._waiting.values(), key=lambda waiting: waiting.rank):
            uid = waiting.wanted.metadata.uid
            if uid in self._waiting and not self._refused(waiting):
                del self._waiting[uid]
                self._decide(waiting)

    def _refused(self, waiting: _Waiting) -> str:
        uid = waiting.wanted.metadata.uid
        return verdict(waiting.wanted, self._held[uid].pod, self._taken_beside(uid), self._allocatable)[0]

    def _taken_beside(self, uid: str) -> dict[str, int]:
        others = [held.requests for other, held in self._held.items() if other != uid]
        return {name: sum(request[name] for request in others) for name in ("cpu", "memory")}

    def _save(self, uid: str, sizes: Sizes) -> None:
        self._saved[uid] = sizes
        self._note(Record(ALLOCATION, uid, msgspec.Raw(msgspec.json.encode(sizes))))

    def _note(self, record: Record) -> None:
        """A disk that refuses costs the memory of a resize, not the pod."""
        try:
            self._journal.append([record])
            if self._journal.is_bloated:
                self._journal.rewrite(
                    Record(ALLOCATION, uid, msgspec.Raw(msgspec.json.encode(sizes)))
                    for uid, sizes in self._saved.items()
                )
        except OSError as error:
            log.error("allocation_not_written", uid=record.uid, error=str(error))


def _gives_back(held: Pod, wanted: Pod) -> bool:
    before, after = pod_requests(held), pod_requests(wanted)
    return any(after[name] < before[name] for name in before)
