"""The node's image service: pulls what is missing into the store. Implements `ImageService`.

Looked up in order: the cluster's registry as a mirror, under the image's full name; then the registry that the name
says. A pull secret goes to the named registry alone. However many pods ask, a reference is resolved once and a layer is
fetched once at a time; layers of one image come in parallel.
"""

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import structlog

from nodeagent.images import archive, unpack
from nodeagent.images.flight import SingleFlight
from nodeagent.images.manifest import (
    Config,
    Descriptor,
    Manifest,
    Platform,
    digest_of,
    parse_config,
    parse_manifest,
)
from nodeagent.images.registry import RegistryAccess, Repository, open_repository
from nodeagent.images.store import ImageInUse, ImageStore, layer_key
from nodeagent.runtime.interface import Image, PullFailed, RegistryAuth, RuntimeFault
from nodeagent.runtime.process import run
from orch import oci
from orch.kit import trees

DOWNLOADS_AT_ONCE = 4
"""From one registry, over all pulls: one that hangs takes up no other's."""
UNPACKED_AT_ONCE = 4
"""Layers, over all pulls."""
UNPACK_TIMEOUT_S = 600

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Source:
    access: RegistryAccess
    repository: str
    auth: RegistryAuth | None = None


class NodeImages:
    """`mirror` is the cluster's registry; `registries`, and for all others `lookup`, say how a registry is reached: by
    TLS and the system's CAs unless they say otherwise."""

    def __init__(
        self,
        store: ImageStore,
        platform: Platform,
        mirror: RegistryAccess | None = None,
        registries: Sequence[RegistryAccess] = (),
        lookup: Callable[[str], RegistryAccess] = RegistryAccess,
    ) -> None:
        self._store, self._platform, self._mirror = store, platform, mirror
        self._lookup = lookup
        self._registries = {access.host: access for access in (*registries, *((mirror,) if mirror else ()))}
        self._pulls: SingleFlight[Image] = SingleFlight()
        self._layers: SingleFlight[None] = SingleFlight()
        self._downloads: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By registry; those that nobody uses go."""
        self._unpackings = asyncio.Semaphore(UNPACKED_AT_ONCE)
        self._held: Counter[str] = Counter()
        """Ids of images that containers are being made from."""

    async def find(self, reference: str) -> Image | None:
        """Raises oci.InvalidReference."""
        return self._store.find(reference)

    async def list(self) -> Sequence[Image]:
        return self._store.images()

    async def remove(self, reference: str) -> None:
        """Raises oci.InvalidReference, ImageInUse."""
        if (image := self._store.find(reference)) is not None and self._held[image.id]:
            raise ImageInUse(f"image {reference} is in use: a container is being made from it")
        self._store.remove(reference)
        await self.collect_garbage()

    @contextlib.contextmanager
    def holding(self, image_id: str) -> Iterator[None]:
        self._held[image_id] += 1
        try:
            yield
        finally:
            self._held -= Counter({image_id: 1})

    async def collect_garbage(self) -> None:
        """Also what interrupted pulls of an earlier agent left."""
        doomed = self._store.collect_garbage()
        await asyncio.get_running_loop().run_in_executor(None, _delete, doomed)

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Raises PullFailed, oci.InvalidReference."""
        parsed = oci.parse(reference)
        return await self._pulls.do((str(parsed), auth), lambda: self._pull(parsed, auth))

    async def load(self, path: str) -> Sequence[Image]:
        """Enters every image of a docker-archive, an oci-archive or an OCI layout directory. Raises PullFailed."""
        images = []
        async with archive.opened(path, self._store.incoming, self._platform) as contents:
            for found in contents:
                with self._store.holding(found.config.diff_ids):
                    for blob_path, diff_id in zip(found.layer_paths, found.config.diff_ids, strict=True):
                        await self._layers.do(diff_id, lambda p=blob_path, d=diff_id: self._add_layer(p, d))  # type: ignore[misc]
                    images.append(self._store.add_image(found.manifest_body, found.config_body, found.names))
        return images

    def _sources(self, reference: oci.Reference, auth: RegistryAuth | None) -> Sequence[_Source]:
        named = self._registries.get(reference.registry) or self._lookup(reference.registry)
        last = _Source(named, reference.repository, auth)
        if self._mirror is None or reference.registry == self._mirror.host:
            return [last]
        return [_Source(self._mirror, reference.name), last]

    async def _pull(self, reference: oci.Reference, auth: RegistryAuth | None) -> Image:
        failures = []
        for source in self._sources(reference, auth):
            try:
                image = await self._pull_from(source, reference)
            except PullFailed as error:
                failures.append(f"from {source.access.host}: {error}")
            except OSError as error:
                raise PullFailed(f"pulling {reference}: storing it failed: {error}") from error
            else:
                log.info("image_pulled", image=str(reference), registry=source.access.host, id=image.id)
                return image
        raise PullFailed(f"pulling {reference}: {'; '.join(failures)}")

    async def _pull_from(self, source: _Source, reference: oci.Reference) -> Image:
        async with open_repository(source.access, source.repository, source.auth) as repository:
            top = await repository.manifest(reference.digest or reference.tag)
            manifest, body = await self._this_platform(repository, top)
            config_body = self._store.read_blob(manifest.config.digest) or await repository.blob(manifest.config)
            config = parse_config(config_body)
            names = [f"{reference.name}@{digest_of(top)}"]
            if not reference.digest:
                names.insert(0, str(reference))
            with self._store.holding(config.diff_ids):
                await self._fetch_layers(repository, manifest, config)
                return self._store.add_image(body, config_body, names)

    async def _this_platform(self, repository: Repository, body: bytes) -> tuple[Manifest, bytes]:
        """Follows an index to the manifest of this node's platform."""
        parsed = parse_manifest(body, self._platform)
        if isinstance(parsed, Descriptor):
            body = await repository.manifest(parsed.digest)
            parsed = parse_manifest(body, self._platform)
        if isinstance(parsed, Descriptor):
            raise PullFailed("an index that leads to another index is not supported")
        return parsed, body

    async def _fetch_layers(self, repository: Repository, manifest: Manifest, config: Config) -> None:
        if len(manifest.layers) != len(config.diff_ids):
            raise PullFailed(f"the manifest has {len(manifest.layers)} layers, the config {len(config.diff_ids)}")

        async def fetch(layer: Descriptor, diff_id: str) -> None:
            await self._layers.do(diff_id, lambda: self._fetch_layer(repository, layer, diff_id))

        try:
            async with asyncio.TaskGroup() as group:
                for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
                    group.create_task(fetch(layer, diff_id))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _fetch_layer(self, repository: Repository, layer: Descriptor, diff_id: str) -> None:
        if self._store.has_layer(diff_id):
            return
        blob_path = os.path.join(self._store.incoming, layer_key(diff_id))
        try:
            async with self._download_slots(repository.registry):
                await repository.download(layer, blob_path)
            await self._add_layer(blob_path, diff_id)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(blob_path)

    def _download_slots(self, registry: str) -> asyncio.Semaphore:
        return self._downloads.setdefault(registry, asyncio.Semaphore(DOWNLOADS_AT_ONCE))

    async def _add_layer(self, archive_path: str, diff_id: str) -> None:
        """Unpacks a layer beside the others and puts it among them when it is whole and has the right digest."""
        if self._store.has_layer(diff_id):
            return
        directory = os.path.join(self._store.incoming, f"{layer_key(diff_id)}.unpacked")
        _delete([directory])
        os.mkdir(directory, 0o755)
        try:
            async with self._unpackings:
                await _unpack(archive_path, directory, diff_id)
            self._store.add_layer(diff_id, directory)
        finally:
            _delete([directory])


async def _unpack(archive_path: str, directory: str, diff_id: str) -> None:
    argv = [sys.executable, "-I", "-S", unpack.__file__, archive_path, directory, diff_id]
    try:
        done = await run(argv, timeout_s=UNPACK_TIMEOUT_S)
    except RuntimeFault as fault:
        raise PullFailed(f"unpacking layer {diff_id}: {fault}") from None
    if done.exit_code != 0:
        raise PullFailed(f"unpacking layer {diff_id}: {done.output or f'exit code {done.exit_code}'}")


def _delete(paths: Sequence[str]) -> None:
    for path in paths:
        if os.path.isdir(path):
            trees.remove(path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
