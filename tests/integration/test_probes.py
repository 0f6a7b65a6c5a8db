"""Probes against real servers on loopback, and the prober's timing."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from nodeagent.pod_events import ProbeKind, ProbeResult
from nodeagent.pod_parts import ProbeTarget
from nodeagent.probes.checks import Outcome, check
from nodeagent.probes.http import unverified_tls
from nodeagent.probes.prober import Prober
from nodeagent.runtime.fake import FakeRuntime, Program
from nodeagent.runtime.interface import ContainerState, ContainerStatus, ExecResult, NoSuchContainer
from orch.api.meta import ObjectMeta
from orch.api.pod.container import (
    Container,
    ContainerPort,
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    HTTPHeader,
    Probe,
    TCPSocketAction,
)
from orch.api.pod.spec import Pod
from orch.kit.clock import SystemClock
from orch.kit.ids import SeededIds
from orch.pki import create_ca

HERE = "127.0.0.1"
TLS = unverified_tls()


class Runtime(FakeRuntime):
    """Answers exec and status as the test says; everything else is the fake's."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), lambda config: Program())
        self.results: list[ExecResult | Exception] = []
        self.asked: list[Sequence[str]] = []
        self.age_s = 0.0

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        self.asked.append(command)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result

    async def container_status(self, container_id: str) -> ContainerStatus:
        clock = SystemClock()
        began, began_s = clock.now() - timedelta(seconds=self.age_s), clock.monotonic() - self.age_s
        return ContainerStatus(
            container_id, "u-1", "main", 0, "sha256:0", ContainerState.RUNNING, began, began, started_s=began_s
        )


GOOD, BAD = ExecResult(0, b""), ExecResult(1, b"not yet")


def target(**container: object) -> ProbeTarget:
    made = Container(name="main", **container)  # type: ignore[arg-type]
    return ProbeTarget(Pod(metadata=ObjectMeta(name="p", uid="u-1")), made, 0, "c-1", HERE)


@asynccontextmanager
async def server(*replies: str, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """Gives each request the next reply, the last one for ever; what was asked."""
    left, asked = list(replies), []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        reply = left.pop(0) if len(left) > 1 else left[0]
        writer.write(reply.encode())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, HERE, 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1], asked


def status(code: int, extra: str = "") -> str:
    return f"HTTP/1.1 {code} Whatever\r\n{extra}Content-Length: 0\r\n\r\n"


def http(port: int | str, **fields: object) -> Probe:
    return Probe(http_get=HTTPGetAction(port=port, **fields), timeout_seconds=1)  # type: ignore[arg-type]


async def checked(probe: Probe, at: ProbeTarget | None = None, runtime: Runtime | None = None) -> Outcome:
    return await check(probe, at or target(), runtime or Runtime(), TLS)


@pytest.mark.parametrize(("code", "healthy"), [(200, True), (204, True), (399, True), (400, False), (503, False)])
async def test_the_status_decides(code: int, healthy: bool) -> None:
    async with server(status(code)) as (port, _):
        outcome = await checked(http(port))
    assert outcome.healthy is healthy
    assert outcome.message == ("" if healthy else f"HTTP probe failed with statuscode: {code}")


async def test_the_request_is_what_the_probe_says() -> None:
    headers = (HTTPHeader(name="Host", value="shop.example"), HTTPHeader(name="X-One", value="1"))
    async with server(status(200)) as (port, asked):
        named = target(ports=(ContainerPort(name="web", container_port=port),))
        await checked(http("web", path="/healthz?deep=1", http_headers=headers), named)
    lines = asked[0].split("\r\n")
    assert lines[0] == "GET /healthz?deep=1 HTTP/1.1"
    assert {"Host: shop.example", "X-One: 1", "User-Agent: kube-probe/1.34"} <= set(lines)


async def test_a_redirect_is_followed_on_the_same_host_only() -> None:
    async with server(status(302, "Location: /next\r\n"), status(500)) as (port, asked):
        assert (await checked(http(port))).healthy is False
        assert asked[1].startswith("GET /next ")
    async with server(status(302, "Location: http://elsewhere.example/\r\n")) as (port, asked):
        assert (await checked(http(port))).healthy is True
        assert len(asked) == 1
    async with server(status(302, "Location: /\r\n")) as (port, _):
        outcome = await checked(http(port))
    assert "stopped after 10 redirects" in outcome.message


async def test_what_does_not_answer_is_unhealthy_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, HERE, 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        assert await checked(http(port)) == Outcome(False, "no answer within 1s")
    refused = await checked(http(port, path="/x"))
    assert refused.message.startswith(f'Get "http://127.0.0.1:{port}/x": ')
    assert "Connect call failed" in refused.message or "refused" in refused.message


async def test_what_is_no_http_is_unhealthy() -> None:
    async with server("SSH-2.0-whatever\r\n\r\n") as (port, _):
        outcome = await checked(http(port))
    assert "which is no HTTP" in outcome.message


async def test_https_needs_no_certificate_that_can_be_verified(tmp_path: Path) -> None:
    made = create_ca("nobody knows", now=datetime.now(UTC))
    (tmp_path / "both.pem").write_bytes(made.cert_pem + made.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "both.pem")
    async with server(status(200), context=context) as (port, _):
        assert (await checked(http(port, scheme="HTTPS"))).healthy is True
        assert (await checked(http(port))).healthy is False


