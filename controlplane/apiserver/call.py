"""One request on a resource, as the handlers see it."""

from typing import Any

import msgspec
from aiohttp.web import BaseRequest

from controlplane.apiserver.negotiation import PLAIN, Wanted
from controlplane.apiserver.paths import ResourcePath
from controlplane.apiserver.query import NO_QUERY, Query
from controlplane.registry.interface import RequestContext
from orch.api.kind import Kind


class Call(msgspec.Struct, frozen=True):
    """Authenticated and routed; nothing of the body is read yet. A Struct, since one is made per request: a frozen
    dataclass of so many fields takes ten times as long."""

    request: BaseRequest
    context: RequestContext
    path: ResourcePath
    kind: Kind[Any]
    query: Query = NO_QUERY
    wanted: Wanted = PLAIN
    warnings: list[str] = msgspec.field(default_factory=list)
    """Filled through `context.warn`; every response carries them."""
