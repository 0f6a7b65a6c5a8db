"""OCI image manifests, indexes and configs as data (image-spec 1.0; Docker's schema 2 has the same shape). Pure."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from nodeagent.runtime.interface import ImageConfig, PullFailed
from orch.oci import is_digest

T = TypeVar("T")

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""What uname calls a machine -> what GOARCH, and so the image spec, calls it; the rest are the same."""


class Platform(msgspec.Struct, frozen=True):
    architecture: str
    os: str = "linux"
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel", gc=False):
    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What an image consists of. `layers` is bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class _Index(msgspec.Struct, frozen=True, rename="camel"):
    manifests: tuple[Descriptor, ...]


class _RunConfig(msgspec.Struct, frozen=True, rename="pascal"):
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None


class _RootFs(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...]


class Config(msgspec.Struct, frozen=True):
    """The part of an image's config that running it needs. `rootfs.diff_ids` is bottom first, as the layers are."""

    rootfs: _RootFs
    config: _RunConfig | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return self.rootfs.diff_ids

    def image_config(self) -> ImageConfig:
        run = self.config or _RunConfig()
        return ImageConfig(
            entrypoint=run.entrypoint or (),
            cmd=run.cmd or (),
            env=run.env or (),
            working_dir=run.working_dir or "",
            user=run.user or "",
            stop_signal=run.stop_signal or "",
        )


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def this_platform() -> Platform:
    machine = os.uname().machine
    return Platform(_ARCHITECTURES.get(machine, machine))


def parse_manifest(body: bytes, platform: Platform) -> Manifest | Descriptor:
    """The manifest, or where an index says that this platform's manifest is. Raises PullFailed."""
    plain = _decode(body, dict[str, Any])
    if "manifests" in plain:
        return _choose(_convert(plain, _Index).manifests, platform)
    manifest = _convert(plain, Manifest)
    for descriptor in (manifest.config, *manifest.layers):
        if not is_digest(descriptor.digest):
            raise PullFailed(f"the manifest names a blob by {descriptor.digest!r}, which is no sha256 digest")
    return manifest


def parse_config(body: bytes) -> Config:
    """Raises PullFailed."""
    config = _decode(body, Config)
    for diff_id in config.diff_ids:
        if not is_digest(diff_id):
            raise PullFailed(f"the image config names a layer by {diff_id!r}, which is no sha256 digest")
    return config


def _choose(candidates: tuple[Descriptor, ...], platform: Platform) -> Descriptor:
    def rank(candidate: Descriptor) -> bool:
        return candidate.platform is not None and candidate.platform.variant == platform.variant

    fitting = [
        candidate
        for candidate in candidates
        if candidate.platform is None
        or (candidate.platform.os, candidate.platform.architecture) == (platform.os, platform.architecture)
    ]
    if not fitting:
        offered = sorted(f"{c.platform.os}/{c.platform.architecture}" for c in candidates if c.platform)
        raise PullFailed(f"no manifest for {platform.os}/{platform.architecture}; the image has {', '.join(offered)}")
    return max(fitting, key=rank)


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PullFailed(f"not an OCI manifest or config: {error}") from None


def _convert(plain: Mapping[str, Any], shape: type[T]) -> T:
    try:
        return msgspec.convert(plain, type=shape)
    except msgspec.ValidationError as error:
        raise PullFailed(f"not an OCI manifest: {error}") from None
