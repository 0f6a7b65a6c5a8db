"""The kinds of the group policy."""

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.metadata import validate_metadata_update
from orch.api.poddisruptionbudget import PodDisruptionBudget, validate_poddisruptionbudget

PODDISRUPTIONBUDGETS: Kind[PodDisruptionBudget] = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    singular="poddisruptionbudget",
    codec=StructCodec(PodDisruptionBudget),
    validate=validate_poddisruptionbudget,
    validate_update=validate_metadata_update,
    short_names=("pdb",),
    subresources=frozenset({"status"}),
)