async def test_a_tcp_probe_connects() -> None:
    async with server(status(200)) as (port, _):
        assert (await checked(Probe(tcp_socket=TCPSocketAction(port=port)))).healthy is True
    outcome = await checked(Probe(tcp_socket=TCPSocketAction(port=port)))
    assert outcome.healthy is False
    assert outcome.message.startswith(f"dial tcp 127.0.0.1:{port}: ")


@pytest.mark.parametrize(("answer", "healthy"), [(b"\x08\x01", True), (b"\x08\x02", False), (b"", False)])
async def test_a_grpc_probe_asks_the_health_service(answer: bytes, healthy: bool) -> None:
    asked = []

    async def reply(request: bytes, context: object) -> bytes:
        asked.append(request)
        return answer

    method = grpc.unary_unary_rpc_method_handler(reply)
    handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
    health = grpc.aio.server()
    health.add_generic_rpc_handlers((handler,))
    port = health.add_insecure_port(f"{HERE}:0")
    await health.start()
    try:
        outcome = await checked(Probe(grpc=GRPCAction(port=port, service="shop"), timeout_seconds=2))
    finally:
        await health.stop(None)
    assert (outcome.healthy, asked) == (healthy, [b"\x0a\x04shop"])


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (GOOD, Outcome(True)),
        (BAD, Outcome(False, "not yet")),
        (TimeoutError(), Outcome(False, 'command "is it" timed out after 1s')),
        (NoSuchContainer("container c-1 does not exist"), Outcome(None, "container c-1 does not exist")),
    ],
)
async def test_an_exec_probe_runs_a_command(result: ExecResult | Exception, outcome: Outcome) -> None:
    runtime = Runtime()
    runtime.results = [result]
    assert await checked(Probe(exec=ExecAction(command=("is", "it"))), runtime=runtime) == outcome


class Watched:
    """A prober at work on one container, and what it told."""

    def __init__(self, runtime: Runtime, **container: object) -> None:
        self.runtime = runtime
        self.target = target(**container)
        self.told: list[tuple[ProbeKind, bool]] = []
        self.undecided: list[str] = []
        """Failures that decided nothing."""

    async def during(self, seconds: float) -> list[tuple[ProbeKind, bool]]:
        def tell(result: ProbeResult) -> None:
            if result.decided:
                self.told.append((result.probe, result.healthy))
            else:
                self.undecided.append(result.message)

        async with asyncio.TaskGroup() as tasks:
            prober = Prober(self.runtime, tasks, SystemClock(), SeededIds(1))
            prober.start(self.target, tell)
            await asyncio.sleep(seconds)
            prober.stop("u-1", "main")
            prober.stop("u-1", "main")
        return self.told


def probe(**fields: int) -> Probe:
    return Probe(exec=ExecAction(command=("check",)), period_seconds=1, **fields)


async def test_a_container_that_needs_a_moment_is_ready_long_before_the_next_period() -> None:
    runtime = Runtime()
    runtime.results = [BAD, BAD, GOOD]
    assert await Watched(runtime, readiness_probe=probe()).during(0.5) == [(ProbeKind.READINESS, True)]


async def test_liveness_and_readiness_wait_for_startup() -> None:
    runtime = Runtime()
    runtime.results = [BAD, GOOD]
    watched = Watched(runtime, startup_probe=probe(), liveness_probe=probe(), readiness_probe=probe())
    told = await watched.during(0.5)
    assert told[0] == (ProbeKind.STARTUP, True)
    assert sorted(told[1:]) == [(ProbeKind.LIVENESS, True), (ProbeKind.READINESS, True)]


async def test_a_failed_liveness_is_told_once_and_ends_its_probe() -> None:
    runtime = Runtime()
    runtime.results = [BAD]
    assert await Watched(runtime, liveness_probe=probe(failure_threshold=1)).during(1.3) == [
        (ProbeKind.LIVENESS, False)
    ]
    assert len(runtime.asked) == 1


async def test_a_failure_below_the_threshold_is_told_and_decides_nothing() -> None:
    runtime = Runtime()
    runtime.results = [BAD]
    watched = Watched(runtime, liveness_probe=probe(failure_threshold=2))
    assert await watched.during(1.3) == [(ProbeKind.LIVENESS, False)]
    assert watched.undecided == ["not yet"]


async def test_the_first_probe_waits_for_its_delay_counted_from_the_containers_start() -> None:
    runtime = Runtime()
    runtime.results, runtime.age_s = [GOOD], 0.8
    watched = Watched(runtime, readiness_probe=probe(initial_delay_seconds=1))
    assert await watched.during(0.1) == []
    assert await watched.during(0.4) == [(ProbeKind.READINESS, True)]


async def test_what_is_not_known_changes_no_verdict() -> None:
    runtime = Runtime()
    runtime.results, runtime.age_s = [GOOD, NoSuchContainer("gone for a moment")], 0.5
    assert await Watched(runtime, readiness_probe=probe(failure_threshold=1)).during(1.3) == [
        (ProbeKind.READINESS, True)
    ]
    assert len(runtime.asked) == 2
