"""Reads images from files: docker-archive (`docker save`), oci-archive, and an OCI layout directory.

An archive is untrusted: its own table names files inside it, and a path that leads out is refused.
"""

import asyncio
import contextlib
import json
import os
import tarfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nodeagent.images.manifest import (
    OCI_MANIFEST,
    Config,
    Descriptor,
    Platform,
    digest_of,
    parse_config,
    parse_manifest,
)
from nodeagent.runtime.interface import PullFailed
from orch import oci
from orch.kit import trees

REFERENCE_NAME = "org.opencontainers.image.ref.name"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
JSON_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image found in an archive. `layer_paths` are archives on disk, bottom first, as `config.diff_ids`."""

    names: tuple[str, ...]
    manifest_body: bytes
    config_body: bytes
    config: Config
    layer_paths: tuple[str, ...]


@contextlib.asynccontextmanager
async def opened(path: str, scratch: str, platform: Platform) -> AsyncIterator[Sequence[ArchivedImage]]:
    """The images in a file or a layout directory; the files they point at last as long as the context."""
    extracted = os.path.join(scratch, f"archive-{os.path.basename(path)}")
    try:
        directory = await asyncio.get_running_loop().run_in_executor(None, _as_directory, path, extracted)
        yield read(directory, platform)
    finally:
        with contextlib.suppress(OSError):
            trees.remove(extracted)


def read(directory: str, platform: Platform) -> list[ArchivedImage]:
    """Raises PullFailed."""
    if os.path.exists(os.path.join(directory, "index.json")):
        return _read_oci(directory, platform)
    if os.path.exists(os.path.join(directory, "manifest.json")):
        return _read_docker(directory)
    raise PullFailed("neither a docker-archive nor an oci-archive: it has no manifest.json and no index.json")


def _as_directory(path: str, directory: str) -> str:
    """The path itself when it is a layout directory, else the file's content extracted into `directory`."""
    if os.path.isdir(path):
        return path
    try:
        trees.remove(directory)
        with tarfile.open(path) as archive:
            members = [m for m in archive if (m.isfile() or m.isdir() or m.issym()) and ".." not in m.name.split("/")]
            archive.extractall(directory, members=members)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise PullFailed(f"reading {path}: {error}") from None
    return directory


def _read_oci(directory: str, platform: Platform) -> list[ArchivedImage]:
    index = _json(directory, "index.json")
    return [_oci_image(directory, entry, platform) for entry in index.get("manifests", ())]


def _oci_image(directory: str, entry: dict[str, Any], platform: Platform) -> ArchivedImage:
    top = body = _blob(directory, entry.get("digest", ""))
    manifest = parse_manifest(body, platform)
    if isinstance(manifest, Descriptor):
        body = _blob(directory, manifest.digest)
        manifest = parse_manifest(body, platform)
    if isinstance(manifest, Descriptor):
        raise PullFailed("an index that leads to another index is not supported")
    config_body = _blob(directory, manifest.config.digest)
    name = (entry.get("annotations") or {}).get(REFERENCE_NAME, "")
    layer_paths = [_inside(directory, f"blobs/sha256/{layer.digest[7:]}") for layer in manifest.layers]
    return _image([name] if name else [], digest_of(top), body, config_body, layer_paths)


def _read_docker(directory: str) -> list[ArchivedImage]:
    images = []
    for entry in _json(directory, "manifest.json"):
        config_body = _file(directory, entry["Config"])
        layer_paths = [_inside(directory, layer) for layer in entry["Layers"]]
        body = _manifest_for(config_body, layer_paths)
        images.append(_image(entry.get("RepoTags") or [], digest_of(body), body, config_body, layer_paths))
    return images


def _manifest_for(config_body: bytes, layer_paths: Sequence[str]) -> bytes:
    """A docker-archive has no registry manifest; this one says the same."""
    diff_ids = parse_config(config_body).diff_ids
    layers = [
        {"mediaType": DOCKER_LAYER, "digest": diff_id, "size": os.path.getsize(path)}
        for diff_id, path in zip(diff_ids, layer_paths, strict=False)
    ]
    config = {"digest": digest_of(config_body), "size": len(config_body)}
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers})


def _image(
    names: Sequence[str], top_digest: str, body: bytes, config_body: bytes, layer_paths: Sequence[str]
) -> ArchivedImage:
    config = parse_config(config_body)
    if len(config.diff_ids) != len(layer_paths):
        raise PullFailed(f"the archive has {len(layer_paths)} layers, its config {len(config.diff_ids)}")
    parsed = [oci.parse(name) for name in names]
    canonical = (*map(str, parsed), *(f"{reference.name}@{top_digest}" for reference in parsed))
    return ArchivedImage(canonical, body, config_body, config, tuple(layer_paths))


def _blob(directory: str, digest: str) -> bytes:
    if not oci.is_digest(digest):
        raise PullFailed(f"the archive names a blob by {digest!r}, which is no sha256 digest")
    body = _file(directory, f"blobs/sha256/{digest[7:]}")
    if digest_of(body) != digest:
        raise PullFailed(f"digest mismatch: the archive's blob {digest} is {digest_of(body)}")
    return body


def _json(directory: str, name: str) -> Any:
    try:
        return json.loads(_file(directory, name))
    except ValueError as error:
        raise PullFailed(f"{name} is no JSON: {error}") from None


def _file(directory: str, name: str) -> bytes:
    try:
        with open(_inside(directory, name), "rb") as file:
            return file.read(JSON_BYTES_MAX)
    except OSError as error:
        raise PullFailed(f"the archive lacks {name}: {error.strerror}") from None


def _inside(directory: str, name: str) -> str:
    path = os.path.realpath(os.path.join(directory, name))
    if not path.startswith(os.path.realpath(directory) + os.sep):
        raise PullFailed(f"the archive names {name!r}, which lies outside of it")
    return path
