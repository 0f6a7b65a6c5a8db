"""The columns of deployments and replica sets."""

from datetime import datetime

from controlplane.apiserver.tables.columns import (
    AGE,
    NAME,
    Cell,
    Column,
    Printer,
    container_images,
    container_names,
    created,
    selector,
    wide,
)
from orch.api.deployment import Deployment
from orch.api.replicaset import ReplicaSet

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
