"""Kernel settings of the network namespace of the calling thread (/proc/sys/net shows that one)."""

from collections.abc import Mapping
from pathlib import Path

from nodeagent.network.errors import NetworkFault

SYSCTL_ROOT = Path("/proc/sys")


def write_sysctls(values: Mapping[str, str]) -> None:
    """`values`: path below /proc/sys -> value. What already has the value is not written. Raises NetworkFault."""
    for name, value in values.items():
        path = SYSCTL_ROOT / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            raise NetworkFault(f"set sysctl {name} to {value}: {error.strerror}") from error
