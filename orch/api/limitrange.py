"""LimitRange (core/v1): bounds and defaults of what one container, pod or claim may ask for."""

from collections.abc import Mapping, Sequence

from orch.api import quantity
from orch.api.base import ApiStruct, Quantity, always
from orch.api.causes import Causes
from orch.api.change import change, each
from orch.api.formats import label_key_problem
from orch.api.meta import Object, ObjectMeta
from orch.api.metadata import metadata_rules
from orch.api.pod.resource_rules import OVERCOMMITTABLE, STANDARD_RESOURCES
from orch.errors import Cause


class LimitRangeItem(ApiStruct):
    default: dict[str, Quantity] | None = None
    default_request: dict[str, Quantity] | None = None
    max: dict[str, Quantity] | None = None
    max_limit_request_ratio: dict[str, Quantity] | None = None
    min: dict[str, Quantity] | None = None
    type: str = always("")


class LimitRangeSpec(ApiStruct):
    limits: tuple[LimitRangeItem, ...] = always(())


class LimitRange(Object):
    api_version: str = always("v1")
    kind: str = always("LimitRange")
    metadata: ObjectMeta = always(ObjectMeta())
    spec: LimitRangeSpec = always(LimitRangeSpec())


CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"
STORAGE = "storage"
Amounts = Mapping[str, Quantity]


def limitrange_defaults(limit_range: LimitRange) -> LimitRange:
    spec = limit_range.spec
    return change(limit_range, spec=change(spec, limits=each(spec.limits, _item_defaults)))


def _item_defaults(item: LimitRangeItem) -> LimitRangeItem:
    """For containers: a missing default limit is the max; a missing default request that limit, else the min."""
    item = change(
        item,
        default=quantity.canonical_map(item.default),
        default_request=quantity.canonical_map(item.default_request),
        max=quantity.canonical_map(item.max),
        max_limit_request_ratio=quantity.canonical_map(item.max_limit_request_ratio),
        min=quantity.canonical_map(item.min),
    )
    if item.type != CONTAINER:
        return item
    limits = {**(item.max or {}), **(item.default or {})}
    requests = {**(item.min or {}), **limits, **(item.default_request or {})}
    return change(
        item,
        default=item.default if limits == (item.default or {}) else limits,
        default_request=item.default_request if requests == (item.default_request or {}) else requests,
    )


def validate_limitrange(limit_range: LimitRange) -> Sequence[Cause]:
    causes = Causes()
    metadata_rules(causes, limit_range.metadata)
    types: set[str] = set()
    for index, item in enumerate(limit_range.spec.limits):
        path = f"spec.limits[{index}]"
        _type_rules(causes, f"{path}.type", item.type)
        if item.type in types:
            causes.duplicate(f"{path}.type", item.type)
        types.add(item.type)
        _item_rules(causes, path, item)
    return causes.found


def _type_rules(causes: Causes, path: str, name: str) -> None:
    if problem := label_key_problem(name):
        causes.invalid(path, name, problem)
    elif "/" not in name and name not in (CONTAINER, POD, CLAIM):
        causes.invalid(path, name, "must be a standard limit type or fully qualified")


def _item_rules(causes: Causes, path: str, item: LimitRangeItem) -> None:
    named = {
        "max": item.max,
        "min": item.min,
        "default": item.default,
        "defaultRequest": item.default_request,
        "maxLimitRequestRatio": item.max_limit_request_ratio,
    }
    for field, amounts in named.items():
        if item.type == POD and field in ("default", "defaultRequest"):
            if amounts:
                causes.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in amounts or {}:
            _resource_rules(causes, f"{path}.{field}[{name}]", item.type, name)
    if item.type == CLAIM and STORAGE not in (item.min or {}) and STORAGE not in (item.max or {}):
        causes.required(
            f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
        )
    for name in sorted({name for amounts in named.values() for name in amounts or {}}):
        _order_rules(causes, path, item, name)
        _overcommit_rules(causes, f"{path}.defaultRequest[{name}]", item, name)
        _ratio_rules(causes, f"{path}.maxLimitRequestRatio[{name}]", item, name)


def _resource_rules(causes: Causes, path: str, limit_type: str, name: str) -> None:
    causes.check(path, name, label_key_problem(name))
    if limit_type in (CONTAINER, POD) and "/" not in name and not STANDARD_RESOURCES.fullmatch(name):
        causes.invalid(path, name, "must be a standard resource for containers")


def _order_rules(causes: Causes, path: str, item: LimitRangeItem, name: str) -> None:
    """min <= default request <= default limit <= max."""
    steps = (
        ("min", "min value", item.min),
        ("defaultRequest", "default request value", None if item.type == POD else item.default_request),
        ("default", "default limit value", None if item.type == POD else item.default),
        ("max", "max value", item.max),
    )
    given = [(field, words, amounts[name]) for field, words, amounts in steps if amounts and name in amounts]
    for index, (field, words, amount) in enumerate(given):
        for other_field, other_words, other in given[index + 1 :]:
            if quantity.parse(amount) > quantity.parse(other):
                at = other_field if field == "min" and other_field != "max" else field
                shown = other if at == other_field else amount
                causes.invalid(f"{path}.{at}[{name}]", shown, f"{words} {amount} is greater than {other_words} {other}")


def _overcommit_rules(causes: Causes, path: str, item: LimitRangeItem, name: str) -> None:
    """What cannot be overcommitted (huge pages, devices) is requested as it is limited."""
    request, limit = (item.default_request or {}).get(name), (item.default or {}).get(name)
    if name in OVERCOMMITTABLE or item.type == POD or request is None or limit is None:
        return
    if quantity.parse(request) != quantity.parse(limit):
        causes.invalid(path, request, f"default value {limit} must equal to defaultRequest value {request} in {name}")


def _ratio_rules(causes: Causes, path: str, item: LimitRangeItem, name: str) -> None:
    ratio = (item.max_limit_request_ratio or {}).get(name)
    if ratio is None:
        return
    if quantity.parse(ratio) < 1:
        causes.invalid(path, ratio, f"ratio {ratio} is less than 1")
    low, high = (item.min or {}).get(name), (item.max or {}).get(name)
    if low is not None and high is not None and quantity.parse(low) > 0:
        widest = quantity.parse(high) / quantity.parse(low)
        if quantity.parse(ratio) > widest:
            causes.invalid(path, ratio, f"ratio {ratio} is greater than max/min = {widest:f}")
