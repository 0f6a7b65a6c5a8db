"""What every API type is made of: the struct base, field helpers, and the scalar types of the Kubernetes API.

A type states each field once. Whatever the codec, patches, server-side apply and OpenAPI must know about a field
beyond its Python type stands on the field, as a `ListRule`, in `Annotated`.

Conventions (they hold for every module of this package):

- An optional field is `X | None = None`; JSON null means absent.
- A field that Kubernetes always writes is declared with `always(zero)`: it may be absent on input, never on output.
- Sequences are tuples and structs are frozen: cached objects are shared and never changed in place.
- Python names are the JSON names in snake case; acronyms that camel-casing would spoil carry an explicit `name`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform

import msgspec

T = TypeVar("T")

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1, extra_json_schema={"format": "int32"})]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1, extra_json_schema={"format": "int64"})]
"""The widths of the API's integers: a number that does not fit is refused when it is read."""

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with seconds (metav1.Time). Writers truncate to whole seconds."""

MicroTime = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z")]
"""RFC 3339 with six fractional digits (metav1.MicroTime). A string, since Go clients require all six digits."""

IntOrString = int | str
"""A port number or name, a count or a percentage (intstr.IntOrString)."""

QUANTITY_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,9})?\Z"

Quantity = Annotated[str, msgspec.Meta(pattern=QUANTITY_PATTERN)] | int | float
"""A resource amount as written by the user; `orch.api.quantity` parses it and gives the canonical text."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class ApiStruct(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,
    rename="camel",
):
    """Base of every API type. `gc=False` is safe: API objects are trees, never cyclic."""

    is_atomic: ClassVar[bool] = False
    """Server-side apply owns and replaces it whole (x-kubernetes-map-type: atomic): references and selectors."""


@dataclass(frozen=True, slots=True)
class ListRule:
    """How a list or map field merges (x-kubernetes-patch-*, -list-* and -map-type of the Kubernetes OpenAPI).

    A field without a rule: lists are replaced whole, maps and structs merge by key.
    """

    patch_key: str = ""
    """JSON name of the key that strategic merge matches items by; empty: items are scalars or the field is a struct."""
    keys: tuple[str, ...] = ()
    """JSON names of the keys of an associative list (server-side apply); empty: a set."""
    key_defaults: tuple[tuple[str, str], ...] = ()
    """What a key is where an item leaves it out."""
    retain_keys: bool = False
    """Strategic merge sends `$retainKeys`: keys not named by the patch are cleared (unions)."""
    is_list: bool = True
    merges: bool = True
    """Whether strategic merge merges the list too."""
    is_atomic: bool = False
    """Server-side apply owns and replaces the field whole."""

    @property
    def list_type(self) -> str:
        """x-kubernetes-list-type."""
        if self.is_atomic:
            return "atomic"
        return "map" if self.keys else "set"


def merge_list(
    patch_key: str,
    *,
    keys: tuple[str, ...] = (),
    key_defaults: tuple[tuple[str, str], ...] = (),
    retain_keys: bool = False,
    is_atomic: bool = False,
) -> msgspec.Meta:
    """An associative list: items with the same key are the same item. `is_atomic`: for strategic merge only."""
    rule = ListRule(
        patch_key=patch_key,
        keys=keys or (patch_key,),
        key_defaults=key_defaults,
        retain_keys=retain_keys,
        is_atomic=is_atomic,
    )
    return _rule(rule)


def merge_set() -> msgspec.Meta:
    """A list of scalars that merges as a set."""
    return _rule(ListRule())


def apply_list(*keys: str) -> msgspec.Meta:
    """An associative list for server-side apply; strategic merge replaces it."""
    return _rule(ListRule(keys=keys, merges=False))


def apply_set() -> msgspec.Meta:
    """A set for server-side apply; strategic merge replaces it."""
    return _rule(ListRule(merges=False))


def atomic_map() -> msgspec.Meta:
    """A map that server-side apply replaces whole."""
    return _rule(ListRule(is_list=False, merges=False, is_atomic=True))


def retain_keys() -> msgspec.Meta:
    """A union struct: a strategic merge clears the members that the patch does not name."""
    return _rule(ListRule(retain_keys=True, is_list=False))


def _rule(rule: ListRule) -> msgspec.Meta:
    return msgspec.Meta(extra={"list_rule": rule})


def always(value: T, *, name: str | None = None) -> T:
    """A field that is optional on input and written on output even when it holds `value`.

    `omit_defaults` compares with plain defaults only, so a default made by a factory is always encoded.
    """
    field: Any = msgspec.field(default_factory=lambda: value, name=name)
    return field  # type: ignore[no-any-return]
