"""Names of definitions: those of Kubernetes, since clients look some of them up by name."""

from collections.abc import Mapping

from orch.api.base import ApiStruct
from orch.api.codec import StructCodec
from orch.api.kinds import ALL_KINDS

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
CORE = "io.k8s.api.core.v1"

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = f"{META}.Time"
MICRO_TIME = f"{META}.MicroTime"
FIELDS = f"{META}.FieldsV1"
PATCH = f"{META}.Patch"


def package(group: str, version: str) -> str:
    """`networking.k8s.io`, `v1` -> `io.k8s.api.networking.v1`."""
    if group == "metrics.k8s.io":
        return f"io.k8s.metrics.pkg.apis.metrics.{version}"
    return f"io.k8s.api.{group.removesuffix('.k8s.io').partition('.')[0] or 'core'}.{version}"


_PACKAGES: Mapping[str, str] = {
    **{
        kind.codec.struct.__module__: package(kind.group, kind.version)
        for kind in ALL_KINDS
        if isinstance(kind.codec, StructCodec)
    },
    "orch.api.authentication": package("authentication.k8s.io", "v1"),
    "orch.api.authorization": package("authorization.k8s.io", "v1"),
    "orch.api.metrics": package("metrics.k8s.io", "v1beta1"),
    "orch.api.meta": META,
}
"""Module -> package: the types beside a kind are named as the kind is; all others are of core."""
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
