"""LimitRanges: defaults for containers, and bounds for containers, pods and claims. As the plugin LimitRanger."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controlplane.apiserver.admission.plugin import Operation, Request
from controlplane.registry import content, failures
from controlplane.store.cache import WatchCache
from controlplane.store.shelf import Selection
from orch.api import quantity
from orch.api.base import Quantity
from orch.api.kinds import LIMITRANGES, PERSISTENTVOLUMECLAIMS, PODS
from orch.api.limitrange import CLAIM, CONTAINER, POD, LimitRangeItem
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.pod.container import Container
from orch.api.pod.pod_level import limits_of, requests_of
from orch.api.pod.spec import Pod

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Decimal]
Check = Callable[[str, str, Quantity, Amounts, Amounts], str]
"""(type, resource, bound, requests, limits) -> what is wrong, or ""."""


class LimitRanger:
    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    async def admit(self, request: Request, obj: Any) -> Any:
        """A pod's resources change after its creation by a resize alone; a claim may grow. What asks for no other
        amount passes, whatever the bounds are by now: a claim must be able to lose its finalizers."""
        is_new = request.kind is PODS and request.operation is Operation.CREATE
        is_pod = is_new or (request.kind is PODS and request.subresource == "resize")
        is_claim = request.kind is PERSISTENTVOLUMECLAIMS and not request.subresource and _asks_anew(request.old, obj)
        if obj is None or not (is_pod or is_claim) or not (items := self._items(request.namespace)):
            return obj
        if is_new:
            obj = with_defaults(obj, items)
        found = list(pod_problems(obj, items) if is_pod else claim_problems(obj, items))
        if found:
            why = found[0] if len(found) == 1 else f"[{', '.join(dict.fromkeys(found))}]"
            raise failures.forbidden(request.kind, obj.metadata.name, why)
        return obj

    def _items(self, namespace: str) -> list[LimitRangeItem]:
        ranges = self._cache.select(LIMITRANGES, Selection(namespace=namespace))
        return [item for stored in ranges for item in stored.obj.spec.limits]


def _asks_anew(old: Any, claim: PersistentVolumeClaim | None) -> bool:
    if old is None or claim is None:
        return True
    is_going = old.metadata.deletion_timestamp is not None
    return not is_going and old.spec.resources.requests != claim.spec.resources.requests


def with_defaults(pod: Pod, items: Sequence[LimitRangeItem]) -> Pod:
    """Fills what a container does not say, and tells of it in an annotation."""
    limits, requests = _defaults(items)
    notes: list[str] = []
    spec = replace(
        pod.spec,
        containers=tuple(_filled(c, "container", limits, requests, notes) for c in pod.spec.containers),
        init_containers=tuple(
            _filled(c, "init container", limits, requests, notes) for c in pod.spec.init_containers or ()
        ) or pod.spec.init_containers,
    )  # fmt: skip
    if not notes:
        return pod
    annotations = {**(pod.metadata.annotations or {}), ANNOTATION: f"LimitRanger plugin set: {'; '.join(notes)}"}
    return content.with_metadata(replace(pod, spec=spec), annotations=annotations)


def _defaults(items: Iterable[LimitRangeItem]) -> tuple[dict[str, Quantity], dict[str, Quantity]]:
    """Of several ranges the first that names a resource counts."""
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    for item in items:
        if item.type == CONTAINER:
            limits = {**(item.default or {}), **limits}
            requests = {**(item.default_request or {}), **requests}
    return limits, requests


def _filled(
    container: Container, what: str, limits: dict[str, Quantity], requests: dict[str, Quantity], notes: list[str]
) -> Container:
    resources = container.resources
    for field, defaults in (("requests", requests), ("limits", limits)):
        present = getattr(resources, field) or {}
        missing = sorted(defaults.keys() - present.keys())
        if missing:
            notes.append(f"{', '.join(missing)} {field.removesuffix('s')} for {what} {container.name}")
            filled = {**present, **{name: defaults[name] for name in missing}}
            resources = replace(resources, **{field: filled})
    return container if resources is container.resources else replace(container, resources=resources)


def pod_problems(pod: Pod, items: Sequence[LimitRangeItem]) -> Iterator[str]:
    requests = requests_of(pod.spec, lambda container: _amounts(container, "requests"), quantity.parse_map)
    limits = limits_of(pod.spec, lambda container: _amounts(container, "limits"), quantity.parse_map)
    for item in items:
        if item.type == CONTAINER:
            for container in (*pod.spec.containers, *(pod.spec.init_containers or ())):
                yield from _problems(item, _amounts(container, "requests"), _amounts(container, "limits"), _above_max)
        elif item.type == POD:
            yield from _problems(item, requests, limits, _above_max)


def claim_problems(claim: PersistentVolumeClaim, items: Sequence[LimitRangeItem]) -> Iterator[str]:
    requests = quantity.parse_map(claim.spec.resources.requests)
    for item in items:
        if item.type == CLAIM:
            yield from _problems(item, requests, {}, _request_above_max)


def _problems(item: LimitRangeItem, requests: Amounts, limits: Amounts, above_max: Check) -> Iterator[str]:
    checks = ((item.min, _below_min), (item.max, above_max), (item.max_limit_request_ratio, _ratio_problem))
    for bounds, check in checks:
        for name, bound in sorted((bounds or {}).items()):
            if problem := check(item.type, name, bound, requests, limits):
                yield problem


def _below_min(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> str:
    least, rule = quantity.parse(bound), f"minimum {name} usage per {type_} is {bound}"
    if name not in requests:
        return f"{rule}.  No request is specified"
    if requests[name] < least:
        return f"{rule}, but request is {_shown(name, requests)}"
    return f"{rule}, but limit is {_shown(name, limits)}" if limits.get(name, least) < least else ""


def _above_max(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> str:
    most, rule = quantity.parse(bound), f"maximum {name} usage per {type_} is {bound}"
    if name not in limits:
        return f"{rule}.  No limit is specified"
    if limits[name] > most:
        return f"{rule}, but limit is {_shown(name, limits)}"
    return f"{rule}, but request is {_shown(name, requests)}" if requests.get(name, most) > most else ""


def _request_above_max(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> str:
    rule = f"maximum {name} usage per {type_} is {bound}"
    if name not in requests:
        return f"{rule}.  No request is specified"
    return f"{rule}, but request is {_shown(name, requests)}" if requests[name] > quantity.parse(bound) else ""


def _ratio_problem(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> str:
    rule = f"{name} max limit to request ratio per {type_} is {bound}"
    if not requests.get(name):
        return f"{rule}, but no request is specified or request is 0"
    if not limits.get(name):
        return f"{rule}, but no limit is specified or limit is 0"
    ratio = limits[name] / requests[name]
    return f"{rule}, but provided ratio is {ratio:.6f}" if ratio > quantity.parse(bound) else ""


def _shown(name: str, amounts: Amounts) -> str:
    return quantity.shown(name, amounts[name])


def _amounts(container: Container, which: str) -> dict[str, Decimal]:
    return quantity.parse_map(getattr(container.resources, which))
