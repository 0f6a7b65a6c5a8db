"""How long a pod stays on a node that fails. As the plugin DefaultTolerationSeconds of kube-apiserver."""

from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from orch.api.kinds import PODS
from orch.api.pod.spec import Pod, PodSpec
from orch.api.shared import Taint, Toleration
from orch.api.tolerations import tolerated

FAILING_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
NO_EXECUTE = "NoExecute"


class DefaultTolerations:
    """`toleration_s` is how long a pod stays on a node that is not ready or unreachable, unless its author said so."""

    def __init__(self, toleration_s: int) -> None:
        self._toleration_s = toleration_s

    async def admit(self, request: Request, obj: Any) -> Any:
        if request.operation is Operation.DELETE or request.kind is not PODS or request.subresource:
            return obj
        pod: Pod = obj
        spec = with_tolerations(pod.spec, self._toleration_s)
        return pod if spec is pod.spec else replace(pod, spec=spec)


def with_tolerations(spec: PodSpec, seconds: int) -> PodSpec:
    present = spec.tolerations or ()
    added = tuple(
        Toleration(key=key, operator="Exists", effect=NO_EXECUTE, toleration_seconds=seconds)
        for key in FAILING_NODE_TAINTS
        if not tolerated(Taint(key=key, effect=NO_EXECUTE), present)
    )
    return replace(spec, tolerations=(*present, *added)) if added else spec
