"""The kinds of the group apps."""

from orch.api.codec import StructCodec
from orch.api.controllerrevision import (
    ControllerRevision,
    validate_controllerrevision,
    validate_controllerrevision_update,
)
from orch.api.daemonset import DaemonSet, daemonset_defaults, validate_daemonset, validate_daemonset_update
from orch.api.deployment import Deployment, deployment_defaults, validate_deployment, validate_deployment_update
from orch.api.kind import Kind
from orch.api.replicaset import ReplicaSet, replicaset_defaults, validate_replicaset, validate_replicaset_update
from orch.api.statefulset import (
    StatefulSet,
    statefulset_defaults,
    validate_statefulset,
    validate_statefulset_update,
)

REPLICASETS: Kind[ReplicaSet] = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    singular="replicaset",
    codec=StructCodec(ReplicaSet),
    set_defaults=replicaset_defaults,
    validate=validate_replicaset,
    validate_update=validate_replicaset_update,
    short_names=("rs",),
    categories=("all",),
    subresources=frozenset({"status", "scale"}),
    fields={"status.replicas": lambda replica_set: str(replica_set.status.replicas)},
)

DEPLOYMENTS: Kind[Deployment] = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    singular="deployment",
    codec=StructCodec(Deployment),
    set_defaults=deployment_defaults,
    validate=validate_deployment,
    validate_update=validate_deployment_update,
    short_names=("deploy",),
    categories=("all",),
    subresources=frozenset({"status", "scale"}),
)

STATEFULSETS: Kind[StatefulSet] = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    singular="statefulset",
    codec=StructCodec(StatefulSet),
    set_defaults=statefulset_defaults,
    validate=validate_statefulset,
    validate_update=validate_statefulset_update,
    short_names=("sts",),
    categories=("all",),
    subresources=frozenset({"status", "scale"}),
)

DAEMONSETS: Kind[DaemonSet] = Kind(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    singular="daemonset",
    codec=StructCodec(DaemonSet),
    set_defaults=daemonset_defaults,
    validate=validate_daemonset,
    validate_update=validate_daemonset_update,
    short_names=("ds",),
    categories=("all",),
    subresources=frozenset({"status"}),
)

CONTROLLERREVISIONS: Kind[ControllerRevision] = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    singular="controllerrevision",
    codec=StructCodec(ControllerRevision),
    validate=validate_controllerrevision,
    validate_update=validate_controllerrevision_update,
)
