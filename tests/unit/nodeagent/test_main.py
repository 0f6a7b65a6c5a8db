"""The command line of orch-agent."""

from ipaddress import IPv4Address

import pytest

from nodeagent.main import parse
from nodeagent.supervisor import Inherited

REQUIRED = [
    "--node-name", "n1", "--server", "10.0.0.1:6444", "--join-token-file", "/t", "--ca-file", "/c", "--state-dir", "/s",
    "--run-dir", "/r", "--node-ip", "10.0.0.2", "--cgroup-root", "orch/local/n1",
]  # fmt: skip


def test_the_dns_server_has_the_tenth_address_of_the_service_range() -> None:
    assert parse(REQUIRED).dns_address == IPv4Address("10.96.0.10")
    assert parse([*REQUIRED, "--service-cidr", "10.50.0.0/24"]).dns_address == IPv4Address("10.50.0.10")


def test_without_inherited_it_is_the_supervisor() -> None:
    assert parse(REQUIRED).inherited is None
    assert parse([*REQUIRED, "--inherited", "3,4,5"]).inherited == Inherited(3, 4, 5)


@pytest.mark.parametrize(
    "bad", [["--node-ip", "nowhere"], ["--cluster-cidr", "10.0.0.1/8"], ["--overlay", "magic"], ["--memory", "2Gi"]]
)
def test_bad_usage_is_refused(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([*REQUIRED, *bad])
    assert bad[0] in capsys.readouterr().err


def test_unsafe_sysctls_are_a_list() -> None:
    assert parse(REQUIRED).allowed_unsafe_sysctls == ()
    allowed = parse([*REQUIRED, "--allowed-unsafe-sysctls", "kernel.msg*, net.core.somaxconn"]).allowed_unsafe_sysctls
    assert allowed == ("kernel.msg*", "net.core.somaxconn")
