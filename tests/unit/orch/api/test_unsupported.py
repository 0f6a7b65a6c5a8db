from typing import Any

import pytest

from orch.api.codec import StructCodec
from orch.api.kind import Kind
from orch.api.kinds import ALL_KINDS, DEPLOYMENTS, PODS, SECRETS, SERVICES
from orch.api.schema import fields_of
from orch.api.unsupported import UNSUPPORTED, blocking_field, warnings_for
from tests.unit.orch.api.objects import container, deployment, made, pod, service

RICH = {
    "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}],
    "preemptionPolicy": "Never",
}


def test_plain_objects_are_fully_supported() -> None:
    assert warnings_for(PODS, pod()) == []
    assert warnings_for(DEPLOYMENTS, deployment()) == []
    assert warnings_for(SERVICES, service(type="NodePort")) == []
    assert warnings_for(SECRETS, made(SECRETS, {})) == []
    assert blocking_field(pod()) is None


def test_a_field_that_is_only_stored_warns_and_does_not_block() -> None:
    wished = pod(preemptionPolicy="Never")
    assert warnings_for(PODS, wished) == ["spec.preemptionPolicy: is stored, but not acted on"]
    assert blocking_field(wished) is None


def test_a_field_that_matters_blocks_and_is_named_with_its_place() -> None:
    nfs = pod(volumes=[{"name": "a"}, *RICH["volumes"]])
    assert blocking_field(nfs) == "spec.volumes[1].nfs"
    assert warnings_for(PODS, nfs) == [
        "spec.volumes[1].nfs: is not supported: containers of the pod do not start",
    ]


def test_templates_warn_at_their_own_paths() -> None:
    spec = {"containers": [container()], "preemptionPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    assert warnings_for(DEPLOYMENTS, deployment(template=template)) == [
        "spec.template.spec.preemptionPolicy: is stored, but not acted on"
    ]


def test_harmless_values_ask_for_what_happens_anyway() -> None:
    assert warnings_for(PODS, pod(hostUsers=True, os={"name": "linux"}, preemptionPolicy="PreemptLowerPriority")) == []
    assert blocking_field(pod(os={"name": "windows"})) == "spec.os.name"


def test_what_a_field_means_may_depend_on_others() -> None:
    for address, refused in (("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("192.0.2.1", False)):
        ports = [{"containerPort": 80, "hostPort": 80, "hostIP": address}]
        blocked = blocking_field(pod(container(ports=ports)))
        assert blocked == ("spec.containers[0].ports[0].hostIP" if refused else None)
        assert blocking_field(pod(container(ports=ports), hostNetwork=True)) is None


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
def test_every_row_names_a_field(kind: Kind[Any]) -> None:
    assert isinstance(kind.codec, StructCodec)
    for row in UNSUPPORTED.get(kind.kind, ()):
        shape = None
        struct = kind.codec.struct
        for step in row.path.split("."):
            if shape is not None and shape.item is not None and shape.item.struct is None:
                break  # a key of a map
            shape = fields_of(struct)[step].shape
            inner = shape.item if shape.item is not None else shape
            struct = inner.struct or struct
