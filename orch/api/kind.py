"""What a kind is: the data that everything generic (registry, cache, selectors, garbage collector, CLI) works with.

A `Kind` says how objects of a kind are named, addressed, coded, defaulted and validated. Nothing generic ever asks for
a class: a kind registered at run time with an untyped codec works with every verb.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from orch.api.meta import Object
from orch.errors import Cause

T = TypeVar("T", bound=Object)


class Decoded(NamedTuple, Generic[T]):
    """An object and what was odd about its text: `unknown field "spec.foo"`, `duplicate field "spec.replicas"`."""

    obj: T
    problems: tuple[str, ...] = ()


class Codec(Protocol[T]):
    """Between JSON bytes, plain data (dicts, lists, scalars) and objects."""

    def decode(self, data: bytes) -> T:
        """Raises msgspec.ValidationError for an unknown field or a wrong type, msgspec.DecodeError for bad JSON."""

    def encode(self, obj: T) -> bytes: ...

    def from_plain(self, plain: Mapping[str, Any]) -> T:
        """Raises msgspec.ValidationError."""

    def to_plain(self, obj: T) -> dict[str, Any]:
        """Fresh dicts and lists, as the JSON text would give them."""

    def decode_lenient(self, source: bytes | Mapping[str, Any]) -> Decoded[T]:
        """JSON text or plain data, nulls and unknown fields pruned. Raises BadRequest for what is no JSON object or
        has a wrong type; the message says where."""


@dataclass(frozen=True, slots=True)
class StoredAs(Generic[T]):
    """That a kind is another form of a stored kind: one object, served under several group-versions.

    Both functions are pure and lose nothing: an object that is read in one form and written back unchanged is unchanged
    in every form. `to_stored` raises BadRequest for what has no stored form.
    """

    kind: "Kind[Any]"
    to_stored: Callable[[T], Any]
    from_stored: Callable[[Any], T]


OBJECT_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def _unchanged(obj: T) -> T:
    return obj


def _no_causes(obj: T) -> Sequence[Cause]:
    return ()


def _no_update_causes(new: T, old: T) -> Sequence[Cause]:
    return ()


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One kind of object. Functions are pure; `validate*` return every cause, not the first only."""

    group: str
    version: str
    kind: str
    plural: str
    codec: Codec[T]
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    """Of status, scale, binding, eviction, log, exec, ...: what this kind serves beside itself."""
    set_defaults: Callable[[T], T] = _unchanged
    validate: Callable[[T], Sequence[Cause]] = _no_causes
    validate_update: Callable[[T, T], Sequence[Cause]] = _no_update_causes
    """(new, old): immutable fields and forbidden transitions; `validate` runs on the new object as well."""
    fields: Mapping[str, Callable[[T], str]] = field(default_factory=dict)
    """Field selectors beyond metadata.name and metadata.namespace: path -> value."""
    stored_as: StoredAs[T] | None = None
    """None: stored as it is. Else defaults, rules and strategy are those of the stored kind; `validate` of what is
    created in this form and `validate_update` say only what this form demands beyond them."""
    created_by_put: bool = False
    """Whether a PUT of an object that is not there creates it (Kubernetes' AllowCreateOnUpdate)."""
    verbs: tuple[str, ...] = OBJECT_VERBS
    """What may be done with its objects. A kind that lacks some is kept nowhere: reviews, which ask the server
    something and are answered at once, and metrics, which are made when they are read."""

    deprecated: str = ""
    """The warning that every request on it gets: `v1 Endpoints is deprecated in v1.33+; use ...`."""

    @property
    def virtual(self) -> bool:
        """Kept nowhere."""
        return self.verbs != OBJECT_VERBS

    @property
    def stored(self) -> "Kind[Any]":
        """The kind that the store, the cache, admission and controllers see."""
        return self if self.stored_as is None else self.stored_as.kind

    def to_stored(self, obj: T) -> Any:
        return obj if self.stored_as is None else self.stored_as.to_stored(obj)

    def from_stored(self, obj: Any) -> T:
        return obj if self.stored_as is None else self.stored_as.from_stored(obj)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`pods`, `deployments.apps`: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class KindTable:
    """The kinds that a server (or the CLI) knows. Passed in, changeable at run time."""

    def __init__(self, kinds: Sequence[Kind[Any]] = ()) -> None:
        self._by_resource: dict[tuple[str, str, str], Kind[Any]] = {}
        self._by_kind: dict[tuple[str, str], Kind[Any]] = {}
        self._listeners: list[Callable[[Kind[Any]], None]] = []
        for kind in kinds:
            self.register(kind)

    def register(self, kind: Kind[Any]) -> None:
        self._by_resource[kind.group, kind.version, kind.plural] = kind
        self._by_kind[kind.api_version, kind.kind] = kind
        for listener in tuple(self._listeners):
            listener(kind)

    def on_register(self, listener: Callable[[Kind[Any]], None]) -> Callable[[], None]:
        """Tells `listener` of every kind that is registered from now on, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def by_resource(self, group: str, version: str, plural: str) -> Kind[Any] | None:
        return self._by_resource.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind[Any] | None:
        return self._by_kind.get((api_version, kind))

    def __iter__(self) -> Iterator[Kind[Any]]:
        """Every served form. The versions of a group are in the order of preference."""
        return iter(tuple(self._by_resource.values()))

    def stored(self) -> Iterator[Kind[Any]]:
        """Each kind of object that can exist once."""
        return (kind for kind in self if kind.stored_as is None and not kind.virtual)
