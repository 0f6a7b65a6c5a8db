"""The API types against the models of the Python `kubernetes` package of the version that we present.

Every field known there is modelled here under the same JSON name and with the same shape, transitively, and the other
way round; fields that the API requires are the fields that are always written.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from kubernetes import client

from orch.api.authentication import TokenRequest
from orch.api.autoscaler import HorizontalPodAutoscaler as AutoscalerV2
from orch.api.base import ApiStruct
from orch.api.event import Event as CoreEvent
from orch.api.events import Event
from orch.api.kinds import ALL_KINDS, REVIEW_KINDS
from orch.api.meta import DeleteOptions, Status
from orch.api.schema import Form, Shape, fields_of
from orch.api.subresources import Binding, Eviction, Scale

MODELS: dict[type[ApiStruct], Any] = {
    CoreEvent: client.CoreV1Event,
    Event: client.EventsV1Event,
    AutoscalerV2: client.V2HorizontalPodAutoscaler,
    TokenRequest: client.AuthenticationV1TokenRequest,
}
"""Those that are not named as our struct with a V1 before."""
ROOTS: list[type[ApiStruct]] = [
    *(kind.codec.struct for kind in (*ALL_KINDS, *REVIEW_KINDS)),
    Binding, TokenRequest, Eviction, Scale, DeleteOptions, Status,
]  # fmt: skip

ABSENT_THOUGH_REQUIRED = {
    ("V1Condition", "lastTransitionTime"),
    ("V1ScaleIOVolumeSource", "secretRef"),
    ("V1ScaleIOPersistentVolumeSource", "secretRef"),
    ("EventsV1Event", "eventTime"),
    ("EventsV1EventSeries", "lastObservedTime"),
}
"""(model, field): Kubernetes writes null when there is none; we write nothing."""


def model_of(root: type[ApiStruct]) -> Any:
    return MODELS.get(root) or getattr(client, f"V1{root.__name__}")


def pairs() -> Iterator[tuple[type[ApiStruct], Any]]:
    """Every struct that is reachable from a kind, with the package's model of it."""
    waiting: list[tuple[type[ApiStruct], Any]] = [(root, model_of(root)) for root in ROOTS]
    seen: set[tuple[type[ApiStruct], Any]] = set()
    while waiting:
        pair = waiting.pop()
        if pair in seen:
            continue
        seen.add(pair)
        yield pair
        struct, model = pair
        for name, text in model_fields(model).items():
            inner = innermost(fields_of(struct)[name].shape) if name in fields_of(struct) else None
            if inner is not None:
                waiting.append((inner, getattr(client, re.sub(r"^list\[(.*)\]$|^dict\(str, (.*)\)$", r"\1\2", text))))


def innermost(shape: Shape) -> type[ApiStruct] | None:
    while shape.item is not None:
        shape = shape.item
    return shape.struct


@cache
def model_fields(model: Any) -> dict[str, str]:
    return {model.attribute_map[attribute]: text for attribute, text in model.openapi_types.items()}


@cache
def required_fields(model: Any) -> frozenset[str]:
    return frozenset(
        json_name
        for attribute, json_name in model.attribute_map.items()
        if "must not be `None`" in inspect.getsource(getattr(model, attribute).fset)
    )


PAIRS = sorted(set(pairs()), key=lambda pair: pair[0].__name__)


@pytest.mark.parametrize(("struct", "model"), PAIRS, ids=lambda value: value.__name__)
def test_fields_are_those_of_kubernetes(struct: type[ApiStruct], model: Any) -> None:
    assert set(fields_of(struct)) == set(model_fields(model))


@pytest.mark.parametrize(("struct", "model"), PAIRS, ids=lambda value: value.__name__)
def test_shapes_are_those_of_kubernetes(struct: type[ApiStruct], model: Any) -> None:
    wrong = {
        name: (fields_of(struct)[name].shape, text)
        for name, text in model_fields(model).items()
        if not fits(fields_of(struct)[name].shape, text)
    }
    assert not wrong


def fits(shape: Shape, text: str) -> bool:
    """Whether a shape is what the package calls e.g. `list[V1Container]`."""
    if text.startswith("list["):
        return shape.form is Form.LIST and shape.item is not None and fits(shape.item, text[5:-1])
    if text.startswith("dict("):
        return shape.form is Form.MAP and shape.item is not None and fits(shape.item, text[len("dict(str, ") : -1])
    by_text = {
        "str": {Form.STRING, Form.QUANTITY, Form.BYTES},
        "int": {Form.INTEGER},
        "bool": {Form.BOOLEAN},
        "datetime": {Form.TIME, Form.MICRO_TIME},
        "object": {Form.INT_OR_STRING, Form.ANY, Form.RAW, Form.MAP},
    }
    return shape.form in by_text.get(text, {Form.STRUCT})


@pytest.mark.parametrize(("struct", "model"), PAIRS, ids=lambda value: value.__name__)
def test_what_the_api_requires_is_always_written(struct: type[ApiStruct], model: Any) -> None:
    always = {name for name, field in fields_of(struct).items() if field.always}
    absent = {name for owner, name in ABSENT_THOUGH_REQUIRED if owner == model.__name__}
    assert required_fields(model) - always == absent
    scalars = {name for name in always - required_fields(model) if fields_of(struct)[name].shape.struct is None}
    assert scalars <= {"apiVersion", "kind"}
