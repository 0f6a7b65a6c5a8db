"""All controllers of the server, together: their informers, one event recorder, one runner each. Decides nothing."""

import asyncio
from typing import Any

from controlplane.controllers.deployment.reconcile import deployment_controller
from controlplane.controllers.disruption import disruption_controller
from controlplane.controllers.endpoints import endpoints_controller
from controlplane.controllers.endpointslice import endpointslice_controller
from controlplane.controllers.garbage_collector import OwnerGraph, garbage_collector
from controlplane.controllers.namespace import content_watch, namespace_controller
from controlplane.controllers.node_lifecycle import node_lifecycle_controller
from controlplane.controllers.pod_garbage import pod_garbage_controller
from controlplane.controllers.replicaset import replicaset_controller
from controlplane.controllers.resource_quota import resource_quota_controller, usage_watch
from controlplane.controllers.root_ca import root_ca_controller
from controlplane.controllers.runner import Controller, Runner
from controlplane.controllers.service_account import service_account_controller
from controlplane.controllers.storage.claims import claim_controller
from controlplane.controllers.storage.ephemeral import ephemeral_volume_controller
from controlplane.controllers.storage.volumes import volume_controller
from controlplane.controllers.system_namespaces import system_namespaces_controller
from orch.api.kind import Kind, KindTable
from orch.client.client import Client
from orch.client.events import EventRecorder
from orch.client.informer import Informer, Informers
from orch.kit.clock import Clock
from orch.kit.ids import Ids
from orch.kit.tasks import forever

COMPONENT = "controller-manager"


class ControllerManager:
    """`run` is the whole life of the controllers; its owner keeps it as a task. Holds no state worth keeping."""

    def __init__(self, client: Client, kinds: KindTable, clock: Clock, ids: Ids, root_ca: str) -> None:
        """`root_ca` is the PEM of the authority by which pods know the API server."""
        self._client, self._kinds, self._clock, self._root_ca = client, kinds, clock, root_ca
        self._informers = Informers(client)
        self._events = EventRecorder(client, clock, ids, component=COMPONENT)
        self._graph = OwnerGraph(self._informers, kinds)
        self._collector = self._runner(garbage_collector(self._graph, kinds))
        self._namespaces = self._runner(namespace_controller(self._informers, kinds))
        self._quotas = self._runner(resource_quota_controller(self._informers, kinds))
        self._runners = (self._collector, self._namespaces, self._quotas, *map(self._runner, self._others()))
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        forget = self._kinds.on_register(self._kind_registered)
        try:
            async with self._tasks:
                self._tasks.create_task(forever("controller events", self._events.run))
                for informer in self._informers:
                    self._start(informer)
                for runner in self._runners:
                    self._tasks.create_task(runner.run())
        finally:
            forget()

    def _others(self) -> tuple[Controller, ...]:
        informers = self._informers
        return (
            deployment_controller(informers),
            replicaset_controller(informers),
            endpointslice_controller(informers),
            endpoints_controller(informers),
            disruption_controller(informers),
            node_lifecycle_controller(informers, self._clock.now()),
            pod_garbage_controller(informers),
            service_account_controller(informers),
            system_namespaces_controller(informers),
            root_ca_controller(informers, self._root_ca),
            claim_controller(informers),
            volume_controller(informers),
            ephemeral_volume_controller(informers),
        )

    def _runner(self, controller: Controller) -> Runner:
        return Runner(controller, self._informers, self._client, self._clock, self._events)

    def _start(self, informer: Informer[Any]) -> None:
        self._tasks.create_task(forever(f"informer {informer.kind.resource}", informer.run))

    def _kind_registered(self, kind: Kind[Any]) -> None:
        """A kind of its own, at run time: collected and deleted with its namespace like the others."""
        if kind.stored_as is not None or self._informers.has(kind):
            return
        self._collector.add_watch(self._graph.watch(kind))
        if kind.namespaced:
            self._namespaces.add_watch(content_watch(self._informers, kind))
            self._quotas.add_watch(usage_watch(self._informers, kind))
        self._start(self._informers.of(kind))


async def run_controllers(client: Client, kinds: KindTable, clock: Clock, ids: Ids, root_ca: str) -> None:
    """Runs all controllers until cancelled."""
    await ControllerManager(client, kinds, clock, ids, root_ca).run()
