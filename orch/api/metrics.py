"""NodeMetrics and PodMetrics (metrics.k8s.io/v1beta1): what nodes, pods and containers use now. Never stored."""

from typing import Annotated

from orch.api.base import ApiStruct, Time, always, merge_list
from orch.api.meta import Object, ObjectMeta


class NodeMetrics(Object):
    """`window` is the duration over which the processor time was averaged, such as "15s"."""

    api_version: str = always("metrics.k8s.io/v1beta1")
    kind: str = always("NodeMetrics")
    metadata: ObjectMeta = always(ObjectMeta())
    timestamp: Time | None = None
    window: str = always("")
    usage: dict[str, str] = always({})


class ContainerMetrics(ApiStruct):
    name: str = always("")
    usage: dict[str, str] = always({})


class PodMetrics(Object):
    api_version: str = always("metrics.k8s.io/v1beta1")
    kind: str = always("PodMetrics")
    metadata: ObjectMeta = always(ObjectMeta())
    timestamp: Time | None = None
    window: str = always("")
    containers: Annotated[tuple[ContainerMetrics, ...], merge_list("name")] = always(())
