"""A container's root: the image's read-only layers and a writable one, by overlayfs."""

import os
from collections.abc import Sequence

from nodeagent.runtime import syscalls
from nodeagent.runtime.interface import RuntimeFault

UPPER, WORK = "upper", "work"
OPTIONS_BYTES_MAX = 4095
"""The kernel takes one page of mount options."""


def mount_root(root: str, layer_paths: Sequence[str], writable: str) -> None:
    """Mounts on `root`. `layer_paths` is top first; `writable` is a folder that keeps the container's own files. Raises
    RuntimeFault."""
    if not layer_paths:
        raise RuntimeFault("the image has no layers: there is nothing to run in it")
    base = os.path.dirname(layer_paths[0])
    options = mount_options([os.path.relpath(path, base) for path in layer_paths], os.path.relpath(writable, base))
    if len(options) > OPTIONS_BYTES_MAX:
        raise RuntimeFault(f"the image has too many layers to mount ({len(layer_paths)})")
    for folder in ("", UPPER, WORK):
        os.makedirs(os.path.join(writable, folder), mode=0o755, exist_ok=True)

    def mount() -> None:
        syscalls.unshare(syscalls.CLONE_FS)  # a working directory of this thread's own
        os.chdir(base)
        syscalls.mount("overlay", root, "overlay", 0, options)

    try:
        syscalls.in_throwaway_thread(mount)
    except OSError as error:
        raise RuntimeFault(f"mounting a container's root: {error.strerror}") from error


def mount_options(layers: Sequence[str], writable: str) -> str:
    """`volatile`: no container's root outlives a reboot, so nothing of it need be synced, and unmounting is free."""
    return f"lowerdir={':'.join(layers)},upperdir={writable}/{UPPER},workdir={writable}/{WORK},volatile"
