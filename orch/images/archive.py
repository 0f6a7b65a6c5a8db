"""What a file of `docker save` (docker-archive) or of OCI tools (oci-archive) says that it holds. Only reads."""

import json
import tarfile
from collections.abc import Sequence
from typing import Any

from orch import oci
from orch.errors import OrchError

DOCKER, OCI = "docker-archive", "oci-archive"
"""containers-transports(5)"""
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""The first is what buildkit and containerd write; their second holds the tag only."""


class InvalidArchive(OrchError):
    """The file is no archive of images."""


def names(path: str) -> tuple[str, Sequence[str]]:
    """(transport, canonical names of the images). Raises InvalidArchive, oci.InvalidReference."""
    try:
        with tarfile.open(path) as tar:
            members = {member.name.removeprefix("./"): member for member in tar}
            if "manifest.json" in members:
                images = _json(tar, members["manifest.json"])
                return DOCKER, [oci.canonical(name) for image in images for name in image.get("RepoTags") or ()]
            images = _json(tar, members["index.json"])["manifests"]
            return OCI, [oci.canonical(name) for image in images if (name := _annotated(image))]
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArchive(f"loading {path}: no archive of docker save or OCI: {error}") from None


def _json(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return json.load(file)


def _annotated(image: dict[str, Any]) -> str:
    annotations = image.get("annotations") or {}
    return next((str(annotations[key]) for key in NAME_ANNOTATIONS if annotations.get(key)), "")
