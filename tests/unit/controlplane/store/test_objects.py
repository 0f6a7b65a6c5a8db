import json

import pytest
from structlog.testing import capture_logs

from controlplane.store.backend import Entry
from controlplane.store.objects import Actor, ObjectFormat, encode_stored, moved_to, stored_at
from controlplane.store.transform import Transformers, UnreadableValue
from orch.api.codec import UntypedCodec
from orch.api.kind import Kind
from orch.api.kinds import PODS
from tests.builders import pod

FORMAT = ObjectFormat(Transformers({}))
KEY = "/orch/v1/objects/core/pods/default/web"
WIDGETS = Kind("example.com", "v1", "Widget", "widgets", UntypedCodec("example.com/v1", "Widget"))


def entry(value: bytes, revision: int = 7) -> Entry:
    return Entry(KEY, value, 3, revision, 2)


def test_an_object_comes_back_with_its_revision_and_its_bytes() -> None:
    web = pod("web")
    stored = FORMAT.open(PODS, entry(FORMAT.seal(PODS, KEY, encode_stored(PODS, web), Actor("alice"))))
    assert stored.revision == 7
    assert stored.obj.metadata.resource_version == "7"
    assert PODS.codec.decode(stored.data) == stored.obj
    assert json.loads(stored.data)["metadata"]["resourceVersion"] == "7"


def test_the_stored_form_has_no_resource_version() -> None:
    web = pod("web")
    assert web.metadata.resource_version
    assert "resourceVersion" not in json.loads(encode_stored(PODS, web))["metadata"]


def test_who_wrote_it_is_kept_beside_the_object() -> None:
    value = FORMAT.seal(PODS, KEY, encode_stored(PODS, pod("web")), Actor("alice", "r-1"))
    assert FORMAT.actor(entry(value)) == Actor("alice", "r-1")
    assert b"alice" not in FORMAT.open(PODS, entry(value)).data


def test_the_last_state_of_a_deleted_object_has_the_deletes_revision() -> None:
    stored = stored_at(pod("web"), encode_stored(PODS, pod("web")), 7)
    moved = moved_to(stored, 1234)
    assert (moved.revision, moved.obj.metadata.resource_version) == (1234, "1234")
    assert PODS.codec.decode(moved.data) == moved.obj


def test_an_untyped_object_with_a_template_gets_the_revision_in_its_own_metadata() -> None:
    plain = {"metadata": {"name": "w"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    obj = WIDGETS.codec.from_plain(plain)
    stored = FORMAT.open(WIDGETS, entry(FORMAT.seal(WIDGETS, KEY, encode_stored(WIDGETS, obj), Actor("a"))))
    sent = json.loads(stored.data)
    assert sent["metadata"] == {"name": "w", "resourceVersion": "7"}
    assert sent["spec"] == plain["spec"]


def test_an_object_of_a_newer_version_is_pruned_and_says_so() -> None:
    data = encode_stored(PODS, pod("web")).replace(b'"spec":{', b'"spec":{"fromTheFuture":1,', 1)
    with capture_logs() as logs:
        stored = FORMAT.open(PODS, entry(FORMAT.seal(PODS, KEY, data, Actor("a"))))
    assert stored.obj.metadata.name == "web"
    assert b"fromTheFuture" not in stored.data
    assert [(log["event"], log["problems"]) for log in logs] == [
        ("stored_object_pruned", ('unknown field "spec.fromTheFuture"',))
    ]


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01{}", b'\x01{"actor":{"user":"a"},"object":{"metadata":3}}'])
def test_a_damaged_value_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadableValue, match=KEY):
        FORMAT.open(PODS, entry(value))
