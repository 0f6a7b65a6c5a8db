"""A real API server over TLS on loopback, for tests: whatever `Api` and node streams a test brings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.apiserver.server import ApiServer
from controlplane.apiserver.settings import ServerSettings, TlsFiles
from controlplane.apiserver.streams import AttachRequest, ExecRequest, LogRequest, NodeStreams, PortForwardRequest
from controlplane.registry.assembly import RegistrySettings, build_api
from controlplane.registry.interface import Api, User
from controlplane.store.memory import MemoryBackend
from orch.api.kind import KindTable
from orch.api.kinds import builtin_kinds
from orch.errors import ServiceUnavailable
from orch.kit.clock import SystemClock
from orch.kit.ids import SystemIds
from orch.kubeconfig import Access, render
from orch.pki import KeyPair, create_ca, issue
from tests.tokens import a_signer


async def no_tokens(token: str) -> User | None:
    """For a server that issues none."""
    return None


@dataclass
class RunningServer:
    server: ApiServer
    directory: Path
    ca: KeyPair
    access: Access
    """Of an admin (system:masters)."""
    kubeconfig: Path = field(init=False)

    def __post_init__(self) -> None:
        access, self.kubeconfig = self.access, self.directory / "kubeconfig"
        self.kubeconfig.write_bytes(
            render(
                "test", access.server, "admin", ca_pem=access.ca_pem, cert_pem=access.cert_pem, key_pem=access.key_pem
            )
        )

    def access_of(self, user: str, *groups: str) -> Access:
        pair = issue(self.ca, user, now=SystemClock().now(), organizations=groups)
        return self.access._replace(cert_pem=pair.cert_pem, key_pem=pair.key_pem)

    def access_without_certificate(self, token: str = "") -> Access:
        return self.access._replace(cert_pem=b"", key_pem=b"", token=token)


@asynccontextmanager
async def running_server(
    directory: Path,
    api: Api,
    kinds: KindTable,
    streams: NodeStreams,
    *,
    token_user: Any = no_tokens,
    documents: Any = None,
    checks: Any = None,
    **settings: Any,
) -> AsyncIterator[RunningServer]:
    """`settings` are fields of ServerSettings."""
    now = SystemClock().now()
    ca = create_ca("test-ca", now=now)
    serving = issue(ca, "apiserver", now=now, addresses=["127.0.0.1"], dns_names=["localhost"])
    files = {"ca.crt": ca.cert_pem, "server.crt": serving.cert_pem, "server.key": serving.key_pem}
    for name, data in files.items():
        (directory / name).write_bytes(data)
    tls = TlsFiles(*(str(directory / name) for name in ("server.crt", "server.key", "ca.crt")))
    server = ApiServer(
        api=api,
        kinds=kinds,
        streams=streams,
        clock=SystemClock(),
        ids=SystemIds(),
        settings=ServerSettings(tls=tls, port=0, **settings),
        token_user=token_user,
        documents=documents or {},
        checks=checks or {},
    )
    async with asyncio.TaskGroup() as group:
        serving_task = group.create_task(server.serve())
        await server.started.wait()
        port = server.addresses[0][1]
        admin = issue(ca, "orch-admin", now=now, organizations=["system:masters"])
        access = Access("test", f"https://127.0.0.1:{port}", "default", ca.cert_pem, admin.cert_pem, admin.key_pem)
        try:
            yield RunningServer(server, directory, ca, access)
        finally:
            serving_task.cancel()


class NoNodes:
    """Node streams of a cluster without nodes."""

    def exec(self, node: str, request: ExecRequest) -> Any:
        raise ServiceUnavailable(f"node {node} has no session")

    def attach(self, node: str, request: AttachRequest) -> Any:
        raise ServiceUnavailable(f"node {node} has no session")

    def port_forward(self, node: str, request: PortForwardRequest) -> Any:
        raise ServiceUnavailable(f"node {node} has no session")

    def logs(self, node: str, request: LogRequest) -> Any:
        raise ServiceUnavailable(f"node {node} has no session")


@asynccontextmanager
async def memory_server(directory: Path, streams: NodeStreams | None = None) -> AsyncIterator[RunningServer]:
    """The real chain over a memory store."""
    kinds = builtin_kinds()
    parts = build_api(MemoryBackend(), kinds, SystemClock(), SystemIds(), RegistrySettings(), a_signer())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(parts.run())
        await parts.ready.wait()
        async with running_server(
            directory,
            parts.api,
            kinds,
            streams or NoNodes(),
            token_user=parts.authenticator.token_user,
            documents=a_signer().documents(),
        ) as running:
            yield running
        task.cancel()
