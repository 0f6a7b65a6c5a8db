"""Puts the API together over a store: cache, registry, admission, chain. For servers, tests and the simulator."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.apiserver.admission.default_classes import DefaultClasses
from controlplane.apiserver.admission.limit_ranger import LimitRanger
from controlplane.apiserver.admission.namespaces import NamespaceLifecycle
from controlplane.apiserver.admission.plugin import Admission
from controlplane.apiserver.admission.priority import PriorityAdmission
from controlplane.apiserver.admission.runtime_class import RuntimeClassAdmission
from controlplane.apiserver.admission.service_accounts import ServiceAccountAdmission
from controlplane.apiserver.admission.tolerations import DefaultTolerations
from controlplane.apiserver.admission.unsupported import UnsupportedFields
from controlplane.apiserver.authz import SystemAuthorizer
from controlplane.apiserver.chain import Chain
from controlplane.apiserver.metrics import Metrics
from controlplane.apiserver.reviews.reviews import Reviews
from controlplane.registry.allocator import cluster_ip_pool, node_port_pool
from controlplane.registry.bootstrap import (
    create_default_storage_class,
    create_system_namespaces,
    create_system_priority_classes,
    create_system_services,
)
from controlplane.registry.job import JobStrategy
from controlplane.registry.listing import Lister
from controlplane.registry.namespace import NamespaceStrategy
from controlplane.registry.pod import PodStrategy
from controlplane.registry.quota import Quotas
from controlplane.registry.registry import Registry
from controlplane.registry.service import ServiceStrategy
from controlplane.registry.strategy import (
    ExpiringStrategy,
    GenerationalStrategy,
    KeepsStatusStrategy,
    ProtectedStrategy,
    Strategies,
    UncountedStrategy,
)
from controlplane.store.backend import Backend
from controlplane.store.cache import WatchCache
from controlplane.store.leases import SharedLeases
from controlplane.store.objects import ObjectFormat
from controlplane.store.transform import Transformer, Transformers
from controlplane.tokens.authenticator import TokenAuthenticator
from controlplane.tokens.issuer import TokenIssuer
from controlplane.tokens.signer import TokenSigner
from controlplane.usage import UsageBoard
from orch.api.kind import KindTable
from orch.api.kinds import (
    ENDPOINTSLICES,
    EVENTS,
    INGRESSCLASSES,
    JOBS,
    NAMESPACES,
    NETWORKPOLICIES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    PRIORITYCLASSES,
    RESOURCEQUOTAS,
    SERVICES,
)
from orch.api.volume_binding import CLAIM_FINALIZER, VOLUME_FINALIZER
from orch.kit.clock import Clock
from orch.kit.ids import Ids


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What an operator chooses of the API's behaviour."""

    service_cidr: str = "10.96.0.0/16"
    api_address: str = ""
    """Where nodes and pods reach the API: the endpoint of default/kubernetes. "": it has none."""
    api_port: int = 6443
    node_port_low: int = 30000
    node_port_high: int = 32767
    failing_node_toleration_s: int = 2
    """How long a pod that says nothing stays on a node that is not ready or unreachable."""
    event_ttl_s: int = 3600
    """How long an Event stays after its last write, as kube-apiserver's --event-ttl."""
    transformers: Mapping[tuple[str, str], Transformer] = field(default_factory=dict)
    """(group, resource) -> how its values are stored; Secrets are to be encrypted where data outlives the process."""


class ApiParts:
    """The API and what keeps it going. Run `run` as a task; use the API once `ready` is set."""

    def __init__(
        self,
        api: Chain,
        cache: WatchCache,
        authenticator: TokenAuthenticator,
        usage: UsageBoard,
        settings: RegistrySettings,
    ) -> None:
        self._settings = settings
        self.api = api
        self.cache = cache
        self.authenticator = authenticator
        self.usage = usage
        """What metrics.k8s.io answers from; whoever hears from nodes fills it."""
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. The system's namespaces and Services are there before `ready` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cache.run(), name="watch cache")
            await self.cache.synced.wait()
            await create_system_namespaces(self.api)
            await create_system_priority_classes(self.api)
            await create_default_storage_class(self.api)
            chosen = self._settings
            await create_system_services(self.api, chosen.service_cidr, chosen.api_address, chosen.api_port)
            self.ready.set()


def build_api(
    backend: Backend, kinds: KindTable, clock: Clock, ids: Ids, settings: RegistrySettings, signer: TokenSigner
) -> ApiParts:
    """`signer` makes the tokens of ServiceAccounts and knows them again."""
    object_format = ObjectFormat(Transformers(settings.transformers))
    cache = WatchCache(backend, kinds, object_format, clock)
    namespaces = NamespaceLifecycle(cache)
    registry = Registry(
        backend=backend,
        cache=cache,
        object_format=object_format,
        strategies=_strategies(cache, ids, settings),
        leases=SharedLeases(backend, clock, settings.event_ttl_s),
        scope_guards=namespaces.guards,
        quotas=Quotas(cache, clock),
        clock=clock,
        ids=ids,
    )
    authorizer = SystemAuthorizer(lambda namespace, name: _node_of_pod(cache, namespace, name))
    usage = UsageBoard()
    authenticator = TokenAuthenticator(cache, signer, clock)
    plugins = (
        namespaces,
        UnsupportedFields(),
        ServiceAccountAdmission(cache, ids),
        LimitRanger(cache),
        PriorityAdmission(cache),
        DefaultTolerations(settings.failing_node_toleration_s),
        RuntimeClassAdmission(cache),
        DefaultClasses(cache),
    )
    api = Chain(
        kinds=kinds,
        registry=registry,
        lister=Lister(cache, backend, object_format),
        cache=cache,
        authorizer=authorizer,
        admission=Admission(plugins),
        reviews=Reviews(authorizer, authenticator),
        metrics=Metrics(usage, cache, clock),
        tokens=TokenIssuer(cache, signer, clock, ids),
        clock=clock,
    )
    return ApiParts(api, cache, authenticator, usage, settings)


def _strategies(cache: WatchCache, ids: Ids, settings: RegistrySettings) -> Strategies:
    services = ServiceStrategy(
        SERVICES,
        addresses=cluster_ip_pool(settings.service_cidr),
        node_ports=node_port_pool(settings.node_port_low, settings.node_port_high),
        taken=cache.internal,
        uniform=ids.uniform,
    )
    own = (
        PodStrategy(PODS, lambda name: cache.exists(NODES, "", name)),
        NamespaceStrategy(NAMESPACES),
        KeepsStatusStrategy(NODES),
        GenerationalStrategy(ENDPOINTSLICES),
        ExpiringStrategy(EVENTS),
        JobStrategy(JOBS),
        GenerationalStrategy(INGRESSCLASSES),
        GenerationalStrategy(NETWORKPOLICIES),
        GenerationalStrategy(PRIORITYCLASSES),
        ProtectedStrategy(PERSISTENTVOLUMES, VOLUME_FINALIZER),
        ProtectedStrategy(PERSISTENTVOLUMECLAIMS, CLAIM_FINALIZER),
        UncountedStrategy(RESOURCEQUOTAS),
        services,
    )
    return Strategies({(strategy.kind.group, strategy.kind.plural): strategy for strategy in own})


def _node_of_pod(cache: WatchCache, namespace: str, name: str) -> str:
    stored = cache.get(PODS, namespace, name)
    return (stored.obj.spec.node_name or "") if stored else ""
