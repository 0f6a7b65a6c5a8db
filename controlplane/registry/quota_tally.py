"""How much of a quota the objects of a namespace use, added up anew each time, each object counted once per revision.

Holds nothing that could not be counted again. Decides nothing.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from orch.api import quota_usage
from orch.api.kind import Kind
from orch.api.meta import Object
from orch.api.pod.effective import summed
from orch.api.quota_usage import Amounts
from orch.api.resourcequota import ResourceQuota


class QuotaTally:
    def __init__(self) -> None:
        self._counted: dict[tuple[str, str, str], tuple[object, dict[str, tuple[str, Amounts]]]] = {}
        """(resource, namespace, quota) -> the quota's scopes, and name -> the object's revision and usage."""

    def used(self, quota: ResourceQuota, kind: Kind[Any], objects: Iterable[Object], now: datetime) -> Amounts:
        """`objects`: all of the kind in the quota's namespace."""
        place = _place(quota, kind)
        scopes = (quota.spec.scopes, quota.spec.scope_selector)
        last_scopes, known = self._counted.get(place, (scopes, {}))
        if last_scopes != scopes:
            known = {}
        counted: dict[str, tuple[str, Amounts]] = {}
        for obj in objects:
            metadata = obj.metadata
            entry = known.get(metadata.name)
            # What a pod that ends uses changes with time.
            if entry is None or entry[0] != metadata.resource_version or metadata.deletion_timestamp is not None:
                in_scope = quota_usage.in_scope(quota, obj)
                entry = (metadata.resource_version, quota_usage.usage(kind, obj, now) if in_scope else {})
            counted[metadata.name] = entry
        self._counted[place] = (scopes, counted)
        return summed(amounts for _, amounts in counted.values())

    def knows(self, quota: ResourceQuota, kind: Kind[Any]) -> bool:
        return _place(quota, kind) in self._counted

    def keep(self, exists: Callable[[str, str], bool]) -> None:
        """Forgets the quotas that are gone. `exists`: (namespace, name)."""
        for place in [place for place in self._counted if not exists(*place[1:])]:
            del self._counted[place]

    def forget(self, namespace: str, name: str) -> None:
        """The quota is gone."""
        self.keep(lambda *quota: quota != (namespace, name))


def _place(quota: ResourceQuota, kind: Kind[Any]) -> tuple[str, str, str]:
    return kind.resource, quota.metadata.namespace, quota.metadata.name
