"""The kinds of the group apps."""

from orch.api.codec import StructCodec
from orch.api.deployment import Deployment, deployment_defaults, validate_deployment, validate_deployment_update
from orch.api.kind import Kind
from orch.api.replicaset import ReplicaSet, replicaset_defaults, validate_replicaset, validate_replicaset_update

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
