"""What an admission plugin is, and the chain of them: each sees what the one before it made of the object."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from controlplane.registry.interface import RequestContext
from orch.api.kind import Kind
from orch.api.meta import Object

T = TypeVar("T", bound=Object)


class Operation(StrEnum):
    """admission/v1 Operation."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `old` is the present object of an update."""

    context: RequestContext
    operation: Operation
    kind: Kind[Any]
    namespace: str
    name: str
    subresource: str = ""
    old: Object | None = None


class Plugin(Protocol):
    """Raises ApiError to refuse. An object that needs no change comes back as it is."""

    async def admit(self, request: Request, obj: Any) -> Any:
        """`obj` is the new object of a create or update, None for a delete."""


class Admission:
    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)

    async def admit(self, request: Request, obj: T) -> T:
        for plugin in self._plugins:
            obj = await plugin.admit(request, obj)
        return obj

    async def admit_delete(self, request: Request) -> None:
        for plugin in self._plugins:
            await plugin.admit(request, None)
