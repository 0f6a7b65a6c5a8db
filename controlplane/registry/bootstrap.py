"""What a cluster holds before anybody asks: the system's namespaces. Made again at every start, if missing."""

from controlplane.registry.interface import Api, RequestContext, User, WriteOptions
from orch.api.kinds import NAMESPACES
from orch.api.meta import ObjectMeta
from orch.api.namespace import Namespace
from orch.errors import AlreadyExists

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
BOOTSTRAP_CONTEXT = RequestContext(User("system:apiserver", ("system:masters",)), "bootstrap")


async def create_system_namespaces(api: Api) -> None:
    for name in SYSTEM_NAMESPACES:
        namespace = Namespace(metadata=ObjectMeta(name=name))
        try:
            await api.create(BOOTSTRAP_CONTEXT, NAMESPACES, "", namespace, WriteOptions())
        except AlreadyExists:
            continue
