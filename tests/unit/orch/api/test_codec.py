import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.api.codec import StructCodec, UntypedCodec
from orch.api.kinds import PODS, SECRETS
from orch.errors import BadRequest
from tests.unit.orch.api.objects import SLOW_MACHINE

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}


def test_fast_path_refuses_what_it_does_not_know() -> None:
    with pytest.raises(msgspec.ValidationError):
        PODS.codec.decode(b'{"spec":{"frobnicate":1}}')


def test_lenient_decode_prunes_and_names_unknown_fields() -> None:
    plain = {**POD, "spec": {"frob": 1, "containers": [{"name": "app", "image": None, "imgae": "x"}, None]}}
    decoded = PODS.codec.decode_lenient(json.dumps(plain).encode())
    assert decoded.problems == ('unknown field "spec.frob"', 'unknown field "spec.containers[0].imgae"')
    assert [(c.name, c.image) for c in decoded.obj.spec.containers] == [("app", None), ("", None)]


def test_lenient_decode_names_duplicate_keys_and_takes_the_last() -> None:
    data = b'{"metadata":{"name":"a","name":"b","labels":{"x":"1","x":"2"}}}'
    decoded = PODS.codec.decode_lenient(data)
    assert decoded.problems == ('duplicate field "metadata.name"', 'duplicate field "metadata.labels.x"')
    assert decoded.obj.metadata.name == "b"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": {}}, "spec.containers: expected a list, found an object"),
        ({"containers": [{"ports": [{"containerPort": "x"}]}]}, "spec.containers[0].ports[0].containerPort: expected"),
        ({"containers": [{"ports": [{"containerPort": 2**31}]}]}, "an integer of 32 bits, found the number 2147483648"),
        ({"containers": [{"ports": [{"containerPort": 1.5}]}]}, "found the number 1.5"),
        ({"containers": [{"ports": [{"containerPort": True}]}]}, "found the boolean true"),
        ({"nodeSelector": {"disk": 1}}, "spec.nodeSelector.disk: expected a string, found the number 1"),
        ({"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}, 'cpu: expected a quantity, found the string "1x"'),
        ({"hostNetwork": "yes"}, "spec.hostNetwork: expected a boolean"),
        ([], "spec: expected an object, found a list"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_with_its_place(spec: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        PODS.codec.decode_lenient({**POD, "spec": spec})
    assert refused.value.message.startswith('Pod in version "v1" cannot be handled as a Pod: ')
    assert message in refused.value.message


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"[" * 9999]
)
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        PODS.codec.decode_lenient(text)


def test_times_need_a_zone() -> None:
    with pytest.raises(BadRequest, match=r"metadata\.creationTimestamp: expected an RFC 3339 time"):
        PODS.codec.decode_lenient({"metadata": {"creationTimestamp": "2026-01-01T00:00:00"}})


def test_base64_may_hold_line_breaks_but_no_rubbish() -> None:
    decoded = SECRETS.codec.decode_lenient(b'{"data":{"a":"aGVs\\nbG8="}}')
    assert decoded.obj.data == {"a": b"hello"}
    with pytest.raises(BadRequest, match=r"data\.a: expected a base64 string"):
        SECRETS.codec.decode_lenient(b'{"data":{"a":"%%"}}')


def test_null_is_absent_and_inside_a_map_the_zero_value() -> None:
    decoded = PODS.codec.decode_lenient(b'{"metadata":{"creationTimestamp":null,"labels":{"a":null}},"spec":null}')
    assert decoded.problems == ()
    assert decoded.obj.metadata.labels == {"a": ""}


def test_what_is_always_written_is_written() -> None:
    plain = PODS.codec.to_plain(PODS.codec.decode(b"{}"))
    assert plain == {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": []}, "status": {}}


def test_plain_data_is_lists_and_dicts() -> None:
    plain = PODS.codec.to_plain(PODS.codec.from_plain(POD))
    assert plain["spec"]["containers"] == [{"name": "app", "image": "app:1", "resources": {}}]
    assert PODS.codec.from_plain(plain) == PODS.codec.from_plain(POD)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@SLOW_MACHINE
@given(
    st.dictionaries(
        st.sampled_from(["metadata", "spec", "status", "kind", "x"]),
        json_values | st.dictionaries(st.sampled_from(["name", "labels", "containers", "volumes"]), json_values),
    )
)
def test_any_json_object_is_decoded_or_refused(plain: dict[str, Any]) -> None:
    codec: StructCodec[Any] = StructCodec(PODS.codec.decode(b"{}").__class__)
    try:
        decoded = codec.decode_lenient(json.dumps(plain).encode())
    except BadRequest:
        return
    assert codec.decode(codec.encode(decoded.obj)) == decoded.obj


def test_an_untyped_kind_keeps_what_it_does_not_know() -> None:
    codec = UntypedCodec("example.com/v1", "Widget")
    plain = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": [1, None]}}
    obj = codec.from_plain(plain)
    assert obj.metadata.name == "w"
    assert codec.to_plain(obj) == plain
    assert codec.decode(codec.encode(obj)) == obj


def test_an_untyped_kind_has_typed_metadata() -> None:
    codec = UntypedCodec("example.com/v1", "Widget")
    decoded = codec.decode_lenient(b'{"metadata":{"name":"w","nmae":"x"},"spec":{"a":1,"a":2}}')
    assert decoded.problems == ('unknown field "metadata.nmae"', 'duplicate field "spec.a"')
    with pytest.raises(BadRequest, match=r"metadata\.name: expected a string"):
        codec.decode_lenient(b'{"metadata":{"name":1}}')
