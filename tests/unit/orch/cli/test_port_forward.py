"""Which ports a command line means."""

from typing import Any

import pytest

from orch.cli.failures import CliError
from orch.cli.port_forward import Port, parse_port, remote_port

POD: dict[str, Any] = {
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}]},
}
SERVICE: dict[str, Any] = {
    "metadata": {"name": "front"},
    "spec": {"ports": [{"name": "web", "port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 9000}]},
}


@pytest.mark.parametrize(
    ("text", "port"),
    [("8080:80", Port(8080, "80")), ("80", Port(80, "80")), (":80", Port(0, "80")), ("http", Port(0, "http"))],
)
def test_ports(text: str, port: Port) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize("text", ["8080:", "x:80", "0:80", "70000:80"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(CliError):
        parse_port(text)


def test_names_and_services_lead_to_the_pods_port() -> None:
    assert remote_port("http", POD, None) == 8080
    assert [remote_port(asked, POD, SERVICE) for asked in ("80", "web", "81")] == [8080, 8080, 9000]
    for asked, service in (("82", SERVICE), ("none", None), ("70000", None)):
        with pytest.raises(CliError):
            remote_port(asked, POD, service)
