"""What a new pod gets of its ServiceAccount: the account's name, its token as a volume, its image pull secrets.

As the plugin ServiceAccount of kube-apiserver. Invariant: a container that mounts something of its own where the token
goes keeps it, and a pod whose account or author wants no token gets none.
"""

from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import failures
from controlplane.store.cache import WatchCache
from controlplane.tokens.issuer import MOUNTED_LIFETIME_S
from orch.api.kinds import PODS, SERVICEACCOUNTS
from orch.api.pod.container import Container, ObjectFieldSelector, VolumeMount
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.static import DEFAULT_ACCOUNT, is_mirror
from orch.api.pod.volume import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from orch.api.serviceaccount import ServiceAccount
from orch.kit.ids import Ids

ROOT_CA_CONFIGMAP = "kube-root-ca.crt"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
FILE_MODE = 0o644


class ServiceAccountAdmission:
    """The account `default` counts as present: a controller makes it in every namespace, and a pod that comes first
    waits for its token on the node."""

    def __init__(self, cache: WatchCache, ids: Ids) -> None:
        self._cache = cache
        self._volume_name = VOLUME_PREFIX + ids.suffix()
        """The same for all pods, so that pods of one template stay equal (`orch.api.memo`)."""

    async def admit(self, request: Request, obj: Any) -> Any:
        if request.operation is not Operation.CREATE or request.kind is not PODS:
            return obj
        pod: Pod = obj
        if is_mirror(pod):
            return pod
        name = pod.spec.service_account_name or pod.spec.service_account or DEFAULT_ACCOUNT
        account = self._account(request, name)
        spec = replace(pod.spec, service_account_name=name, service_account=name)
        if not spec.image_pull_secrets and account.image_pull_secrets:
            spec = replace(spec, image_pull_secrets=account.image_pull_secrets)
        return replace(pod, spec=with_token(spec, self._volume_name) if wants_token(spec, account) else spec)

    def _account(self, request: Request, name: str) -> ServiceAccount:
        found = self._cache.get(SERVICEACCOUNTS, request.namespace, name)
        if found is not None:
            return found.obj
        if name != DEFAULT_ACCOUNT:
            why = f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
            raise failures.forbidden(request.kind, request.name, why)
        return ServiceAccount()


def wants_token(spec: PodSpec, account: ServiceAccount) -> bool:
    """The pod's word counts before the account's; nobody's means yes."""
    for word in (spec.automount_service_account_token, account.automount_service_account_token):
        if word is not None:
            return word
    return True


def with_token(spec: PodSpec, name: str) -> PodSpec:
    """The volume, mounted in every container that has nothing there; unchanged when all have. `name` is for it, unless
    the pod brings a volume of this kind."""
    volumes = spec.volumes or ()
    present = next((volume.name for volume in volumes if volume.name.startswith(VOLUME_PREFIX)), "")
    name = present or name
    containers = tuple(_with_mount(container, name) for container in spec.containers)
    init_containers = tuple(_with_mount(container, name) for container in spec.init_containers or ())
    if (containers, init_containers) == (spec.containers, spec.init_containers or ()):
        return spec
    return replace(
        spec,
        containers=containers,
        init_containers=init_containers or spec.init_containers,
        volumes=volumes if present else (*volumes, token_volume(name)),
    )


def _with_mount(container: Container, volume: str) -> Container:
    mounts = container.volume_mounts or ()
    if any(mount.mount_path == MOUNT_PATH for mount in mounts):
        return container
    return replace(container, volume_mounts=(*mounts, VolumeMount(name=volume, mount_path=MOUNT_PATH, read_only=True)))


def token_volume(name: str) -> Volume:
    """Token, the API's authority and the namespace, where client libraries look for them."""
    namespace = DownwardAPIVolumeFile(path="namespace", field_ref=ObjectFieldSelector(field_path="metadata.namespace"))
    sources = (
        VolumeProjection(
            service_account_token=ServiceAccountTokenProjection(expiration_seconds=MOUNTED_LIFETIME_S, path="token")
        ),
        VolumeProjection(
            config_map=ConfigMapProjection(name=ROOT_CA_CONFIGMAP, items=(KeyToPath(key="ca.crt", path="ca.crt"),))
        ),
        VolumeProjection(downward_api=DownwardAPIProjection(items=(namespace,))),
    )
    return Volume(name=name, projected=ProjectedVolumeSource(default_mode=FILE_MODE, sources=sources))
