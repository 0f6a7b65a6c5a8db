"""orch-server: the composition root of the control plane, the only place that builds its parts.

`orch-server init` makes certificates, tokens and the admin's kubeconfig; `orch-server run` runs API server, scheduler,
controllers and nodeplane in one process. Every part gets the API as a `Client` with an identity of its own.
"""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop

from controlplane.apiserver.server import ApiServer
from controlplane.apiserver.settings import ServerSettings, TlsFiles
from controlplane.controllers.all import ControllerManager
from controlplane.identity import ServerFiles
from controlplane.nodeplane.join import Joiner
from controlplane.nodeplane.nodeplane import NodePlane
from controlplane.nodeplane.server import NodePlaneServer, ServerTls
from controlplane.nodeplane.settings import NodePlaneSettings
from controlplane.registry.assembly import ApiParts, RegistrySettings, build_api
from controlplane.registry.interface import User
from controlplane.registry.local_client import LocalClient
from controlplane.scheduler.loop import Scheduler
from controlplane.setup import Setup, initialize
from controlplane.store.compaction import Compactor, keep_nothing
from controlplane.store.etcd import EtcdBackend, EtcdTls, open_channel
from controlplane.store.etcd_upkeep import EtcdUpkeep
from controlplane.store.transform import AesGcm
from controlplane.tokens.signer import TokenSigner
from orch.api.kind import KindTable
from orch.api.kinds import builtin_kinds
from orch.errors import OrchError
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from orch.kit.logs import configure_logs
from orch.kit.tasks import forever

log = structlog.get_logger(__name__)

GC_THRESHOLDS = (50_000, 50, 100)
"""A full collection with 10,000 cached pods costs 0.2-0.4 s: run it rarely."""

ETCD_QUOTA_BYTES = 2 * 1024**3
"""etcd's own default."""

SCHEDULER = User("system:kube-scheduler")
CONTROLLERS = User("system:kube-controller-manager")
NODEPLANE = User("system:orch-nodeplane")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The command line of `orch-server run`."""

    state_dir: Path
    bind: tuple[str, ...]
    advertise_address: str
    port: int
    node_port: int
    etcd: tuple[str, ...]
    etcd_quota_bytes: int
    service_cidr: str
    cluster_cidr: str
    node_port_low: int
    node_port_high: int
    debug: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 stopped by a signal or done, 1 failed (one line on stderr), 2 bad usage."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "init":
            return _init(args)
        settings = _run_settings(args)
        configure_logs(json=not sys.stderr.isatty(), debug=settings.debug)
        with suppress(asyncio.CancelledError):
            uvloop.run(_run(settings))
    except (OrchError, OSError) as failure:
        return _failed(failure)
    except ExceptionGroup as failures:
        return _failed(_first(failures))
    return 0


def _failed(failure: BaseException) -> int:
    print(f"orch-server: {failure}", file=sys.stderr)
    return 1


def _init(args: argparse.Namespace) -> int:
    setup = Setup(args.state_dir, args.cluster_name, args.advertise_address, args.port, tuple(args.san))
    for made in initialize(setup, now=datetime.now(UTC)):
        print(f"made {made}")
    return 0


async def _run(settings: RunSettings) -> None:
    """Until SIGTERM or SIGINT. A part that fails takes the process down: its supervisor starts it again."""
    _cancel_on_signals()
    clock, ids, files = SystemClock(), SystemIds(), ServerFiles(settings.state_dir)
    tls = EtcdTls(ca=files.etcd_ca, certificate=files.etcd_client.cert_pem, key=files.etcd_client.key_pem)
    channel = open_channel(settings.etcd, tls)
    backend = EtcdBackend(channel)
    kinds = builtin_kinds()
    signer = TokenSigner(files.service_account_key, api_url=_api_url(settings))
    api = build_api(backend, kinds, clock, ids, _registry_settings(settings, files), signer)
    try:
        await backend.revision()  # an etcd that does not answer is told at once, not retried for ever
        async with asyncio.TaskGroup() as group:
            group.create_task(forever("api", api.run))
            group.create_task(forever("compactor", Compactor(backend, clock, keep_nothing).run))
            group.create_task(forever("etcd_upkeep", EtcdUpkeep(channel, settings.etcd_quota_bytes).run))
            await api.ready.wait()
            await _start_parts(group, settings, files, api, backend, kinds, signer)
    finally:
        await backend.close()


async def _start_parts(
    group: asyncio.TaskGroup,
    settings: RunSettings,
    files: ServerFiles,
    api: ApiParts,
    backend: EtcdBackend,
    kinds: KindTable,
    signer: TokenSigner,
) -> None:
    """Everything that stands on the API. The ports open last, when there is somebody to answer."""
    clock, ids = SystemClock(), SystemIds()
    scheduler = Scheduler(LocalClient(api.api, SCHEDULER, ids), clock, ids)
    controllers = ControllerManager(
        LocalClient(api.api, CONTROLLERS, ids), kinds, clock, ids, files.ca.cert_pem.decode()
    )
    nodeplane = NodePlane(LocalClient(api.api, NODEPLANE, ids), clock, ids, _node_settings(settings, files), api.usage)
    node_server = _node_server(settings, files, nodeplane, clock)
    api_server = ApiServer(
        api=api.api,
        kinds=kinds,
        streams=nodeplane.streams,
        clock=clock,
        ids=ids,
        settings=_server_settings(settings),
        token_user=api.authenticator.token_user,
        documents=signer.documents(),
        checks={"etcd": lambda: _store_check(backend), "cache": lambda: _cache_check(api)},
    )
    group.create_task(forever("scheduler", scheduler.run))
    group.create_task(forever("controllers", controllers.run))
    group.create_task(forever("nodeplane", nodeplane.run))
    group.create_task(forever("nodeplane_server", node_server.run))
    group.create_task(forever("apiserver", api_server.serve))
    await node_server.started.wait()
    await api_server.started.wait()
    _settle_garbage_collector()
    log.info("server_started", port=settings.port, node_port=settings.node_port)


def _api_url(settings: RunSettings) -> str:
    host = settings.advertise_address or settings.bind[0]
    return f"https://[{host}]:{settings.port}" if ":" in host else f"https://{host}:{settings.port}"


def _cancel_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _registry_settings(settings: RunSettings, files: ServerFiles) -> RegistrySettings:
    return RegistrySettings(
        service_cidr=settings.service_cidr,
        node_port_low=settings.node_port_low,
        node_port_high=settings.node_port_high,
        api_address=settings.advertise_address,
        api_port=settings.port,
        transformers={("", "secrets"): AesGcm((files.encryption_key,), os.urandom)},
    )


def _node_settings(settings: RunSettings, files: ServerFiles) -> NodePlaneSettings:
    return NodePlaneSettings(cluster_id=files.cluster_id, epoch=files.epoch, cluster_cidr=settings.cluster_cidr)


def _server_settings(settings: RunSettings) -> ServerSettings:
    pki = settings.state_dir / "pki"
    tls = TlsFiles(str(pki / "server.crt"), str(pki / "server.key"), str(pki / "ca.crt"))
    return ServerSettings(tls=tls, bind_addresses=settings.bind, port=settings.port)


def _node_server(
    settings: RunSettings, files: ServerFiles, nodeplane: NodePlane, clock: SystemClock
) -> NodePlaneServer:
    return NodePlaneServer(
        nodeplane,
        Joiner(files.ca, files.join_token, clock),
        ServerTls(files.server, files.ca.cert_pem),
        cluster_id=files.cluster_id,
        session_binds=[f"{address}:{settings.node_port}" for address in settings.bind],
        join_binds=[f"{address}:{settings.node_port + 1}" for address in settings.bind],
    )


def _settle_garbage_collector() -> None:
    """What start-up built stays: never scan it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _store_check(backend: EtcdBackend) -> str:
    try:
        await backend.revision()
    except OrchError as error:
        return str(error)
    return ""


