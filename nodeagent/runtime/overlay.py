"""A container's root: the image's read-only layers and a writable one, by overlayfs."""

import os
import shutil
from collections.abc import Sequence

from nodeagent.runtime import syscalls, user_namespace
from nodeagent.runtime.interface import RuntimeFault

UPPER, WORK = "upper", "work"
OPTIONS_BYTES_MAX = 4095
"""The kernel takes one page of mount options."""


def mount_root(root: str, layer_paths: Sequence[str], writable: str, owner: int) -> None:
    """Mounts on `root`. `layer_paths` is top first; `writable` is a folder that keeps the container's own files;
    `owner` the host's id of the container's root. Raises RuntimeFault."""
    if not layer_paths:
        raise RuntimeFault("the image has no layers: there is nothing to run in it")
    for folder in ("", UPPER, WORK):
        path = os.path.join(writable, folder)
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.chown(path, owner, owner)
    options = mount_options(layer_paths, writable)
    try:
        if len(options) <= OPTIONS_BYTES_MAX:
            syscalls.mount("overlay", root, "overlay", 0, options)
        else:
            _mount_from_within(root, layer_paths, writable)
    except OSError as error:
        raise RuntimeFault(f"mounting a container's root: {error.strerror}") from error


def _mount_from_within(root: str, layer_paths: Sequence[str], writable: str) -> None:
    """With paths relative to the layers' folder: many more of them fit. Raises RuntimeFault, OSError."""
    base = os.path.dirname(layer_paths[0])
    options = mount_options([os.path.relpath(path, base) for path in layer_paths], os.path.relpath(writable, base))
    if len(options) > OPTIONS_BYTES_MAX:
        raise RuntimeFault(f"the image has too many layers to mount ({len(layer_paths)})")

    def mount() -> None:
        syscalls.unshare(syscalls.CLONE_FS)  # a working directory of this thread's own
        os.chdir(base)
        syscalls.mount("overlay", root, "overlay", 0, options)

    syscalls.in_throwaway_thread(mount)


def mount_mapped_root(
    root: str, layer_paths: Sequence[str], writable: str, owner: int, user: str, scratch: str
) -> None:
    """As `mount_root`, the layers seen through the user namespace at `user`. `scratch` is a new folder for mounts that
    are gone when this returns: the overlay keeps its own. Raises RuntimeFault."""
    mapped = [os.path.join(scratch, str(number)) for number in range(len(layer_paths))]
    try:
        for source, target in zip(layer_paths, mapped, strict=True):
            user_namespace.make_target(source, target)
            user_namespace.map_mount(source, target, user)
        mount_root(root, mapped, writable, owner)
    finally:
        for target in mapped:
            while syscalls.unmount(target):
                pass
        shutil.rmtree(scratch, ignore_errors=True)


def mount_options(layers: Sequence[str], writable: str) -> str:
    """`volatile`: no container's root outlives a reboot, so nothing of it need be synced, and unmounting is free."""
    return f"lowerdir={':'.join(layers)},upperdir={writable}/{UPPER},workdir={writable}/{WORK},volatile"
