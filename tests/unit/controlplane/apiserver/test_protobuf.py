"""Protobuf bodies, byte by byte. Whole objects are in `tests/contract/test_protobuf.py`."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.protobuf import MAGIC, protobuf_to_json
from orch.errors import BadRequest

DEEP = b"[" * 60_000 + b"]" * 60_000


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def body(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    return MAGIC + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, raw)


def read(kind: str, raw: bytes, api_version: str = "v1") -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(protobuf_to_json(body(kind, raw, api_version)))
    return plain


def test_zeros_are_absent_unless_behind_a_pointer() -> None:
    metadata = field(1, field(1, b"web") + field(3, b"") + field(8, b"") + field(10, 0))
    spec = field(2, field(1, 0) + field(5, 0))
    assert read("Deployment", metadata + spec, "apps/v1") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "deletionGracePeriodSeconds": 0},
        "spec": {"replicas": 0},
    }


def test_numbers_packed_or_not_and_fields_of_newer_versions() -> None:
    groups = field(4, b"\x01\x02") + field(4, 3) + field(99, b"new") + varint(98 << 3 | 1) + bytes(8)
    assert read("Pod", field(2, field(14, groups)))["spec"]["securityContext"] == {"supplementalGroups": [1, 2, 3]}


def test_integers_or_strings() -> None:
    port = field(1, field(3, 80) + field(4, field(1, 0) + field(2, 8080)))
    named = field(1, field(3, 81) + field(4, field(1, 1) + field(3, b"http")))
    unset = field(1, field(3, 82) + field(4, field(1, 0) + field(2, 0)))
    ports = read("Service", field(2, port + named + unset))["spec"]["ports"]
    assert ports == [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "http"}, {"port": 82}]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="json"),
        pytest.param(MAGIC, id="no type"),
        pytest.param(body("Nothing", b""), id="unknown kind"),
        pytest.param(body("Pod", b"\x0a\x7f"), id="cut off"),
        pytest.param(body("Pod", b"\x0b"), id="group"),
        pytest.param(body("Pod", field(1, 1)), id="integer for a message"),
        pytest.param(body("Pod", field(1, field(1, b"\xff"))), id="no UTF-8"),
        pytest.param(body("Pod", b"\x80" * 11), id="endless integer"),
        pytest.param(body("Pod", field(1, field(8, field(1, 2**62)))), id="time out of range"),
        pytest.param(body("Pod", b"") + field(3, b"gzip"), id="encoded"),
        pytest.param(body("ControllerRevision", field(2, field(1, b"{")), "apps/v1"), id="raw that is no JSON"),
        pytest.param(body("ControllerRevision", field(2, field(1, DEEP)), "apps/v1"), id="raw nested too deep"),
        pytest.param(body("Pod", field(1, field(17, field(7, field(1, DEEP))))), id="set of fields nested too deep"),
    ],
)
def test_what_is_malformed_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf_to_json(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(BadRequest):
        read("Pod", raw)
