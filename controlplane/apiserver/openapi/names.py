"""Names of definitions: those of Kubernetes, since clients look some of them up by name."""

from orch.api.base import ApiStruct

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
CORE = "io.k8s.api.core.v1"

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = f"{META}.Time"
MICRO_TIME = f"{META}.MicroTime"
FIELDS = f"{META}.FieldsV1"
PATCH = f"{META}.Patch"

_PACKAGES = {
    "orch.api.authentication": "io.k8s.api.authentication.v1",
    "orch.api.authorization": "io.k8s.api.authorization.v1",
    "orch.api.meta": META,
    "orch.api.autoscaler": "io.k8s.api.autoscaling.v2",
    "orch.api.autoscaler_v1": "io.k8s.api.autoscaling.v1",
    "orch.api.controllerrevision": "io.k8s.api.apps.v1",
    "orch.api.daemonset": "io.k8s.api.apps.v1",
    "orch.api.statefulset": "io.k8s.api.apps.v1",
    "orch.api.job": "io.k8s.api.batch.v1",
    "orch.api.cronjob": "io.k8s.api.batch.v1",
    "orch.api.poddisruptionbudget": "io.k8s.api.policy.v1",
    "orch.api.deployment": "io.k8s.api.apps.v1",
    "orch.api.events": "io.k8s.api.events.v1",
    "orch.api.replicaset": "io.k8s.api.apps.v1",
    "orch.api.endpointslice": "io.k8s.api.discovery.v1",
    "orch.api.lease": "io.k8s.api.coordination.v1",
}
_RENAMED = {
    "EndpointsPort": f"{CORE}.EndpointPort",
    "Eviction": "io.k8s.api.policy.v1.Eviction",
    "Scale": "io.k8s.api.autoscaling.v1.Scale",
    "ScaleSpec": "io.k8s.api.autoscaling.v1.ScaleSpec",
    "ScaleStatus": "io.k8s.api.autoscaling.v1.ScaleStatus",
}


def struct_name(struct: type[ApiStruct]) -> str:
    """Such as `io.k8s.api.core.v1.PodSpec`."""
    own = _RENAMED.get(struct.__name__)
    return own or f"{_PACKAGES.get(struct.__module__, CORE)}.{struct.__name__}"


def untyped_name(group: str, version: str, kind: str) -> str:
    """Of a kind without types: the group reversed, as Kubernetes names custom resources (`com.example.v1.Widget`)."""
    return ".".join((*reversed(group.split(".")), version, kind))
