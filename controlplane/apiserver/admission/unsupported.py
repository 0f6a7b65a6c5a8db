"""Tells the writer of every field that is stored but not acted on. Refuses nothing: the agent does where it matters."""

from typing import Any

from controlplane.apiserver.admission.plugin import Request
from orch.api.unsupported import warnings_for


class UnsupportedFields:
    """On an update only what the update adds is news."""

    async def admit(self, request: Request, obj: Any) -> Any:
        if obj is None or request.subresource:
            return obj
        warnings = warnings_for(request.kind, obj)
        known = warnings_for(request.kind, request.old) if warnings and request.old is not None else []
        for warning in warnings:
            if warning not in known:
                request.context.warn(warning)
        return obj
