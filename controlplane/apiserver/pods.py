"""Which node and which container a log or exec request means."""

from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.call import Call
from controlplane.registry.interface import Api, RequestContext, User
from orch.api.pod.spec import Pod
from orch.errors import BadRequest

SERVER = User("system:apiserver", ("system:masters",))
"""Reads the pod once the caller may use the subresource, even if the caller may not read pods."""


@dataclass(frozen=True, slots=True)
class ContainerTarget:
    node: str
    pod_uid: str
    namespace: str
    pod: str
    container: str


class PodLookup:
    """Authorizes the subresource for the caller, then finds its target."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def find(self, call: Call) -> ContainerTarget:
        """Raises Forbidden, NotFound, BadRequest."""
        path = call.path
        verb = "create" if call.request.method == "POST" else "get"
        await self._api.authorize(
            call.context,
            verb,
            path.group,
            path.plural,
            namespace=path.namespace,
            name=path.name,
            subresource=path.subresource,
        )
        inside = RequestContext(SERVER, call.context.request_id, call.context.warn)
        stored = await self._api.get(inside, call.kind, path.namespace, path.name, resource_version="0")
        return container_target(stored.obj, call.query.text("container"))


def container_target(pod: Any, container: str) -> ContainerTarget:
    """`container` may be empty when the pod has one only."""
    assert isinstance(pod, Pod), "only pods have containers"
    meta, spec = pod.metadata, pod.spec
    names = [c.name for c in (*(spec.init_containers or ()), *spec.containers)]
    names += [c.name for c in spec.ephemeral_containers or ()]
    if not container and len(spec.containers) == 1:
        container = spec.containers[0].name
    if not container:
        choices = " ".join(c.name for c in spec.containers)
        raise BadRequest(f"a container name must be specified for pod {meta.name}, choose one of: [{choices}]")
    if container not in names:
        raise BadRequest(f"container {container} is not valid for pod {meta.name}")
    if not spec.node_name:
        raise BadRequest(f"pod {meta.name} does not have a host assigned")
    return ContainerTarget(spec.node_name, meta.uid, meta.namespace, meta.name, container)
