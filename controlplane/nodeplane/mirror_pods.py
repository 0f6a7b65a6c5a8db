"""Mirror pods: what the API shows of the static pods that nodes run by themselves.

As kubelet keeps them (pkg/kubelet/pod/mirror_client.go), but kept by the server from what agents report. A mirror
never reaches a node: deleting it stops nothing, and it is made anew. A mirror of nothing goes, as soon as its node has
said what it runs; with its Node object it goes as all that the Node owns.

Invariant: a mirror names no other object, whatever a node says: nobody gets rights by it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from controlplane.nodeplane.newest import NewestWriter
from controlplane.nodeplane.node_set import revision_of
from controlplane.nodeplane.pod_status_writer import PodReport, PodStatusWriter
from orch.api.kinds import NODES, PODS
from orch.api.meta import DeleteOptions, ObjectMeta, OwnerReference, Preconditions
from orch.api.node import Node
from orch.api.pod.spec import Pod
from orch.api.pod.static import MIRROR_ANNOTATION, forbidden_reference, is_mirror
from orch.api.pod.status import is_finished
from orch.client.client import Client
from orch.client.informer import Informer
from orch.errors import AlreadyExists, Conflict, NotFound, ServiceUnavailable

log = structlog.get_logger(__name__)

Name = tuple[str, str]
"""(namespace, name)"""


@dataclass(frozen=True, slots=True)
class CreateMirror:
    pod: Pod


@dataclass(frozen=True, slots=True)
class DeleteMirror:
    uid: str


def decide(static: Pod | None, mirror: Pod | None, node: Node | None) -> CreateMirror | DeleteMirror | None:
    """Toward one mirror for each static pod of a node that exists. A changed or dying mirror goes first."""
    if mirror is not None:
        return None if static is not None and _is_of(mirror, static, node) else DeleteMirror(mirror.metadata.uid)
    return CreateMirror(mirror_of(static, node)) if static is not None and node is not None else None


def _is_of(mirror: Pod, static: Pod, node: Node | None) -> bool:
    meta = mirror.metadata
    owners = [owner.uid for owner in meta.owner_references or ()]
    return (
        static_uid_of(mirror) == static.metadata.uid
        and meta.deletion_timestamp is None
        and (node is None or node.metadata.uid in owners)
    )


def static_uid_of(mirror: Pod) -> str:
    return (mirror.metadata.annotations or {}).get(MIRROR_ANNOTATION, "")


def mirror_of(static: Pod, node: Node) -> Pod:
    known = static.metadata
    owner = OwnerReference(
        api_version=NODES.api_version, kind=NODES.kind, name=node.metadata.name, uid=node.metadata.uid, controller=True
    )
    metadata = ObjectMeta(
        name=known.name,
        namespace=known.namespace,
        labels=known.labels,
        annotations={**(known.annotations or {}), MIRROR_ANNOTATION: known.uid},
        owner_references=(owner,),
    )
    return Pod(metadata=metadata, spec=replace(static.spec, node_name=node.metadata.name))


class MirrorPods:
    def __init__(self, client: Client, pods: Informer[Pod], nodes: Informer[Node], statuses: PodStatusWriter) -> None:
        self._client, self._pods, self._nodes, self._statuses = client, pods, nodes, statuses
        self._static: dict[str, Mapping[Name, Pod]] = {}
        """By node, of those that have said what they run."""
        self._reports: dict[str, PodReport] = {}
        """By static uid: the newest of each."""
        self._writer = NewestWriter[tuple[str, Name], None]("mirror-pods", self._reconcile)
        pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        await self._writer.run()

    def report(self, node: str, static: Iterable[Pod]) -> None:
        """All static pods of the node."""
        before = self._static.get(node, {})
        now = self._static[node] = {_name(pod): pod for pod in static if _is_shown(pod, node)}
        uids = {pod.metadata.uid for pod in now.values()}
        for pod in before.values():
            if pod.metadata.uid not in uids:
                self._reports.pop(pod.metadata.uid, None)
        mirrors = [_name(pod) for pod in self._pods.items() if is_mirror(pod) and pod.spec.node_name == node]
        for name in dict.fromkeys((*now, *mirrors)):
            self._writer.submit((node, name), None)

    def forget(self, node: str) -> None:
        """Its Node object is gone; its mirrors go with that."""
        for pod in self._static.pop(node, {}).values():
            self._reports.pop(pod.metadata.uid, None)

    def take(self, report: PodReport) -> bool:
        """Whether it is about a static pod; its mirror then gets the status, at once or as soon as there is one."""
        static = self._static.get(report.node, {}).get((report.namespace, report.name))
        if static is None or static.metadata.uid != report.uid:
            return False
        self._reports[report.uid] = report
        mirror = self._mirror(report.node, _name(static))
        if mirror is not None and self._was_outlived(mirror):
            self._writer.submit((report.node, _name(static)), None)
        elif mirror is not None:
            self._tell(mirror)
        return True

    def _was_outlived(self, mirror: Pod) -> bool:
        """A terminal phase stays for ever; a static pod that runs again after a shutdown needs another mirror."""
        report = self._reports.get(static_uid_of(mirror))
        return report is not None and is_finished(mirror.status) and not is_finished(report.status)

    def static_uid(self, node: str, uid: str) -> str:
        """How the node knows the pod that the API knows by `uid`."""
        pod = self._pods.by_uid(uid)
        static = self._static.get(node, {}).get(_name(pod)) if pod is not None and is_mirror(pod) else None
        return static.metadata.uid if static is not None else uid

    def _tell(self, mirror: Pod) -> None:
        report = self._reports.get(static_uid_of(mirror))
        if report is not None:
            status = replace(report.status, observed_generation=mirror.metadata.generation)
            self._statuses.submit(
                PodReport(report.node, mirror.metadata.uid, report.namespace, report.name, status, stopped=False)
            )

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None, "an event has an old or a new object"
        node = pod.spec.node_name or ""
        if not is_mirror(pod) or node not in self._static:
            return
        self._writer.submit((node, _name(pod)), None)
        if old is None and new is not None:
            self._tell(new)

    def _mirror(self, node: str, name: Name) -> Pod | None:
        pod = self._pods.get(*name)
        return pod if pod is not None and is_mirror(pod) and pod.spec.node_name == node else None

    async def _reconcile(self, key: tuple[str, Name], nothing: None) -> None:
        node, name = key
        if node not in self._static:
            return
        mirror, static = self._mirror(node, name), self._static[node].get(name)
        if mirror is not None and self._was_outlived(mirror):
            static = None
        match decide(static, mirror, self._nodes.get("", node)):
            case CreateMirror(pod):
                await self._create(pod)
            case DeleteMirror(uid):
                await self._delete(name, uid)
                self._writer.submit(key, None)

    async def _create(self, pod: Pod) -> None:
        try:
            stored = await self._client.create(PODS, pod)
        except AlreadyExists as error:
            raise ServiceUnavailable(f"another pod has the name of a static pod: {error}") from error
        except NotFound as error:
            raise ServiceUnavailable(f"the namespace of a static pod is missing: {error}") from error
        await self._pods.reached(revision_of(stored))
        log.info("mirror_pod_created", pod=f"{pod.metadata.namespace}/{pod.metadata.name}", node=pod.spec.node_name)

    async def _delete(self, name: Name, uid: str) -> None:
        """At once: nothing runs for its sake."""
        namespace, pod = name
        options = DeleteOptions(grace_period_seconds=0, preconditions=Preconditions(uid=uid))
        try:
            await self._client.delete(PODS, pod, namespace, options=options)
        except (NotFound, Conflict):
            return  # it is gone, or another has its name: the informer tells
        await self._pods.deletion_seen(namespace, pod, uid)
        log.info("mirror_pod_deleted", pod=f"{namespace}/{pod}", uid=uid)


def _is_shown(static: Pod, node: str) -> bool:
    named = forbidden_reference(static)
    if named:
        log.warning("static_pod_not_shown", pod="/".join(_name(static)), node=node, names=named)
    return not named


def _name(pod: Pod) -> Name:
    return pod.metadata.namespace, pod.metadata.name
