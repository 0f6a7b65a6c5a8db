"""From a Dockerfile to a node's store, by way of a real registry that speaks TLS and wants a client certificate."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.images.manifest import this_platform
from nodeagent.images.registry import RegistryAccess
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageStore
from nodeagent.runtime.interface import PullFailed
from orch import pki
from orch.images.archive import InvalidArchive
from orch.images.builder import ImageBuilder, ImageToolFailed
from tests.images import BUSYBOX, layer, write_layout

START_TIMEOUT_S = 20
DOCKERFILE = """\
FROM scratch
ARG GREETING=none
COPY busybox /bin/busybox
RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/sh"]
ENV GREETING=$GREETING
CMD ["/bin/sh"]
"""


@dataclass
class Registry:
    address: str
    certificates: Path
    """ca.crt, client.cert and client.key, as buildah and skopeo want them."""

    def access(self, *, with_certificate: bool = True) -> RegistryAccess:
        ca = str(self.certificates / "ca.crt")
        if not with_certificate:
            return RegistryAccess(self.address, ca_file=ca)
        client = self.certificates / "client.cert", self.certificates / "client.key"
        return RegistryAccess(self.address, ca_file=ca, cert_file=str(client[0]), key_file=str(client[1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[Registry]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    certificates = folder / "certificates"
    certificates.mkdir()
    now = datetime.now(UTC)
    ca = pki.create_ca("test", now=now)
    server, client = pki.issue(ca, "registry", now=now, addresses=["127.0.0.1"]), pki.issue(ca, "node", now=now)
    pairs = {"ca.crt": ca.cert_pem, "server.crt": server.cert_pem, "server.pem": server.key_pem}
    for name, body in (pairs | {"client.cert": client.cert_pem, "client.key": client.key_pem}).items():
        (certificates / name).write_bytes(body)
    files = {"certificate": "server.crt", "key": "server.pem"}
    tls = {key: str(certificates / name) for key, name in files.items()} | {"clientcas": [f"{certificates}/ca.crt"]}
    config = folder / "registry.yaml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: '{address}', tls: {json.dumps(tls)}}}\n"
    )
    (certificates / "trust").mkdir()
    for name in ("ca.crt", "client.cert", "client.key"):
        shutil.copy(certificates / name, certificates / "trust" / name)
    with subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until_it_listens(address)
            yield Registry(address, certificates / "trust")
        finally:
            process.terminate()


def wait_until_it_listens(address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"the registry does not listen on {address}")


@pytest.fixture(scope="module")
def builder(folder: Path) -> ImageBuilder:
    return ImageBuilder(str(folder / "builder"), lambda line: None)


@pytest.fixture(scope="module")
def context(folder: Path) -> Path:
    made = folder / "context"
    made.mkdir()
    (made / "Dockerfile").write_text(DOCKERFILE)
    shutil.copy(BUSYBOX, made / "busybox")
    return made


def mounts(below: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(below) in line]


async def test_a_built_image_reaches_a_node(
    builder: ImageBuilder, context: Path, registry: Registry, tmp_path: Path
) -> None:
    assert builder.build(str(context), "web:1", build_args={"GREETING": "hello"}) == "docker.io/library/web:1"
    target = builder.push("web:1", registry.address, cert_dir=str(registry.certificates))
    assert target == f"{registry.address}/docker.io/library/web:1"
    assert mounts(below=context.parent) == []
    images = NodeImages(ImageStore(str(tmp_path)), this_platform(), registry.access())
    image = await images.pull("web:1")
    assert image.names[0] == "docker.io/library/web:1"
    assert image.config.cmd == ("/bin/sh",)
    assert "GREETING=hello" in image.config.env
    [local] = [found for found in builder.list() if "docker.io/library/web:1" in found.names]
    assert local.id == image.id


async def test_without_a_certificate_nothing_is_pulled_or_pushed(
    builder: ImageBuilder, context: Path, registry: Registry, tmp_path: Path
) -> None:
    builder.build(str(context), "web:2")
    images = NodeImages(ImageStore(str(tmp_path)), this_platform(), registry.access(with_certificate=False))
    with pytest.raises(PullFailed, match=f"from {registry.address}: (TLS|HTTP) failed"):
        await images.pull("web:2")
    only_ca = tmp_path / "only-ca"
    only_ca.mkdir()
    shutil.copy(registry.certificates / "ca.crt", only_ca)
    with pytest.raises(ImageToolFailed, match=r"pushing docker\.io/library/web:2: "):
        builder.push("web:2", registry.address, cert_dir=str(only_ca))


def archive(folder: Path, name: str, *, docker: bool) -> Path:
    """As skopeo writes it."""
    layout = write_layout(str(folder / "layout"), "layout:1", [layer({"etc": None, "etc/name": name.encode()})])
    path = folder / "image.tar"
    target = f"docker-archive:{path}:docker.io/library/{name}" if docker else f"oci-archive:{path}:{name}"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci:{layout}:layout:1", target], check=True)
    return path


@pytest.mark.parametrize("docker", [True, False], ids=["docker", "oci"])
def test_load_list_and_remove(builder: ImageBuilder, tmp_path: Path, docker: bool) -> None:
    """Loading again names the same images, though nothing is new."""
    path = archive(tmp_path, "saved:1", docker=docker)
    for _ in range(2):
        assert builder.load(str(path)) == ["docker.io/library/saved:1"]
        assert any("docker.io/library/saved:1" in image.names for image in builder.list())
    builder.remove("saved:1")
    assert not any(name.endswith("/saved:1") for image in builder.list() for name in image.names)


def test_an_archive_that_is_loaded_already_is_pushed(folder: Path, registry: Registry, tmp_path: Path) -> None:
    path = archive(tmp_path, "again:1", docker=True)
    command = [
        str(Path(sys.executable).parent / "orch"), "image", "load", str(path), "--push", "--store", f"{folder}/builder",
        "--registry", registry.address, "--cert-dir", str(registry.certificates),
    ]  # fmt: skip
    for _ in range(2):
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        assert f"{registry.address}/docker.io/library/again:1 pushed" in said.splitlines()


def test_a_file_that_is_no_archive(builder: ImageBuilder, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no tar")
    with pytest.raises(InvalidArchive, match="no archive of docker save or OCI"):
        builder.load(str(tmp_path / "x.tar"))


def test_a_second_build_uses_the_cache(folder: Path, context: Path) -> None:
    lines: list[str] = []
    builder = ImageBuilder(str(folder / "builder"), lines.append)
    builder.build(str(context), "cached:1")
    lines.clear()
    builder.build(str(context), "cached:2")
    assert any("Using cache" in line for line in lines)


def listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


STAGES = """\
FROM scratch AS base
ARG WHAT=x
ENV WHAT=$WHAT
COPY . /content/
FROM base AS first
ENV STAGE=first
FROM base AS last
ENV STAGE=last
"""


async def test_a_stage_of_a_folder_with_a_dockerignore(folder: Path, builder: ImageBuilder, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name, text in {"Dockerfile": STAGES, ".dockerignore": "*.secret\n", "kept": "1", "my.secret": "2"}.items():
        (context / name).write_text(text)
    builder.build(str(context), "staged:1", target="first", build_args={"WHAT": "wood"})
    saved = tmp_path / "staged.tar"
    builder._run("saving", ["push"], ["docker.io/library/staged:1", f"oci-archive:{saved}:staged:1"], quiet=True)
    [image] = await NodeImages(ImageStore(str(tmp_path / "store")), this_platform()).load(str(saved))
    assert {"STAGE=first", "WHAT=wood"} <= set(image.config.env)
    files = {name for layer in image.layer_paths for name in listed(f"{layer}/content")}
    assert "kept" in files
    assert "my.secret" not in files


def test_builds_of_one_folder_at_the_same_time(folder: Path, context: Path) -> None:
    def build(number: int) -> str:
        return ImageBuilder(str(folder / "builder"), lambda line: None).build(str(context), f"busy:{number}")

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(build, range(3))) == [f"docker.io/library/busy:{number}" for number in range(3)]


def test_without_buildah_its_package_is_named(
    builder: ImageBuilder, context: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageToolFailed, match="apt install buildah"):
        builder.build(str(context), "web:1")


@pytest.mark.parametrize(
    ("dockerfile", "reason"),
    [
        ("FROM scratch\nCOPY missing /\n", "missing"),
        ("NONSENSE\n", "no FROM statement"),
        (None, "has no Dockerfile"),
    ],
)
def test_a_failed_build_says_why_in_one_line(
    builder: ImageBuilder, tmp_path: Path, dockerfile: str | None, reason: str
) -> None:
    if dockerfile:
        (tmp_path / "Dockerfile").write_text(dockerfile)
    with pytest.raises(ImageToolFailed, match=reason) as failure:
        builder.build(str(tmp_path), "broken:1")
    assert "\n" not in str(failure.value)


def test_what_is_not_there_cannot_be_pushed_loaded_or_removed(builder: ImageBuilder, registry: Registry) -> None:
    with pytest.raises(ImageToolFailed, match="image not known"):
        builder.push("unknown:1", registry.address)
    with pytest.raises(ImageToolFailed, match="image not known"):
        builder.remove("unknown:1")
    with pytest.raises(ImageToolFailed, match="no such file"):
        builder.load("/nonexistent.tar")
