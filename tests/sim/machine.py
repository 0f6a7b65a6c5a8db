"""A machine with an agent: the real agent and pod machines on the fake runtime. Agent and machine can die apart."""

import asyncio
from pathlib import Path

from nodeagent.agent import Agent
from nodeagent.allocations import Allocations
from nodeagent.container_config import NodeFacts
from nodeagent.desired_state import DesiredState
from nodeagent.fake_parts import FakeNetwork, FakeProbes, FakeVolumes
from nodeagent.node_status import Machine, node_object
from nodeagent.outbox import Outbox
from nodeagent.pod_parts import PodParts
from nodeagent.runtime.fake import FakeRuntime, Program
from nodeagent.runtime.fake_images import FakeImages
from nodeagent.runtime.interface import ContainerConfig
from nodeagent.static_pods import StaticPods
from orch.api.node import Node
from orch.kit.clock import Clock
from orch.kit.ids import Ids
from tests.sim.network import Network

CPUS, MEMORY_BYTES = 4.0, 8 << 30
SANDBOX_S, CREATE_S, START_S, PULL_S, STOP_S = 0.005, 0.01, 0.005, 0.1, 0.2


class SimMachine:
    """`agent` runs while `start_agent` was called last; containers outlive it, and end with the machine."""

    def __init__(
        self, number: int, folder: Path, network: Network, clock: Clock, ids: Ids, tasks: asyncio.TaskGroup
    ) -> None:
        self.name, self._address = f"node-{number}", f"192.168.0.{number}"
        self._folder, self._network, self._clock, self._ids, self._tasks = folder, network, clock, ids, tasks
        self._boots = 0
        self._pods_seen: dict[str, None] = {}
        self._agent: asyncio.Task[None] | None = None
        self.runtime = FakeRuntime(
            clock, self._program, subnet=f"10.244.{number}", sandbox_s=SANDBOX_S, create_s=CREATE_S, start_s=START_S
        )
        self._images, self._volumes = FakeImages(pull_s=PULL_S), FakeVolumes()

    @property
    def agent_runs(self) -> bool:
        return self._agent is not None and not self._agent.done()

    def start_agent(self) -> None:
        if not self.agent_runs:
            self._agent = self._tasks.create_task(self._make_agent().run(), name=f"agent-{self.name}")

    async def kill_agent(self) -> None:
        """SIGKILL: containers run on."""
        if self._agent is not None:
            self._agent.cancel()
            await asyncio.wait([self._agent])
            self._agent = None

    async def power_off(self) -> None:
        """Everything that ran is gone; the disk stays."""
        await self.kill_agent()
        self.runtime.reboot()
        self._boots += 1

    def running_uids(self) -> list[str]:
        """Uids of pods with a running container here."""
        return [uid for uid in self._pods_seen if self.runtime.running(uid)]

    def _program(self, config: ContainerConfig) -> Program:
        """What every container does: it runs until it is stopped."""
        self._pods_seen[config.pod_uid] = None
        return Program(stop_s=STOP_S)

    def _make_agent(self) -> Agent:
        desired = DesiredState(self._folder / self.name / "state", self._folder / self.name / "run")
        outbox = Outbox(self.name, desired, self._clock)
        facts = NodeFacts(self.name, self._address, {"cpu": str(int(CPUS)), "memory": str(MEMORY_BYTES)}, MEMORY_BYTES)
        parts = PodParts(
            runtime=self.runtime,
            images=self._images,
            volumes=self._volumes,
            probes=FakeProbes(),
            inputs=desired,
            reports=outbox,
            clock=self._clock,
            node=facts,
            allocations=Allocations(facts.allocatable, self._folder / self.name / "state"),
            pod_logs=self._folder / self.name / "logs",
        )
        return Agent(
            node_name=self.name,
            boot_id=f"{self.name}-boot-{self._boots}",
            version="sim",
            dial=self._network.dialler(self.name),
            desired=desired,
            outbox=outbox,
            parts=parts,
            network=FakeNetwork(outbox.network_applied),
            describe=self._describe,
            ids=self._ids,
            static_pods=StaticPods(None, self.name),
            refuse=lambda pod: None,
        )

    def _describe(self, not_ready: str) -> Node:
        machine = Machine(
            cpus=CPUS, memory_bytes=MEMORY_BYTES, disk_bytes=50 << 30, boot_id=f"{self.name}-boot-{self._boots}",
            machine_id=self.name, system_uuid=self.name, kernel="6.1", os_image="sim", architecture="amd64",
        )  # fmt: skip
        return node_object(self.name, self._address, machine, not_ready=not_ready, runtime="fake://1")
