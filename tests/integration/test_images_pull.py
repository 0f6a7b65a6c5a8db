"""Pulling: a registry in this process answers well, badly, or not at all."""

import asyncio
import base64
import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from nodeagent.images import registry as registry_module
from nodeagent.images.manifest import Platform, this_platform
from nodeagent.images.registries import Registries
from nodeagent.images.registry import RegistryAccess
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageInUse, ImageStore
from nodeagent.runtime import overlay, syscalls
from nodeagent.runtime.interface import PullFailed, RegistryAuth
from tests.images import blobs, digest, image_config, layer, write_layout
from tests.runtime_lab import private_mounts

USER, PASSWORD, TOKEN = "puller", "secret", "token-1"
BASE = layer({"etc": None, "etc/base": b"base", "etc/gone": b"x"})
TOP = layer({"etc/.wh.gone": b"", "etc/top": b"top"})


@dataclass
class FakeRegistry:
    """One registry's content and manners. `asked` counts the paths that were asked for."""

    address: str = ""
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    authentication: str = ""
    """"", basic or bearer."""
    delay_s: float = 0.0
    trickle_s: float = 0.0
    """Between the bytes of a blob; 0: it comes at once."""
    faults: list[int] = field(default_factory=list)
    """What the next requests are answered with instead; 0: the connection is reset."""
    most_at_once: int = 0
    _at_once: int = 0

    def serve_image(self, repository: str, tag: str, layers: list[bytes], **config: object) -> str:
        manifest, contents = blobs(layers, **config)
        self.manifests |= {f"{repository}:{tag}": manifest, f"{repository}:{digest(manifest)}": manifest}
        self.blobs |= contents
        return digest(manifest)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked[path] += 1
        if self.faults:
            return self._fault(request, self.faults.pop())
        if path == "/token":
            return self._token(request)
        if challenge := self._challenge(request):
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        repository, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            body = self.manifests.get(f"{repository}:{reference}")
            return web.Response(body=body) if body else web.Response(status=404)
        return await (self._trickle(request, reference) if self.trickle_s else self._blob(reference))

    def _fault(self, request: web.Request, status: int) -> web.Response:
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 500)

    async def _blob(self, reference: str) -> web.Response:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self.delay_s)
        self._at_once -= 1
        return web.Response(body=self.blobs[reference]) if reference in self.blobs else web.Response(status=404)

    async def _trickle(self, request: web.Request, reference: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(self.blobs[reference]))})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for byte in self.blobs[reference]:
                await response.write(bytes([byte]))
                await asyncio.sleep(self.trickle_s)
        return response

    def _challenge(self, request: web.Request) -> str:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        wanted = {"": None, "basic": basic, "bearer": f"Bearer {TOKEN}"}[self.authentication]
        if wanted is None or request.headers.get("Authorization") == wanted:
            return ""
        realm = f'Bearer realm="http://{self.address}/token",service="reg"'
        return realm if self.authentication == "bearer" else 'Basic realm="reg"'

    def _token(self, request: web.Request) -> web.Response:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != expected or "repository:app:pull" not in request.query["scope"]:
            return web.Response(status=401)
        return web.json_response({"token": TOKEN})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[FakeRegistry]:
    fake = FakeRegistry()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    fake.address = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield fake
    finally:
        await runner.cleanup()


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with serving() as fake:
        yield fake


def service(folder: Path, *registries: FakeRegistry, mirror: FakeRegistry | None = None) -> NodeImages:
    access = [RegistryAccess(registry.address, plain_http=True) for registry in registries]
    of_mirror = RegistryAccess(mirror.address, plain_http=True) if mirror else None
    return NodeImages(ImageStore(str(folder)), this_platform(), of_mirror, access)


def incoming(folder: Path) -> list[str]:
    return os.listdir(folder / "incoming")


