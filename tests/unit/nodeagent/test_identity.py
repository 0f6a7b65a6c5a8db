"""The node's certificate on its disk: made, kept, renewed, of this cluster only."""

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from nodeagent import grpc_link, identity
from nodeagent.grpc_link import JoinRefused, NodeCertificate
from nodeagent.identity import ensure_certificate, keep_renewed
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


async def test_a_running_node_renews_and_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. a short certificate 2. the disk fails at one check 3. the next check brings a new certificate."""
    monkeypatch.setattr(identity, "RENEWAL_CHECK_PERIOD_S", 0.01)
    server = Server(monkeypatch, days=1)
    first = await ensure(tmp_path)
    server.days, server.errors = 365, [OSError("disk")]
    renewed: asyncio.Queue[NodeCertificate] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_renewed(lambda: ensure(tmp_path), renewed.put_nowait))
        told = await asyncio.wait_for(renewed.get(), 5)
        task.cancel()
    assert told.certificate_pem != first.certificate_pem
    assert server.errors == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, JoinRefused),
        (grpc.StatusCode.PERMISSION_DENIED, JoinRefused),
        (grpc.StatusCode.INVALID_ARGUMENT, JoinRefused),
        (grpc.StatusCode.INTERNAL, LinkLost),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, LinkLost),
        (grpc.StatusCode.UNKNOWN, LinkLost),
    ],
)
async def test_only_a_refusal_is_final(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, expected: type[Exception]
) -> None:
    class Stub:
        def __init__(self, channel: object) -> None: ...

        async def Join(self, request: object, timeout: float) -> None:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "no")

    monkeypatch.setattr(grpc_link, "_make_stub", Stub)
    with pytest.raises(expected, match="no"):
        await grpc_link.join("127.0.0.1:1", CA.cert_pem, "n1", "token", b"csr")
