from orch.api.change import change, each, fill, fill_zero
from orch.api.pod.container import ContainerPort


def test_the_same_object_comes_back_when_nothing_changes() -> None:
    port = ContainerPort(container_port=80, protocol="TCP")
    assert fill(port, protocol="UDP") is port
    assert change(port, protocol=port.protocol) is port
    ports = (port,)
    assert each(ports, lambda item: item) is ports
    assert each(ports, lambda item: change(item, name="x"))[0].name == "x"
    assert port.name is None


def test_fill_respects_zero_and_fill_zero_does_not() -> None:
    port = ContainerPort(host_port=0)
    assert fill(port, host_port=5) is port
    assert fill_zero(port, host_port=5).host_port == 5
    assert fill_zero(port, host_port=0) is port
