"""Pods from a folder on the node, which run with or without a control plane.

As kubelet's file source (pkg/kubelet/config): one pod a file, YAML or JSON; the uid comes from node, file and content,
so that a changed file is a new pod; the name ends with the node's. A file that cannot be a pod is logged and leaves
what it was before; files whose name begins with a dot are none. Static pods name no other objects of the API.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import yaml
from msgspec.structs import replace

from nodeagent.folder_watch import SETTLED, FolderWatch
from orch.api.kinds import PODS
from orch.api.pod.qos import qos_class
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.static import forbidden_reference
from orch.api.pod.status import PodStatus
from orch.api.shared import Toleration
from orch.errors import BadRequest

log = structlog.get_logger(__name__)

FILE_BYTES_MAX = 1 << 20
SOURCE_ANNOTATION, HASH_ANNOTATION = "kubernetes.io/config.source", "kubernetes.io/config.hash"
PRIORITY_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""A static pod cannot ask the API what a class means; these are the same everywhere."""


class StaticPods:
    """`folder` None: this node has none."""

    def __init__(self, folder: Path | None, node_name: str) -> None:
        self._folder, self._node = folder, node_name
        self._files: dict[str, Pod] = {}

    def pods(self) -> tuple[Pod, ...]:
        return tuple(self._files.values())

    def pod(self, uid: str) -> Pod | None:
        return next((pod for pod in self._files.values() if pod.metadata.uid == uid), None)

    def read(self) -> None:
        """All files anew. A folder that cannot be read leaves what was."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            paths = [p for p in sorted(self._folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
        except OSError as error:
            log.error("static_pods_unreadable", folder=str(self._folder), error=str(error))
            return
        found = {path.name: self._pod_of(path) or self._files.get(path.name) for path in paths}
        self._files = {name: pod for name, pod in found.items() if pod is not None}

    @contextmanager
    def changes(self) -> Iterator[FolderWatch | None]:
        """None when there is nothing to watch. Raises OSError."""
        if self._folder is None:
            yield None
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with FolderWatch(self._folder, SETTLED) as watch:
            yield watch

    def _pod_of(self, path: Path) -> Pod | None:
        try:
            return static_pod(_content(path), path.name, self._node)
        except (OSError, BadRequest) as error:
            log.error("static_pod_refused", file=str(path), error=str(error), next="what it was before stays")
            return None


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise BadRequest(f"the file has more than {FILE_BYTES_MAX} bytes")
    return content


def static_pod(content: bytes, file: str, node: str) -> Pod:
    """Raises BadRequest."""
    try:
        plain = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadRequest(f"neither YAML nor JSON: {error}") from error
    if not isinstance(plain, dict) or (plain.get("apiVersion"), plain.get("kind")) != (PODS.api_version, PODS.kind):
        raise BadRequest("the file holds no v1 Pod")
    decoded = PODS.codec.decode_lenient(plain)
    for problem in decoded.problems:
        log.warning("static_pod_field_dropped", file=file, problem=problem)
    what = b"\0".join((node.encode(), file.encode(), content))
    uid = hashlib.md5(what, usedforsecurity=False).hexdigest()
    pod = PODS.set_defaults(_placed(decoded.obj, uid, node))
    _check(pod)
    return replace(pod, status=PodStatus(phase="Pending", qos_class=qos_class(pod.spec)))


def _placed(pod: Pod, uid: str, node: str) -> Pod:
    meta, spec = pod.metadata, pod.spec
    if not meta.name:
        raise BadRequest("metadata.name is required")
    annotations = {**(meta.annotations or {}), SOURCE_ANNOTATION: "file", HASH_ANNOTATION: uid}
    placed = replace(
        meta,
        name=f"{meta.name}-{node.lower()}",
        namespace=meta.namespace or "default",
        uid=uid,
        generation=1,
        annotations=annotations,
    )
    return replace(pod, metadata=placed, spec=_spec(spec, node))


def _spec(spec: PodSpec, node: str) -> PodSpec:
    everything = Toleration(operator="Exists", effect="NoExecute")
    priority = spec.priority if spec.priority is not None else PRIORITY_CLASSES.get(spec.priority_class_name or "")
    return replace(spec, node_name=node, priority=priority, tolerations=(*(spec.tolerations or ()), everything))


def _check(pod: Pod) -> None:
    causes = PODS.validate(pod)
    if causes:
        raise BadRequest("; ".join(f"{cause.field}: {cause.message}" for cause in causes))
    if pod.spec.ephemeral_containers:
        raise BadRequest("static pods do not support ephemeral containers")
    if named := forbidden_reference(pod):
        raise BadRequest(f"static pods may not reference other objects: {named}")
