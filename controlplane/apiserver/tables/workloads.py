"""The columns of the kinds that keep pods: deployments, replica sets and the like."""

from datetime import datetime

from controlplane.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    Cell,
    Column,
    Printer,
    container_images,
    container_names,
    created,
    labels,
    selector,
    wide,
)
from orch.api.controllerrevision import ControllerRevision
from orch.api.daemonset import DaemonSet
from orch.api.deployment import Deployment
from orch.api.podtemplate import PodTemplate
from orch.api.replicaset import ReplicaSet
from orch.api.replicationcontroller import ReplicationController
from orch.api.statefulset import StatefulSet

WIDE_COLUMNS = tuple(map(wide, ("Containers", "Images", "Selector")))


def deployment_cells(deployment: Deployment, now: datetime) -> list[Cell]:
    spec, status = deployment.spec, deployment.status
    containers = spec.template.spec.containers
    return [
        deployment.metadata.name,
        f"{status.ready_replicas or 0}/{spec.replicas or 0}",
        status.updated_replicas or 0,
        status.available_replicas or 0,
        created(deployment, now),
        container_names(containers),
        container_images(containers),
        selector(spec.selector),
    ]


def replica_set_cells(replica_set: ReplicaSet, now: datetime) -> list[Cell]:
    spec, status = replica_set.spec, replica_set.status
    containers = spec.template.spec.containers
    return [
        replica_set.metadata.name,
        spec.replicas or 0,
        status.replicas,
        status.ready_replicas or 0,
        created(replica_set, now),
        container_names(containers),
        container_images(containers),
        selector(spec.selector),
    ]


def replication_controller_cells(controller: ReplicationController, now: datetime) -> list[Cell]:
    spec, status = controller.spec, controller.status
    containers = spec.template.spec.containers if spec.template else ()
    return [
        controller.metadata.name,
        spec.replicas or 0,
        status.replicas,
        status.ready_replicas or 0,
        created(controller, now),
        container_names(containers),
        container_images(containers),
        labels(spec.selector),
    ]


def stateful_set_cells(stateful_set: StatefulSet, now: datetime) -> list[Cell]:
    containers = stateful_set.spec.template.spec.containers
    return [
        stateful_set.metadata.name,
        f"{stateful_set.status.ready_replicas or 0}/{stateful_set.spec.replicas or 0}",
        created(stateful_set, now),
        container_names(containers),
        container_images(containers),
    ]


def daemon_set_cells(daemon_set: DaemonSet, now: datetime) -> list[Cell]:
    spec, status = daemon_set.spec, daemon_set.status
    containers = spec.template.spec.containers
    return [
        daemon_set.metadata.name,
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        status.updated_number_scheduled or 0,
        status.number_available or 0,
        labels(spec.template.spec.node_selector),
        created(daemon_set, now),
        container_names(containers),
        container_images(containers),
        selector(spec.selector),
    ]


def controller_revision_cells(revision: ControllerRevision, now: datetime) -> list[Cell]:
    return [revision.metadata.name, _controller_of(revision), revision.revision, created(revision, now)]


def _controller_of(revision: ControllerRevision) -> str:
    """`statefulset.apps/web`."""
    owner = next((ref for ref in revision.metadata.owner_references or () if ref.controller), None)
    if owner is None:
        return NONE
    group = owner.api_version.rpartition("/")[0]
    return f"{owner.kind.lower()}{f'.{group}' if group else ''}/{owner.name}"


def pod_template_cells(template: PodTemplate, now: datetime) -> list[Cell]:
    containers = template.template.spec.containers
    return [
        template.metadata.name,
        container_names(containers),
        container_images(containers),
        labels(template.template.metadata.labels),
    ]


DEPLOYMENTS = Printer(
    (
        NAME,
        Column("Ready", description="Ready replicas of wanted replicas."),
        Column("Up-to-date", "integer", description="Replicas made from the current template."),
        Column("Available", "integer", description="Replicas that have been ready long enough."),
        AGE,
        *WIDE_COLUMNS,
    ),
    deployment_cells,
)
REPLICASETS = Printer(
    (
        NAME,
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        AGE,
        *WIDE_COLUMNS,
    ),
    replica_set_cells,
)
REPLICATIONCONTROLLERS = Printer(REPLICASETS.columns, replication_controller_cells)
STATEFULSETS = Printer(
    (NAME, Column("Ready", description="Ready replicas of wanted replicas."), AGE, *WIDE_COLUMNS[:2]),
    stateful_set_cells,
)
DAEMONSETS = Printer(
    (
        NAME,
        Column("Desired", "integer", description="Nodes that should have a pod."),
        Column("Current", "integer", description="Nodes that should have a pod and do."),
        Column("Ready", "integer"),
        Column("Up-to-date", "integer"),
        Column("Available", "integer"),
        Column("Node Selector"),
        AGE,
        *WIDE_COLUMNS,
    ),
    daemon_set_cells,
)
CONTROLLERREVISIONS = Printer(
    (NAME, Column("Controller"), Column("Revision", "integer"), AGE), controller_revision_cells
)
PODTEMPLATES = Printer((NAME, Column("Containers"), Column("Images"), Column("Pod Labels")), pod_template_cells)
