"""The quick start's build context, made anew for a test: the source tree stays as it is."""

import shutil
from pathlib import Path

MANIFESTS = Path(__file__).parents[1] / "manifests" / "quickstart"
BUSYBOX = "/bin/busybox"
"""Statically linked: the image holds nothing else."""


def context(folder: Path) -> Path:
    """Copies the quick start below `folder`, with busybox as `make up` adds it. Returns the copy."""
    made = folder / "quickstart"
    shutil.copytree(MANIFESTS, made)
    shutil.copy(BUSYBOX, made / "busybox")
    return made
