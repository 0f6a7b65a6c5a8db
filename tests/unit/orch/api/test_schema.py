from orch.api.deployment import DeploymentSpec
from orch.api.meta import ObjectMeta
from orch.api.node import DaemonEndpoint
from orch.api.pod.container import Container
from orch.api.pod.spec import PodSpec
from orch.api.schema import Form, fields_of


def test_shapes() -> None:
    fields = fields_of(PodSpec)
    assert fields["hostIPC"].attribute == "host_ipc"
    assert fields["terminationGracePeriodSeconds"].shape.bits == 64
    assert fields["overhead"].shape.item is not None
    assert fields["overhead"].shape.item.form is Form.QUANTITY
    assert fields["containers"].shape.item is not None
    assert fields["containers"].shape.item.struct is Container
    assert fields_of(DaemonEndpoint)["Port"].shape.bits == 32
    assert fields_of(ObjectMeta)["creationTimestamp"].shape.form is Form.TIME


def test_rules_and_what_is_always_written() -> None:
    fields = fields_of(PodSpec)
    volumes = fields["volumes"].rule
    assert volumes is not None
    assert (volumes.patch_key, volumes.retain_keys) == ("name", True)
    assert fields["tolerations"].rule is None
    strategy = fields_of(DeploymentSpec)["strategy"].rule
    assert strategy is not None
    assert not strategy.is_list
    assert [name for name, field in fields.items() if field.always] == ["containers"]
