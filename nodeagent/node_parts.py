"""The composition root of a node: the only place that builds the agent's parts, from the command line's options.

Order matters: the certificate before what needs it; what already runs is adopted by the runtime before the agent looks.
"""

import argparse
import asyncio
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog

from nodeagent.agent import Agent
from nodeagent.allocatable import PodsCgroups, eviction_reserve, pods_share, system_reserve, without
from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.desired_state import DesiredState
from nodeagent.grpc_link import GrpcDialer, NodeCertificate
from nodeagent.identity import CA_FILE, CERTIFICATE_FILE, KEY_FILE, ensure_certificate, keep_renewed
from nodeagent.images.manifest import this_platform
from nodeagent.images.registries import Registries
from nodeagent.images.registry import RegistryAccess
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageStore
from nodeagent.log_rotation import LogRotation
from nodeagent.network.dns.resolv_conf import ResolvConf, read_resolv_conf
from nodeagent.network.dns.server import DnsSockets
from nodeagent.network.node_links import NodeNetworkConfig
from nodeagent.network.node_network import NodeNetwork
from nodeagent.network.overlay import Mode
from nodeagent.node_status import (
    NodeShare,
    capacity,
    memory_available_bytes,
    node_object,
    read_machine,
)
from nodeagent.outbox import Outbox
from nodeagent.pod_admission import refusal
from nodeagent.pod_events import EndPod
from nodeagent.pod_parts import PodParts
from nodeagent.pressure import Level
from nodeagent.pressure_parts import IMAGES_FOLDER, eviction_policy, image_garbage, image_policy, pressure_relief
from nodeagent.pressure_relief import NodeConditions
from nodeagent.probes.prober import Prober
from nodeagent.runtime.cgroups import Cgroups, Layout
from nodeagent.runtime.interface import Resources
from nodeagent.runtime.runtime import CrunRuntime
from nodeagent.runtime.usage import working_set_bytes
from nodeagent.shutdown import ShutdownPeriod
from nodeagent.static_pods import StaticPods
from nodeagent.usage_reporter import UsageReporter
from nodeagent.volumes.pod_files import PodDns
from nodeagent.volumes.volumes import Volumes
from orch.api.node import Node
from orch.api.pod.spec import Pod
from orch.errors import OrchError
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from orch.kit.tasks import forever

log = structlog.get_logger(__name__)

VERSION = "0.1.0"
CPU_PERIOD_US = 100_000
PKI_FOLDER = "pki"
RESOLV_CONF = Path("/etc/resolv.conf")
RUNTIME_VERSION = "crun://1"


class SupervisorGone(OrchError):
    """The supervisor has ended; so must the agent, or its successor would find the node taken."""


class MachineGoesDown(OrchError):
    """The pods have ended, and so must the agent."""


