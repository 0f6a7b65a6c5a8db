"""The network of a node, put together: pods' links, the way to other nodes, Services, host ports, names.

Fed with Service, EndpointSlice and Node objects by `apply` and `apply_snapshot`; one task (`run`) brings the kernel to
what was applied, whatever was missed before: failures are tried again, and a look every CHECK_PERIOD_S and on every
change of links or routes repairs what somebody else undid. What it made stays when the agent ends (static stability).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

import structlog

from nodeagent.network.dns.answer import Zone
from nodeagent.network.dns.forward import Forwarder
from nodeagent.network.dns.records import ClusterRecords
from nodeagent.network.dns.server import DnsServer, DnsSockets, bind_sockets
from nodeagent.network.errors import NetworkFault
from nodeagent.network.host_ports import HostPorts
from nodeagent.network.link_watch import LinkWatch
from nodeagent.network.node_links import NodeNetworkConfig, prepare, reconcile
from nodeagent.network.overlay import peers, pod_range
from nodeagent.network.pod import RoutedPodNetwork
from nodeagent.network.services.proxy import ServiceProxy
from nodeagent.network.services.ruleset import RulesetConfig
from nodeagent.network.services.table import ServiceTable
from nodeagent.runtime.interface import PodNetwork, PortMapping
from orch.api.endpointslice import EndpointSlice
from orch.api.meta import Object
from orch.api.node import Node
from orch.api.service import Service
from orch.errors import OrchError
from orch.kit.tasks import forever
from orch.kit.threads import in_thread

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=Object)

RETRY_DELAY_S = 1.0
LINK_SETTLE_S = 0.2
CHECK_PERIOD_S = 30.0
RULES_WRITTEN_TIMEOUT_S = 30.0
GATHER_DELAY_S = 0.005
"""Objects that change together (a Service and its slices) arrive together: write them at once."""


IPV6_SYSCTLS = Path("/proc/sys/net/ipv6")

ObjectKey = tuple[str, str, str]
"""Kind, namespace and name."""


class NodeNetwork:
    """Built inside the node's network namespace, with a running loop. One `run` at a time. Implements the runtime's
    PodNetwork."""

    def __init__(
        self,
        config: NodeNetworkConfig,
        run_dir: Path,
        upstreams: Sequence[str],
        on_applied: Callable[[int], None],
    ) -> None:
        self._config = config
        self._on_applied = on_applied
        self._records = ClusterRecords(config.cluster_domain)
        self._table = ServiceTable(config.node_name, str(config.dns_address))
        self._objects: dict[ObjectKey, Object] = {}
        self._pods = RoutedPodNetwork(run_dir, str(config.node_address))
        self._host_ports = HostPorts(run_dir / "host-ports")
        self._awaited: list[asyncio.Future[None]] = []
        """Who waits for what is applied now to be in the kernel."""
        zone = Zone(self._records, (config.cluster_cidr, config.service_cidr))
        own = str(config.dns_address)
        self._dns = DnsServer(zone, Forwarder([server for server in upstreams if server != own]))
        self._sockets: DnsSockets | None = None
        self._proxy: ServiceProxy | None = None
        self._mtu = 0
        self._given = self._applied = 0
        self._wake = asyncio.Event()
        self._links_changed = True

    @property
    def pod_network(self) -> PodNetwork:
        return self

    async def attach(self, pod_uid: str, netns_path: str, ports: Sequence[PortMapping]) -> str:
        """Raises NetworkFault."""
        address = await self._pods.attach(pod_uid, netns_path)
        if ports:
            self._table.apply_host_ports(pod_uid, self._host_ports.publish(pod_uid, address, ports))
            await self._rules_written()
        return address

    async def detach(self, pod_uid: str) -> None:
        """The ports go first: the address may soon be another pod's. Their record goes once they are out of the rules,
        so that a call that is repeated waits for that too."""
        if self._host_ports.has(pod_uid):
            self._table.apply_host_ports(pod_uid, ())
            await self._rules_written()
            self._host_ports.withdraw(pod_uid)
        await self._pods.detach(pod_uid)

    async def _rules_written(self) -> None:
        written = asyncio.get_running_loop().create_future()
        self._awaited.append(written)
        self._wake.set()
        try:
            async with asyncio.timeout(RULES_WRITTEN_TIMEOUT_S):
                await written
        except TimeoutError:
            raise NetworkFault(f"the host ports are not in the rules after {RULES_WRITTEN_TIMEOUT_S} s") from None

    async def start(self, dns_sockets: DnsSockets | None = None) -> None:
        """What pods need before any of them starts. Raises NetworkFault."""
        self._mtu = await in_thread(lambda: prepare(self._config))
        for pod_uid, ports in self._host_ports.load().items():
            self._table.apply_host_ports(pod_uid, ports)
        self._sockets = dns_sockets or bind_sockets(str(self._config.dns_address))

    def apply_snapshot(self, objects: Iterable[Object]) -> None:
        """Replaces everything that is known."""
        wanted = {_key(found): found for found in objects if isinstance(found, Service | EndpointSlice | Node)}
        for key in self._objects.keys() - wanted.keys():
            self.apply(self._objects[key], None)
        for key, new in wanted.items():
            self.apply(self._objects.get(key), new)

    def apply(self, old: Object | None, new: Object | None) -> None:
        """One change. Objects of other kinds are ignored."""
        changed = old or new
        if isinstance(changed, Service):
            self._table.apply_service(_only(Service, old), _only(Service, new))
            self._records.apply_service(_only(Service, old), _only(Service, new))
        elif isinstance(changed, EndpointSlice):
            self._table.apply_slice(_only(EndpointSlice, old), _only(EndpointSlice, new))
            self._records.apply_slice(_only(EndpointSlice, old), _only(EndpointSlice, new))
        elif isinstance(changed, Node):
            self._links_changed = True
        else:
            return
        if old is not None:
            self._objects.pop(_key(old), None)
        if new is not None:
            self._objects[_key(new)] = new
        self._wake.set()

    def reached(self, revision: int) -> None:
        """Everything up to `revision` was applied here; `on_applied` follows when the kernel has it."""
        self._given = max(self._given, revision)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        assert self._sockets is not None, "start() comes first"
        sockets = self._sockets
        with LinkWatch(self._on_link_event):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(forever("dns", lambda: self._dns.run(sockets)))
                tasks.create_task(forever("network", self._follow))

    def close(self) -> None:
        """Sockets only: routes, links and rules stay."""
        if self._sockets is not None:
            self._sockets.close()
        if self._proxy is not None:
            self._proxy.close()

    def _on_link_event(self) -> None:
        if not self._links_changed:
            self._links_changed = True
            # Pods come and go by links too: one look for all that happens meanwhile.
            asyncio.get_running_loop().call_later(LINK_SETTLE_S, self._wake.set)

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            given = self._given
            try:
                awaited = list(self._awaited)
                if await self._sync():
                    self._note_written(awaited, given)
                await self._wait()
            except (OrchError, OSError) as fault:
                log.warning("network_sync_failed", fault=str(fault), retry_in_s=RETRY_DELAY_S)
                self._links_changed = True
                await asyncio.sleep(RETRY_DELAY_S)

    def _note_written(self, awaited: Sequence[asyncio.Future[None]], given: int) -> None:
        for written in awaited:
            self._awaited.remove(written)
            if not written.done():
                written.set_result(None)
        if given > self._applied:
            self._applied = given
            self._on_applied(given)

    async def _wait(self) -> None:
        """For the next change; looks at everything when there is none for long. Raises NetworkFault."""
        try:
            async with asyncio.timeout(CHECK_PERIOD_S):
                await self._wake.wait()
            await asyncio.sleep(GATHER_DELAY_S)
        except TimeoutError:
            self._links_changed = True
            if self._proxy is not None:
                await self._proxy.check()

    async def _sync(self) -> bool:
        """Brings the kernel to what was applied. False while this node has no range for its pods yet."""
        nodes = [found for found in self._objects.values() if isinstance(found, Node)]
        own_name = self._config.node_name
        own_range = next((pod_range(node) for node in nodes if node.metadata.name == own_name), None)
        if own_range is None:
            return False
        if self._links_changed:
            self._links_changed = False
            operations = await in_thread(lambda: reconcile(self._config, own_range, peers(nodes, own_name)))
            if operations:
                log.info("overlay_changed", operations=len(operations), nodes=len(nodes))
        if self._proxy is None:
            self._proxy = ServiceProxy(self._table, self._ruleset_config(own_range))
            self._pods.set_range(own_range, self._mtu)
        await self._proxy.sync()
        return True

    def _ruleset_config(self, own_range: IPv4Network) -> RulesetConfig:
        config = self._config
        return RulesetConfig(
            config.node_address,
            config.cluster_cidr,
            config.service_cidr,
            config.dns_address,
            pod_cidr=own_range,
            ipv6=IPV6_SYSCTLS.exists(),
        )


def _only(kind: type[T], found: Object | None) -> T | None:
    return found if isinstance(found, kind) else None


def _key(found: Object) -> ObjectKey:
    return found.kind, found.metadata.namespace, found.metadata.name
