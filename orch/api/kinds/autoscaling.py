"""The kinds of the group autoscaling: one kind in two versions, stored as v2."""

from orch.api import autoscaler, autoscaler_v1
from orch.api.autoscaler_rules import validate_autoscaler
from orch.api.codec import StructCodec
from orch.api.kind import Kind, StoredAs
from orch.api.metadata import validate_metadata_update

HORIZONTALPODAUTOSCALERS: Kind[autoscaler.HorizontalPodAutoscaler] = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    codec=StructCodec(autoscaler.HorizontalPodAutoscaler),
    set_defaults=autoscaler.autoscaler_defaults,
    validate=validate_autoscaler,
    validate_update=validate_metadata_update,
    short_names=("hpa",),
    categories=("all",),
    subresources=frozenset({"status"}),
)

HORIZONTALPODAUTOSCALERS_V1: Kind[autoscaler_v1.HorizontalPodAutoscaler] = Kind(
    group="autoscaling",
    version="v1",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    codec=StructCodec(autoscaler_v1.HorizontalPodAutoscaler),
    short_names=("hpa",),
    categories=("all",),
    subresources=frozenset({"status"}),
    stored_as=StoredAs(HORIZONTALPODAUTOSCALERS, autoscaler_v1.to_v2, autoscaler_v1.from_v2),
)
