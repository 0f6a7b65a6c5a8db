"""Images on the machine of whoever builds them: build, push, load, list, remove. A thin layer over buildah.

Images live in a store of their own below `root`, with a layer cache, apart from what the machine's other tools keep.
buildah runs in a private mount namespace, so that nothing it mounts is left behind. Needs root. Blocking: it is for a
command line, not for a server.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orch import oci
from orch.errors import OrchError
from orch.images import archive

PRIVATE_MOUNTS = ("unshare", "--mount", "--propagation", "private")
OUTPUT_LINES_KEPT = 20
"""Of what buildah printed, for the message of a failure."""


class ImageToolFailed(OrchError):
    """The message says what was tried and how buildah explained the failure."""


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image in the builder's store; `names` are canonical, `id` is the digest of its config."""

    id: str
    names: tuple[str, ...]
    size_bytes: int
    created_at: datetime


class ImageBuilder:
    """`progress` gets every line that buildah prints while it works."""

    def __init__(self, root: str, progress: Callable[[str], None]) -> None:
        self._root, self._progress = root, progress

    def build(
        self,
        context: str,
        tag: str,
        *,
        dockerfile: str = "",
        build_args: Mapping[str, str] | None = None,
        no_cache: bool = False,
        target: str = "",
    ) -> str:
        """Builds a Dockerfile's image, or that of its stage `target`, and names it. Returns the canonical name. Raises
        ImageToolFailed, oci.InvalidReference."""
        name = oci.canonical(tag)
        if not os.path.isdir(context):
            raise ImageToolFailed(f"building {tag}: {context} is no directory")
        dockerfile = dockerfile or _dockerfile(context)
        arguments = [f"--build-arg={key}={value}" for key, value in (build_args or {}).items()]
        arguments += [f"--target={target}"] if target else []
        caching = "--no-cache" if no_cache else "--layers"
        # chroot isolation needs no OCI runtime: crun and runc refuse hosts that mount cgroup v1 and v2.
        self._run(
            f"building {tag}",
            ["build", "--isolation=chroot", "--network=host", caching, f"--tag={name}", f"--file={dockerfile}"],
            [*arguments, context],
        )
        return name

    def push(self, tag: str, registry: str, *, cert_dir: str = "", plain_http: bool = False) -> str:
        """Copies an image to a registry under its full name, where nodes look for it: `host:port/docker.io/library/x:1`
        (to the registry that the name itself says, under its own path). `cert_dir` holds ca.crt, client.cert and
        client.key. Returns the name it has there. Raises ImageToolFailed, oci.InvalidReference."""
        reference = oci.parse(tag)
        if not reference.tag:
            raise ImageToolFailed(f"pushing {tag}: an image is pushed by its tag")
        path = reference.repository if reference.registry == registry else reference.name
        target = f"{registry}/{path}:{reference.tag}"
        trust = [f"--cert-dir={cert_dir}"] if cert_dir else []
        trust += ["--tls-verify=false"] if plain_http else []
        self._run(f"pushing {reference}", ["push", *trust], [str(reference), f"docker://{target}"])
        return target

    def load(self, path: str) -> Sequence[str]:
        """Enters the images of a docker-archive or an oci-archive. Returns the canonical names that the archive gives
        them, whether they were here before or not. Raises ImageToolFailed, oci.InvalidReference."""
        if not os.path.isfile(path):
            raise ImageToolFailed(f"loading {path}: there is no such file")
        transport, names = archive.names(path)
        said = self._run(f"loading {path}", ["pull", "--quiet"], [f"{transport}:{os.path.abspath(path)}"])
        if transport == archive.OCI and names:
            self._rename(said.split()[-1], names)
        return names

    def _rename(self, image_id: str, names: Sequence[str]) -> None:
        """buildah puts the short names of an oci-archive below localhost/, where Docker says docker.io/library/."""
        self._run(f"naming {names[0]}", ["tag"], [image_id, *names], quiet=True)
        of_image = [name for image in self.list() if image.id == f"sha256:{image_id}" for name in image.names]
        for name in of_image:
            if name.startswith("localhost/") and name not in names:
                self._run(f"removing {name}", ["rmi"], [name], quiet=True)

    def list(self) -> Sequence[LocalImage]:
        """Raises ImageToolFailed."""
        text = self._run("listing images", ["images", "--no-trunc", "--json"], [], quiet=True)
        return [_local_image(entry) for entry in json.loads(text or "[]") or []]

    def remove(self, tag: str) -> None:
        """Takes the name away, and the image with its last name. Raises ImageToolFailed, oci.InvalidReference."""
        self._run(f"removing {tag}", ["rmi"], [oci.canonical(tag)])

    def _run(self, what: str, options: Sequence[str], arguments: Sequence[str], *, quiet: bool = False) -> str:
        """buildah's stdout. Its lines go to `progress` as they come, unless quiet."""
        storage = [f"--root={self._root}/storage", f"--runroot={self._root}/run", "--storage-driver=overlay"]
        if shutil.which("buildah") is None:
            raise ImageToolFailed(
                f"{what}: buildah is missing; it is in the package of that name (apt install buildah)"
            )
        argv = [*PRIVATE_MOUNTS, "buildah", *storage, *options, *arguments]
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        lines: list[str] = []
        try:
            with subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(line.rstrip())
                    if not quiet:
                        self._progress(lines[-1])
        except OSError as error:
            raise ImageToolFailed(f"{what}: starting buildah: {error.strerror}") from None
        if process.returncode != 0:
            raise ImageToolFailed(f"{what}: {_reason(lines)}")
        return "\n".join(lines)


def _dockerfile(context: str) -> str:
    """As buildah looks for it. Raises ImageToolFailed."""
    for name in ("Containerfile", "Dockerfile"):
        if os.path.isfile(path := os.path.join(context, name)):
            return path
    raise ImageToolFailed(f"building: {context} has no Dockerfile")


def _reason(lines: Sequence[str]) -> str:
    """What buildah says after its last "Error: ", on one line; else the last lines."""
    starts = [number for number, line in enumerate(lines) if line.startswith(("Error: ", "error: "))]
    said = lines[starts[-1] :] if starts else lines[-OUTPUT_LINES_KEPT:]
    return " ".join(" ".join(said).split())[len("Error: ") if starts else 0 :] or "buildah failed and said nothing"


def _local_image(entry: Mapping[str, object]) -> LocalImage:
    names = entry.get("names")
    created = str(entry.get("createdatraw", "1970-01-01T00:00:00Z"))
    return LocalImage(
        id=f"sha256:{str(entry['id']).removeprefix('sha256:')}",
        names=tuple(map(str, names)) if isinstance(names, list) else (),
        size_bytes=_bytes(str(entry.get("size", "0 B"))),
        created_at=datetime.fromisoformat(created[:19]).replace(tzinfo=UTC),
    )


def _bytes(text: str) -> int:
    """buildah's "1.09 MB": decimal units, three digits."""
    number, _, unit = text.partition(" ")
    factor: int = 1000 ** ("B", "KB", "MB", "GB", "TB").index(unit.upper() or "B")
    return round(float(number) * factor)