async def test_a_tag_is_pulled_and_its_layers_stack_up(tmp_path: Path, registry: FakeRegistry) -> None:
    pulled_digest = registry.serve_image("app", "1", [BASE, TOP], Cmd=["/run"])
    images = service(tmp_path, registry)
    name = f"{registry.address}/app"
    image = await images.pull(f"{name}:1")
    assert image.names == (f"{name}:1", f"{name}@{pulled_digest}")
    assert (image.digest, image.config.cmd) == (pulled_digest, ("/run",))
    assert image.id == digest(image_config([BASE, TOP], Cmd=["/run"]))
    assert image.size_bytes == sum(len(body) for d, body in registry.blobs.items() if d != pulled_digest)
    with private_mounts():
        root = tmp_path / "root"
        root.mkdir()
        overlay.mount_root(str(root), image.layer_paths, str(tmp_path / "writable"), owner=os.getuid())
        assert sorted(os.listdir(root / "etc")) == ["base", "top"]
        with pytest.raises(ImageInUse, match="is in use"):
            await images.remove(f"{name}:1")
        assert syscalls.unmount(str(root))
    await images.remove(f"{name}:1")
    assert await images.list() == ()
    assert os.listdir(tmp_path / "layers") == os.listdir(tmp_path / "blobs/sha256") == incoming(tmp_path) == []


async def test_a_digest_is_pulled_whatever_the_tag_says(tmp_path: Path, registry: FakeRegistry) -> None:
    pulled_digest = registry.serve_image("app", "1", [BASE])
    registry.serve_image("app", "1", [TOP])
    image = await service(tmp_path, registry).pull(f"{registry.address}/app:1@{pulled_digest}")
    assert image.digest == pulled_digest
    assert image.names == (f"{registry.address}/app@{pulled_digest}",)


