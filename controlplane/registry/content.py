"""Parts of an object, for typed and untyped objects alike: metadata, status, and all the rest (the desired state)."""

from typing import Any, TypeVar

from msgspec.structs import replace

from orch.api.codec import UntypedObject
from orch.api.meta import Object

T = TypeVar("T", bound=Object)

STATUS = "status"


def with_metadata(obj: T, **changes: Any) -> T:
    return replace(obj, metadata=replace(obj.metadata, **changes))


def with_status_of(obj: T, source: T) -> T:
    """`obj` with the status of `source`; a kind without a status stays as it is."""
    if isinstance(obj, UntypedObject) and isinstance(source, UntypedObject):
        content = {key: value for key, value in obj.content.items() if key != STATUS}
        if STATUS in source.content:
            content[STATUS] = source.content[STATUS]
        return replace(obj, content=content)
    return replace(obj, status=getattr(source, STATUS)) if hasattr(obj, STATUS) else obj


def without_status(obj: T) -> T:
    return with_status_of(obj, type(obj)())


def same_desired_state(new: T, old: T) -> bool:
    """Whether everything but metadata and status is equal: what generation counts."""
    return replace(with_status_of(new, old), metadata=old.metadata) == old
