"""The node's images on disk: unpacked layers by content, manifests and configs by digest, and an index of names.

    blobs/sha256/<hex>     manifests and configs, as the registry sent them
    layers/<key>/          unpacked layers, read-only, shared by all images and containers
    incoming/              downloads and half-unpacked layers; emptied at start
    index.json             which images there are and what they are called

Content comes first and appears by rename, the index last: an image in the index is complete. No network here. One
process owns the folder. Blocking calls are short; layers are unpacked by a program of its own (unpack.py).
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec
import structlog

from nodeagent.images.manifest import Manifest, Platform, digest_of, parse_config, parse_manifest
from nodeagent.runtime.interface import Image, PullFailed
from orch import oci
from orch.errors import OrchError
from orch.kit import trees

log = structlog.get_logger(__name__)

LAYER_KEY_DIGITS = 28
"""A layer's folder is called by so many hex digits of its diff id: overlayfs takes one page of options, which must hold
the 127 layers that Docker allows."""


class ImageInUse(OrchError):
    """A container's root is mounted from the image's layers."""


class _Entry(msgspec.Struct, frozen=True):
    manifest: str
    names: tuple[str, ...]


def layer_key(diff_id: str) -> str:
    return diff_id.removeprefix("sha256:")[:LAYER_KEY_DIGITS]


class ImageStore:
    """`root` is a folder on disk, made when missing. Raises OSError when the disk does not answer."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.incoming = os.path.join(root, "incoming")
        with contextlib.suppress(OSError):
            trees.remove(self.incoming)
        for folder in ("blobs/sha256", "layers", "incoming"):
            os.makedirs(os.path.join(root, folder), mode=0o700, exist_ok=True)
        os.chmod(os.path.join(root, "layers"), 0o711)  # user namespaces' root passes through, and lists nothing
        self._index_path = os.path.join(root, "index.json")
        self._images: dict[str, Image] = dict(self._load())
        self._held: Counter[str] = Counter()

    def images(self) -> tuple[Image, ...]:
        return tuple(self._images.values())

    def find(self, reference: str) -> Image | None:
        """By id or by name; one that has lost a layer since it was entered is not here. Raises oci.InvalidReference."""
        image = self._images.get(reference)
        if image is None and not oci.is_digest(reference):
            parsed = oci.parse(reference)
            name = f"{parsed.name}@{parsed.digest}" if parsed.digest else str(parsed)
            image = next((known for known in self._images.values() if name in known.names), None)
        return image if image is not None and all(map(os.path.isdir, image.layer_paths)) else None

    def layer_path(self, diff_id: str) -> str:
        return os.path.join(self._root, "layers", layer_key(diff_id))

    def has_layer(self, diff_id: str) -> bool:
        return os.path.isdir(self.layer_path(diff_id))

    def add_layer(self, diff_id: str, unpacked: str) -> None:
        """Takes over a folder below `incoming` that holds the whole layer, already on disk."""
        os.rename(unpacked, self.layer_path(diff_id))
        _sync_directory(os.path.join(self._root, "layers"))

    @contextlib.contextmanager
    def holding(self, diff_ids: Iterable[str]) -> Iterator[None]:
        """While inside, these layers are no garbage although no image has them yet."""
        keys = [layer_key(diff_id) for diff_id in diff_ids]
        self._held.update(keys)
        try:
            yield
        finally:
            self._held.subtract(keys)

    def read_blob(self, digest: str) -> bytes | None:
        """None when it is not here or is damaged: it is fetched again."""
        try:
            with open(self._blob_path(digest), "rb") as blob:
                body = blob.read()
        except FileNotFoundError:
            return None
        return body if digest_of(body) == digest else None

    def add_image(self, manifest: bytes, config: bytes, names: Iterable[str]) -> Image:
        """Enters an image whose layers are all here. A name that another image had moves to this one."""
        for body in (manifest, config):
            _write_file(self._blob_path(digest_of(body)), body)
        known = self._images.get(digest_of(config))
        names = tuple(dict.fromkeys((*(known.names if known else ()), *names)))
        image = self._assemble(_Entry(digest_of(manifest), names))
        if image is None:
            raise PullFailed(f"a layer of {names[0]} vanished while the image was entered")
        others = {i.id: replace(i, names=_without(i.names, names)) for i in self._images.values() if i.id != image.id}
        self._images = others | {image.id: image}
        self._save()
        return image

    def remove(self, reference: str) -> None:
        """The image with all its names. Its content stays until `collect_garbage`. Raises ImageInUse."""
        if (image := self.find(reference)) is None:
            return
        if in_use := _mounted(image.layer_paths):
            raise ImageInUse(f"image {reference} is in use: a container is mounted from {in_use}")
        del self._images[image.id]
        self._save()

    def collect_garbage(self) -> list[str]:
        """Takes out the blobs and layers that belong to no image: what removals and interrupted pulls leave. Returns
        paths below `incoming` for the caller to delete: no half-deleted layer ever stands where a whole one is sought.
        """
        layers = {os.path.basename(path) for image in self._images.values() for path in image.layer_paths}
        layers.update(key for key, holders in self._held.items() if holders > 0)
        blobs = {digest.removeprefix("sha256:") for i in self._images.values() for digest in (i.id, i.digest)}
        doomed = []
        for folder, wanted in (("layers", layers), ("blobs/sha256", blobs)):
            for entry in os.scandir(os.path.join(self._root, folder)):
                if entry.name not in wanted:
                    doomed.append(os.path.join(self.incoming, f"removed-{entry.name}"))
                    os.rename(entry.path, doomed[-1])
        return doomed

    def _load(self) -> Iterator[tuple[str, Image]]:
        """Images whose content is here in full; one that lost a layer is left out, so that it is pulled again."""
        try:
            with open(self._index_path, "rb") as index:
                entries = msgspec.json.decode(index.read(), type=list[_Entry])
        except FileNotFoundError:
            return
        except msgspec.MsgspecError as error:
            log.error("image_index_unreadable", path=self._index_path, error=str(error), next="images are pulled again")
            return
        for entry in entries:
            if image := self._assemble(entry):
                yield image.id, image

    def _assemble(self, entry: _Entry) -> Image | None:
        body = self.read_blob(entry.manifest)
        if body is None:
            return None
        manifest = parse_manifest(body, Platform(""))
        assert isinstance(manifest, Manifest)
        if (config_body := self.read_blob(manifest.config.digest)) is None:
            return None
        config = parse_config(config_body)
        if not all(map(self.has_layer, config.diff_ids)):
            return None
        return Image(
            id=manifest.config.digest,
            names=entry.names,
            digest=entry.manifest,
            size_bytes=manifest.config.size + sum(layer.size for layer in manifest.layers),
            config=config.image_config(),
            layer_paths=tuple(map(self.layer_path, reversed(config.diff_ids))),
        )

    def _save(self) -> None:
        entries = [_Entry(image.digest, image.names) for image in self._images.values()]
        _write_file(self._index_path, msgspec.json.encode(entries))

    def _blob_path(self, digest: str) -> str:
        return os.path.join(self._root, "blobs/sha256", digest.removeprefix("sha256:"))


def _without(names: tuple[str, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in taken)


def _mounted(layer_paths: Iterable[str]) -> str:
    """A layer that some overlay is mounted from, or "". The kernel is asked, so no count can go wrong."""
    with open("/proc/self/mountinfo") as mounts:
        overlays = "".join(line for line in mounts if " - overlay " in line)
    return next((path for path in layer_paths if os.path.basename(path) in overlays), "")


def _write_file(path: str, body: bytes) -> None:
    """Atomically and durably: after a power cut there is the old content or the new."""
    with open(f"{path}.tmp", "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.tmp", path)
    _sync_directory(os.path.dirname(path))


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