class NodeParts:
    def __init__(self, options: argparse.Namespace, layout: Layout) -> None:
        self._options, self._clock, self._ids = options, SystemClock(), SystemIds()
        self._layout, self._cgroups = layout, Cgroups(layout)
        self._eviction_policy, self._image_policy = eviction_policy(options), image_policy(options)
        self._conditions = NodeConditions()
        share = NodeShare(options.cpus, options.memory)
        self._machine = read_machine(share, options.state_dir)
        amounts = capacity(self._machine)
        self._pods_share = pods_share(amounts, system_reserve(options.system_reserved))
        self._facts = NodeFacts(
            options.node_name,
            str(options.node_ip),
            without(self._pods_share, eviction_reserve(amounts, self._eviction_policy.thresholds)),
            self._machine.memory_bytes,
            options.cluster_domain,
            pod_pids_max=options.pod_pids_limit if options.pod_pids_limit > 0 else None,
            memory_qos=options.memory_qos,
        )
        self._pods_cgroups = PodsCgroups(options.cgroup_root, self._cgroups)
        self._desired = DesiredState(options.state_dir, options.run_dir)
        self._outbox = Outbox(options.node_name, self._desired, self._clock)
        self._period = ShutdownPeriod(options.shutdown_grace_period, options.shutdown_grace_period_critical)
        self.power_fails = asyncio.Event()

    async def run(self) -> None:
        options = self._options
        self._limit_node()
        dialer = GrpcDialer(options.server, await self._certificate())
        resolv_conf = read_resolv_conf(RESOLV_CONF)
        network = self._network(resolv_conf)
        inherited = options.inherited
        await network.start(_dns_sockets(inherited.dns_udp, inherited.dns_tcp))
        images = self._images()
        await _collect_garbage(images)
        async with self._runtime(network, images) as runtime, asyncio.TaskGroup() as group:
            prober = Prober(runtime, group, self._clock, self._ids)
            volumes = self._volumes(dialer, resolv_conf)
            agent = self._agent(runtime, images, prober, network, dialer, volumes)
            group.create_task(forever("tokens", volumes.keep_tokens_fresh))
            group.create_task(forever("persistent-volumes", volumes.persistent.run))
            group.create_task(_supervisor_ends(inherited.alive))
            group.create_task(self._power_fails(agent))
            renewal = partial(keep_renewed, self._certificate, partial(setattr, dialer, "certificate"))
            group.create_task(forever("certificate", renewal))
            group.create_task(forever("log-rotation", LogRotation(runtime, self._clock).run))
            usage = UsageReporter(runtime, self._clock, agent.pod_name, self._outbox.usage)
            group.create_task(forever("usage", usage.run))
            self._keep_from_running_short(group, runtime, images, agent, volumes)
            group.create_task(forever("network", network.run))
            group.create_task(forever("agent", agent.run))

    async def _power_fails(self, agent: Agent) -> None:
        """Raises MachineGoesDown once the pods have ended."""
        await self.power_fails.wait()
        if self._period.total_s:
            await agent.shut_down(self._period)
        raise MachineGoesDown("the machine goes down")

    def _limit_node(self) -> None:
        """The node's share of the machine, in its cgroup; pods live below it."""
        cpus, memory = self._options.cpus, self._options.memory
        quota_us = round(cpus * CPU_PERIOD_US) if cpus else None
        self._cgroups.create(
            self._options.cgroup_root, Resources(cpu_quota_us=quota_us, memory_limit_bytes=memory or None)
        )
        self._pods_cgroups.limit(self._pods_share)

    async def _certificate(self) -> NodeCertificate:
        options = self._options
        address, _, port = options.server.rpartition(":")
        return await ensure_certificate(
            options.state_dir / PKI_FOLDER,
            options.node_name,
            f"{address}:{int(port) + 1}",
            options.ca_file.read_bytes(),
            options.join_token_file.read_text().strip(),
            self._clock,
        )

    def _images(self) -> NodeImages:
        options, pki = self._options, self._options.state_dir / PKI_FOLDER
        mirror = RegistryAccess(
            options.registry,
            ca_file=str(pki / CA_FILE),
            cert_file=str(pki / CERTIFICATE_FILE),
            key_file=str(pki / KEY_FILE),
        )
        self._store = ImageStore(str(options.state_dir / IMAGES_FOLDER))
        registries = Registries(options.registries_dir, options.insecure_registry)
        return NodeImages(
            self._store, this_platform(), mirror=mirror if options.registry else None, lookup=registries.access
        )

    def _network(self, resolv_conf: ResolvConf) -> NodeNetwork:
        options = self._options
        config = NodeNetworkConfig(
            node_name=options.node_name,
            node_address=options.node_ip,
            cluster_cidr=options.cluster_cidr,
            service_cidr=options.service_cidr,
            dns_address=options.dns_address,
            cluster_domain=options.cluster_domain,
            mode=Mode(options.overlay),
        )
        return NodeNetwork(config, options.run_dir, resolv_conf.nameservers, self._outbox.network_applied)

    def _runtime(self, network: NodeNetwork, images: NodeImages) -> CrunRuntime:
        options = self._options
        return CrunRuntime(
            run_dir=str(options.run_dir),
            state_dir=str(options.state_dir),
            cgroup_root=options.cgroup_root,
            network=network.pod_network,
            images=images,
            cgroups=self._cgroups,
            clock=self._clock,
        )

    def _volumes(self, dialer: GrpcDialer, resolv_conf: ResolvConf) -> Volumes:
        options = self._options
        dns = PodDns(str(options.dns_address), options.cluster_domain, resolv_conf)
        return Volumes(
            options.state_dir,
            options.run_dir,
            self._desired,
            self._facts,
            dns,
            dialer.issue_token,
            self._clock,
            self._outbox.volume,
        )

    def _agent(
        self,
        runtime: CrunRuntime,
        images: NodeImages,
        prober: Prober,
        network: NodeNetwork,
        dialer: GrpcDialer,
        volumes: Volumes,
    ) -> Agent:
        options = self._options
        allocations = Allocations(self._facts.allocatable, options.state_dir)
        allocations.watch(self._pods_cgroups.pods_changed)
        parts = PodParts(
            runtime=runtime,
            images=images,
            volumes=volumes,
            probes=prober,
            inputs=self._desired,
            reports=self._outbox,
            clock=self._clock,
            node=self._facts,
            allocations=allocations,
            pod_logs=options.state_dir / "logs" / "pods",
        )
        agent = Agent(
            node_name=options.node_name,
            boot_id=self._machine.boot_id,
            version=VERSION,
            dial=dialer,
            desired=self._desired,
            outbox=self._outbox,
            parts=parts,
            network=network,
            describe=self._describe,
            ids=self._ids,
            static_pods=StaticPods(options.static_pods, options.node_name),
            refuse=lambda pod: self._refusal(pod, [running for running, _ in agent.workers.active_pods()]),
        )
        return agent

    def _refusal(self, pod: Pod, running: Sequence[Pod]) -> EndPod | None:
        return self._conditions.refusal(pod) or refusal(pod, running, self._options.allowed_unsafe_sysctls)

    def _describe(self, not_ready: str) -> Node:
        options = self._options
        return node_object(
            options.node_name,
            str(options.node_ip),
            self._machine,
            not_ready=not_ready,
            runtime=RUNTIME_VERSION,
            pressures=self._conditions.current,
            allocatable=self._facts.allocatable,
            images=self._store.images(),
        )

    def _keep_from_running_short(
        self, group: asyncio.TaskGroup, runtime: CrunRuntime, images: NodeImages, agent: Agent, volumes: Volumes
    ) -> None:
        garbage = image_garbage(self._image_policy, self._options.state_dir, images, runtime, self._outbox, self._clock)
        relief = pressure_relief(
            self._eviction_policy,
            self._options,
            self._layout,
            lambda: Level(self._memory_available_bytes(), self._machine.memory_bytes),
            conditions=self._conditions,
            runtime=runtime,
            pods=agent.workers,
            images=garbage,
            empty_dirs=volumes.empty_dir_usage,
            outbox=self._outbox,
            tell_node=agent.tell_node,
            clock=self._clock,
        )
        group.create_task(forever("image-garbage", garbage.run))
        group.create_task(forever("node-pressure", relief.run))

    def _memory_available_bytes(self) -> int:
        """Of the node's share, by its cgroup; of the machine, when the node has all of it."""
        if not self._options.memory:
            return memory_available_bytes()
        return self._machine.memory_bytes - working_set_bytes(self._cgroups, self._options.cgroup_root)


async def _collect_garbage(images: NodeImages) -> None:
    """A disk that refuses costs space, not the node."""
    try:
        await images.collect_garbage()
    except OSError as error:
        log.warning("image_garbage_stays", error=str(error))


def _dns_sockets(udp: int, tcp: int) -> DnsSockets:
    sockets = DnsSockets(socket.socket(fileno=udp), socket.socket(fileno=tcp))
    sockets.udp.setblocking(False)
    sockets.tcp.setblocking(False)
    return sockets


async def _supervisor_ends(alive: int) -> None:
    """Raises SupervisorGone when the pipe's other end is closed."""
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(alive, gone.set)
    await gone.wait()
    os.close(alive)
    raise SupervisorGone("the supervisor has ended")
