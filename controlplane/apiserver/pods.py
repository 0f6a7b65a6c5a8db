"""Which node, pod and container a request for a pod's streams means."""

from dataclasses import dataclass

from controlplane.apiserver.call import Call
from controlplane.registry.interface import Api, RequestContext, User
from orch.api.kinds import PODS
from orch.api.pod.container import Container, EphemeralContainer
from orch.api.pod.spec import Pod
from orch.errors import BadRequest

SERVER = User("system:apiserver", ("system:masters",))
"""Reads the pod once the caller may use the subresource, even if the caller may not read pods."""
VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


@dataclass(frozen=True, slots=True)
class PodTarget:
    node: str
    pod_uid: str
    namespace: str
    pod: str


@dataclass(frozen=True, slots=True)
class ContainerTarget(PodTarget):
    container: str
    stdin: bool = False
    """The container's own, from its spec."""
    tty: bool = False


class PodLookup:
    """Authorizes the subresource for the caller, then finds its target."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def find(self, call: Call) -> ContainerTarget:
        """Raises Forbidden, NotFound, BadRequest."""
        return container_target(await self._pod(call), call.query.text("container"))

    async def find_pod(self, call: Call) -> PodTarget:
        """Raises Forbidden, NotFound, BadRequest."""
        return pod_target(await self._pod(call))

    async def _pod(self, call: Call) -> Pod:
        await authorize(self._api, call)
        return await self.read(call, call.path.name)

    async def read(self, call: Call, name: str) -> Pod:
        """For a caller that is authorized already. Raises NotFound."""
        return (await self._api.get(inside(call), PODS, call.path.namespace, name, resource_version="0")).obj


async def authorize(api: Api, call: Call) -> None:
    """The method's verb on the subresource, as Kubernetes has it for what it calls connecting. Raises Forbidden."""
    path = call.path
    await api.authorize(
        call.context,
        VERBS.get(call.request.method, call.request.method.lower()),
        path.group,
        path.plural,
        namespace=path.namespace,
        name=path.name,
        subresource=path.subresource,
    )


def inside(call: Call) -> RequestContext:
    return RequestContext(SERVER, call.context.request_id, call.context.warn)


def pod_target(pod: Pod) -> PodTarget:
    """Raises BadRequest for a pod that no node has."""
    if not pod.spec.node_name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    return PodTarget(pod.spec.node_name, pod.metadata.uid, pod.metadata.namespace, pod.metadata.name)


def container_target(pod: Pod, name: str) -> ContainerTarget:
    """`name` may be empty when the pod has one container only."""
    container = _container(pod, name)
    target = pod_target(pod)
    return ContainerTarget(
        node=target.node,
        pod_uid=target.pod_uid,
        namespace=target.namespace,
        pod=target.pod,
        container=container.name,
        stdin=bool(container.stdin),
        tty=bool(container.tty),
    )


def _container(pod: Pod, name: str) -> Container | EphemeralContainer:
    meta, spec = pod.metadata, pod.spec
    if not name and len(spec.containers) == 1:
        return spec.containers[0]
    if not name:
        choices = " ".join(c.name for c in spec.containers)
        raise BadRequest(f"a container name must be specified for pod {meta.name}, choose one of: [{choices}]")
    own = (*(spec.init_containers or ()), *spec.containers)
    known: dict[str, Container | EphemeralContainer] = {container.name: container for container in own}
    known |= {container.name: container for container in spec.ephemeral_containers or ()}
    if name in known:
        return known[name]
    raise BadRequest(f"container {name} is not valid for pod {meta.name}")
