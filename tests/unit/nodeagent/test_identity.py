"""The node's certificate on its disk: made, kept, renewed, of this cluster only."""

from datetime import timedelta
from pathlib import Path

import pytest

from nodeagent import identity
from nodeagent.grpc_link import JoinRefused, NodeCertificate
from nodeagent.identity import ensure_certificate
from nodeagent.link import LinkLost
from orch.kit.clock import SystemClock
from orch.pki import KeyPair, create_ca, sign_csr

CLOCK = SystemClock()
CA = create_ca("test", now=CLOCK.now())


class Server:
    """Signs for `days`, or raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, ca: KeyPair = CA, days: int = 365) -> None:
        self.errors: list[Exception] = []
        self.joins = 0
        self.ca, self.days = ca, days
        monkeypatch.setattr(identity, "join", self._join)
        monkeypatch.setattr(identity, "JOIN_DELAY_MIN_S", 0.001)

    async def _join(self, target: str, ca_pem: bytes, node: str, token: str, csr_pem: bytes) -> bytes:
        self.joins += 1
        if self.errors:
            raise self.errors.pop(0)
        names = {"common_name": f"system:node:{node}", "organizations": ["system:nodes"]}
        return sign_csr(self.ca, csr_pem, now=CLOCK.now(), days=self.days, **names)


async def ensure(folder: Path, ca: KeyPair = CA) -> NodeCertificate:
    return await ensure_certificate(folder / "pki", "n1", "server:6445", ca.cert_pem, "token", CLOCK)


async def test_a_node_joins_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    assert await ensure(tmp_path) == await ensure(tmp_path)
    assert server.joins == 1
    assert (tmp_path / "pki" / "node.key").stat().st_mode & 0o777 == 0o600


async def test_a_node_waits_for_a_server_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    server.errors = [LinkLost("refused"), LinkLost("refused")]
    await ensure(tmp_path)
    assert server.joins == 3


async def test_a_certificate_that_ends_soon_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, days=(identity.RENEW_BEFORE - timedelta(days=1)).days)
    first = await ensure(tmp_path)
    server.days = 365
    assert (await ensure(tmp_path)).certificate_pem != first.certificate_pem


@pytest.mark.parametrize("error", [LinkLost("down"), JoinRefused("wrong token")])
async def test_a_renewal_that_fails_stops_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    server = Server(monkeypatch, days=1)
    first = await ensure(tmp_path)
    server.errors = [error]
    assert await ensure(tmp_path) == first


async def test_a_certificate_of_another_cluster_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    await ensure(tmp_path)
    other = create_ca("other", now=CLOCK.now())
    await ensure(tmp_path, other)
    assert server.joins == 2
