"""Images for tests, written directly as OCI layout directories: no registry, no buildah, a few milliseconds each."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

BUSYBOX = "/usr/bin/busybox"
FIXED_TIME_S = 1_700_000_000


def layer(files: Mapping[str, bytes | str | None], modes: Mapping[str, int] | None = None) -> bytes:
    """An uncompressed layer. Values: bytes are a file, a text is a symlink's target, None is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = FIXED_TIME_S, (modes or {}).get(name, 0o755)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def busybox_layer() -> bytes:
    """A root with busybox and what programs expect to find."""
    files: dict[str, bytes | str | None] = dict.fromkeys(("bin", "dev", "etc", "proc", "sys", "tmp", "var"))
    files["bin/busybox"] = Path(BUSYBOX).read_bytes()
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    files |= {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    files["etc/passwd"] = b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/home/web:/bin/sh\n"
    files["etc/group"] = b"root:x:0:\nweb:x:1001:\nlogs:x:1002:web\n"
    return layer(files, {"tmp": 0o1777, "etc/passwd": 0o644, "etc/group": 0o644})


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def image_config(layers: Sequence[bytes], **config: object) -> bytes:
    """`config` is the image config's own `config` object: Cmd, Entrypoint, Env, User, WorkingDir, StopSignal."""
    plain = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(body) for body in layers]},
    }
    return json.dumps(plain).encode()


def blobs(layers: Sequence[bytes], **config: object) -> tuple[bytes, dict[str, bytes]]:
    """The manifest, and all blobs by digest: manifest, config and gzipped layers."""
    config_body = image_config(layers, **config)
    zipped = [gzip.compress(body, 1, mtime=0) for body in layers]
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config_body),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", body) for body in zipped],
    }).encode()  # fmt: skip
    return manifest, {digest(body): body for body in (manifest, config_body, *zipped)}


def write_layout(directory: str, name: str, layers: Sequence[bytes], **config: object) -> str:
    """An OCI layout directory that holds one image. Returns the directory."""
    manifest, contents = blobs(layers, **config)
    folder = Path(directory, "blobs", "sha256")
    folder.mkdir(parents=True, exist_ok=True)
    for blob_digest, body in contents.items():
        (folder / blob_digest.removeprefix("sha256:")).write_bytes(body)
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    Path(directory, "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    Path(directory, "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return directory


def _descriptor(media_type: str, body: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(body), "size": len(body)}