async def test_an_index_leads_to_this_machines_image(tmp_path: Path, registry: FakeRegistry) -> None:
    manifest_digest = registry.serve_image("app", "inner", [BASE])
    platform = this_platform()
    there = {"os": "linux", "architecture": platform.architecture}
    entries = [{"digest": manifest_digest, "size": 1, "platform": there}]
    registry.manifests["app:1"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    image = await service(tmp_path, registry).pull(f"{registry.address}/app:1")
    assert image.digest == manifest_digest
    assert image.names[1] == f"{registry.address}/app@{digest(registry.manifests['app:1'])}"
    other = NodeImages(
        ImageStore(str(tmp_path / "other")),
        Platform("riscv64"),
        None,
        [RegistryAccess(registry.address, plain_http=True)],
    )
    with pytest.raises(PullFailed, match="no manifest for linux/riscv64"):
        await other.pull(f"{registry.address}/app:1")


async def test_however_many_ask_it_is_fetched_once(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.serve_image("app", "1", [BASE])
    registry.delay_s = 0.05
    images = service(tmp_path, registry)
    pulled = await asyncio.gather(*(images.pull(f"{registry.address}/app:1") for _ in range(20)))
    assert len({image.id for image in pulled}) == 1
    assert set(registry.asked.values()) == {1}


async def test_a_layer_of_two_images_is_fetched_once(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.serve_image("app", "1", [BASE], Cmd=["1"])
    registry.serve_image("app", "2", [BASE, TOP], Cmd=["2"])
    registry.delay_s = 0.05
    images = service(tmp_path, registry)
    await asyncio.gather(images.pull(f"{registry.address}/app:1"), images.pull(f"{registry.address}/app:2"))
    assert [count for path, count in registry.asked.items() if count > 1] == []
    assert len(os.listdir(tmp_path / "layers")) == 2


async def test_layers_come_in_parallel(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.serve_image("app", "1", [layer({f"f{n}": b"x"}) for n in range(6)])
    registry.delay_s = 0.1
    await service(tmp_path, registry).pull(f"{registry.address}/app:1")
    assert 2 <= registry.most_at_once <= 4


async def test_a_new_tag_of_a_known_image_fetches_no_layer(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.serve_image("app", "1", [BASE])
    registry.serve_image("app", "2", [BASE])
    images = service(tmp_path, registry)
    first = await images.pull(f"{registry.address}/app:1")
    registry.asked.clear()
    second = await images.pull(f"{registry.address}/app:2")
    assert second.id == first.id
    assert [path for path in registry.asked if "/blobs/" in path] == []


@pytest.mark.parametrize("authentication", ["basic", "bearer"])
async def test_credentials(tmp_path: Path, registry: FakeRegistry, authentication: str) -> None:
    registry.serve_image("app", "1", [BASE])
    registry.authentication = authentication
    images = service(tmp_path, registry)
    with pytest.raises(PullFailed, match="401 unauthorized for app: it wants credentials"):
        await images.pull(f"{registry.address}/app:1")
    with pytest.raises(PullFailed, match="401 unauthorized for app: the credentials were refused"):
        await images.pull(f"{registry.address}/app:1", RegistryAuth(USER, "wrong"))
    assert (await images.pull(f"{registry.address}/app:1", RegistryAuth(USER, PASSWORD))).names


async def test_the_mirror_is_asked_first_under_the_full_name(tmp_path: Path, registry: FakeRegistry) -> None:
    async with serving() as mirror:
        mirror.serve_image(f"{registry.address}/app", "1", [BASE], Cmd=["mirrored"])
        registry.serve_image("app", "1", [BASE], Cmd=["original"])
        registry.serve_image("app", "2", [BASE], Cmd=["original"])
        images = service(tmp_path, registry, mirror=mirror)
        assert (await images.pull(f"{registry.address}/app:1")).config.cmd == ("mirrored",)
        assert registry.asked == {}
        assert (await images.pull(f"{registry.address}/app:2")).config.cmd == ("original",)


async def test_a_pull_secret_never_goes_to_the_mirror(tmp_path: Path, registry: FakeRegistry) -> None:
    async with serving() as mirror:
        mirror.authentication, registry.authentication = "basic", "basic"
        mirror.serve_image(f"{registry.address}/app", "1", [BASE], Cmd=["mirrored"])
        registry.serve_image("app", "1", [BASE], Cmd=["original"])
        images = service(tmp_path, registry, mirror=mirror)
        image = await images.pull(f"{registry.address}/app:1", RegistryAuth(USER, PASSWORD))
        assert image.config.cmd == ("original",)


async def test_a_missing_image_says_where_it_was_looked_for(tmp_path: Path, registry: FakeRegistry) -> None:
    async with serving() as mirror:
        with pytest.raises(PullFailed) as failure:
            await service(tmp_path, registry, mirror=mirror).pull(f"{registry.address}/app:1")
    assert str(failure.value) == (
        f"pulling {registry.address}/app:1: "
        f"from {mirror.address}: 404 not found: {registry.address}/app or its tag; "
        f"from {registry.address}: 404 not found: app or its tag"
    )


async def test_a_registry_that_falters_is_asked_again(
    tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "RETRY_DELAYS_S", (0.01, 0.02))
    registry.serve_image("app", "1", [BASE])
    registry.faults = [503, 0]
    assert (await service(tmp_path, registry).pull(f"{registry.address}/app:1")).names
    registry.faults = [500, 429, 502]
    with pytest.raises(PullFailed, match="the registry answered 500"):
        await service(tmp_path, registry).pull(f"{registry.address}/app:1")


async def test_the_machines_administrator_says_how_a_registry_is_reached(
    tmp_path: Path, registry: FakeRegistry
) -> None:
    registry.serve_image("app", "1", [BASE])
    folder = tmp_path / "registries.d"
    store = ImageStore(str(tmp_path / "store"))
    insecure = Registries(folder, [registry.address])
    assert (await NodeImages(store, this_platform(), lookup=insecure.access).pull(f"{registry.address}/app:1")).names
    (folder / "reg.example:5000").mkdir(parents=True)
    (folder / "reg.example:5000" / "ca.crt").write_text("no certificate")
    images = NodeImages(store, this_platform(), lookup=Registries(folder).access)
    with pytest.raises(PullFailed, match="cannot load the registry's certificates"):
        await images.pull("reg.example:5000/app:1")


async def test_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    images = NodeImages(ImageStore(str(tmp_path)), this_platform(), None, [RegistryAccess(address, plain_http=True)])
    with pytest.raises(PullFailed, match="no route: "):
        await images.pull(f"{address}/app:1")


async def test_a_registry_that_hangs_is_given_up(
    tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "SILENCE_MAX_S", 0.2)
    registry.serve_image("app", "1", [BASE])
    registry.delay_s = 1
    with pytest.raises(PullFailed, match="timed out"):
        await service(tmp_path, registry).pull(f"{registry.address}/app:1")
    assert incoming(tmp_path) == []


async def test_a_registry_that_trickles_is_given_up_though_it_is_never_silent(
    tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("CONNECT_TIMEOUT_S", 0.5), ("SILENCE_MAX_S", 0.5), ("BYTES_PER_S_MIN", 1e9)):
        monkeypatch.setattr(registry_module, name, value)
    registry.serve_image("app", "1", [BASE])
    registry.trickle_s = 0.05
    async with asyncio.timeout(10):
        with pytest.raises(PullFailed, match=r"timed out: .* not all of it within 1 s"):
            await service(tmp_path, registry).pull(f"{registry.address}/app:1")
    assert incoming(tmp_path) == []


async def test_a_plain_registry_asked_by_https_is_named(tmp_path: Path, registry: FakeRegistry) -> None:
    with pytest.raises(PullFailed, match="TLS failed"):
        await service(tmp_path).pull(f"{registry.address}/app:1")


@pytest.mark.parametrize("broken", ["manifest", "config", "layer", "layer content"])
async def test_a_wrong_digest_is_refused_and_leaves_nothing(
    tmp_path: Path, registry: FakeRegistry, broken: str
) -> None:
    pulled_digest = registry.serve_image("app", "1", [BASE])
    manifest = registry.manifests["app:1"]
    reference = f"{registry.address}/app:1"
    others = [d for d in registry.blobs if d != pulled_digest]
    config_digest = digest(image_config([BASE]))
    [layer_digest] = [d for d in others if d != config_digest]
    match broken:
        case "manifest":
            registry.manifests[f"app:{pulled_digest}"] = manifest + b" "
            reference = f"{registry.address}/app@{pulled_digest}"
        case "config":
            registry.blobs[config_digest] += b" "
        case "layer":
            registry.blobs[layer_digest] = registry.blobs[layer_digest][:-1] + b"?"
        case "layer content":
            registry.serve_image("app", "1", [BASE])
            registry.blobs[config_digest] = image_config([TOP])
            lying = manifest.replace(config_digest.encode(), digest(image_config([TOP])).encode())
            registry.manifests["app:1"], registry.blobs[digest(image_config([TOP]))] = lying, image_config([TOP])
    images = service(tmp_path, registry)
    with pytest.raises(PullFailed, match="digest mismatch"):
        await images.pull(reference)
    assert await images.list() == ()
    assert os.listdir(tmp_path / "layers") == incoming(tmp_path) == []


async def test_a_blob_that_never_ends_is_cut_off(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.serve_image("app", "1", [BASE])
    for name in [d for d in registry.blobs if registry.blobs[d][:2] == b"\x1f\x8b"]:
        registry.blobs[name] += b"x" * 1_000_000
    with pytest.raises(PullFailed, match="longer than"):
        await service(tmp_path, registry).pull(f"{registry.address}/app:1")


async def test_a_cancelled_pull_leaves_nothing_and_can_be_repeated(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.serve_image("app", "1", [BASE, TOP])
    registry.delay_s = 0.2
    images = service(tmp_path, registry)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(images.pull(f"{registry.address}/app:1"), 0.1)
    assert incoming(tmp_path) == []
    registry.delay_s = 0
    assert (await images.pull(f"{registry.address}/app:1")).names


async def test_archives_and_layouts_are_loaded(tmp_path: Path) -> None:
    layout = write_layout(str(tmp_path / "layout"), "docker.io/library/app:1", [BASE, TOP], Cmd=["/run"])
    images = service(tmp_path / "store")
    [from_layout] = await images.load(layout)
    assert from_layout.names[0] == "docker.io/library/app:1"
    for transport in ("docker-archive", "oci-archive"):
        archive = tmp_path / f"{transport}.tar"
        await copy(f"oci:{layout}:docker.io/library/app:1", f"{transport}:{archive}:docker.io/library/app:1")
        other = service(tmp_path / transport)
        [loaded] = await other.load(str(archive))
        assert (loaded.config, loaded.names[0]) == (from_layout.config, from_layout.names[0])
        assert [os.path.basename(p) for p in loaded.layer_paths] == [
            os.path.basename(p) for p in from_layout.layer_paths
        ]
        assert incoming(tmp_path / transport) == []


@pytest.mark.parametrize("content", [b"", b"no archive", layer({"etc/passwd": b"x"})])
async def test_what_is_no_image_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.tar"
    path.write_bytes(content)
    with pytest.raises(PullFailed):
        await service(tmp_path / "store").load(str(path))


async def copy(source: str, target: str) -> None:
    process = await asyncio.create_subprocess_exec("skopeo", "copy", "--quiet", source, target)
    assert await process.wait() == 0