async def _cache_check(parts: ApiParts) -> str:
    return "" if parts.ready.is_set() else "the cache has not synced"


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _run_settings(args: argparse.Namespace) -> RunSettings:
    low, _, high = args.node_port_range.partition("-")
    return RunSettings(
        state_dir=args.state_dir,
        bind=tuple(args.bind.split(",")),
        advertise_address=args.advertise_address,
        port=args.port,
        node_port=args.node_port,
        etcd=tuple(args.etcd.split(",")),
        etcd_quota_bytes=args.etcd_quota_bytes,
        service_cidr=args.service_cidr,
        cluster_cidr=args.cluster_cidr,
        node_port_low=int(low),
        node_port_high=int(high),
        debug=args.debug,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orch-server", description="The control plane of an Orch cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", help="make certificates, tokens and the admin's kubeconfig")
    init.add_argument("--state-dir", type=Path, required=True)
    init.add_argument("--cluster-name", required=True)
    init.add_argument("--advertise-address", required=True, help="where clients and nodes reach this server")
    init.add_argument("--san", action="append", default=[], help="a further name or address of the server")
    init.add_argument("--port", type=int, default=6443)
    run = commands.add_parser("run", help="run API server, scheduler, controllers and nodeplane")
    run.add_argument("--state-dir", type=Path, required=True)
    run.add_argument("--bind", default="127.0.0.1", help="addresses to listen on, comma-separated")
    run.add_argument("--advertise-address", default="", help="where pods reach the API; empty: they do not")
    run.add_argument("--port", type=int, default=6443, help="of the API")
    run.add_argument("--node-port", type=int, default=6444, help="of node sessions; nodes join on the next one")
    run.add_argument("--etcd", default="https://127.0.0.1:2379", help="endpoints, comma-separated")
    run.add_argument("--etcd-quota-bytes", type=int, default=ETCD_QUOTA_BYTES, help="etcd's --quota-backend-bytes")
    run.add_argument("--service-cidr", default="10.96.0.0/16")
    run.add_argument("--cluster-cidr", default="10.244.0.0/16")
    run.add_argument("--node-port-range", default="30000-32767", metavar="LOW-HIGH")
    run.add_argument("--debug", action="store_true")
    return parser
