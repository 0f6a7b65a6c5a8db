"""One request on a resource, as the handlers see it."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp.web import BaseRequest

from controlplane.apiserver.negotiation import PLAIN, Wanted
from controlplane.apiserver.paths import ResourcePath
from controlplane.apiserver.query import NO_QUERY, Query
from controlplane.registry.interface import RequestContext
from orch.api.kind import Kind


@dataclass(frozen=True, slots=True)
class Call:
    """Authenticated and routed; nothing of the body is read yet."""

    request: BaseRequest
    context: RequestContext
    path: ResourcePath
    kind: Kind[Any]
    query: Query = NO_QUERY
    wanted: Wanted = PLAIN
    warnings: list[str] = field(default_factory=list)
    """Filled through `context.warn`; every response carries them."""
