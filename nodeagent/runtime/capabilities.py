"""Linux capabilities of a container. Pure."""

from collections.abc import Iterable

from nodeagent.runtime.interface import RuntimeFault, Security

ALL = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of their numbers (capability.h), without CAP_."""

DEFAULT = frozenset({
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
})  # fmt: skip
"""What Docker and containerd give."""


def names(mask: int) -> frozenset[str]:
    """The capabilities in a mask such as CapBnd of /proc/self/status."""
    return frozenset(name for number, name in enumerate(ALL) if mask >> number & 1)


def granted(security: Security, available: frozenset[str]) -> tuple[str, ...]:
    """What the container gets, in number order: all that the agent itself has when privileged, else the default set
    with `add` put in and `drop` taken out; either may say ALL. Raises RuntimeFault for a name that does not exist or
    that the agent cannot give."""
    if security.privileged:
        return _ordered(available)
    add, drop = _normalised(security.add_capabilities), _normalised(security.drop_capabilities)
    if missing := add - available - {"ALL"}:
        raise RuntimeFault(f"the node's agent has no capability {', '.join(sorted(missing))} to give")
    kept = frozenset() if "ALL" in drop else DEFAULT
    base = available if "ALL" in add else kept & available
    return _ordered((base | add) - drop)


def _ordered(chosen: frozenset[str]) -> tuple[str, ...]:
    return tuple(f"CAP_{name}" for name in ALL if name in chosen)


def _normalised(given: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(name.upper().removeprefix("CAP_") for name in given)
    if unknown := chosen - frozenset(ALL) - {"ALL"}:
        raise RuntimeFault(f"unknown capability {', '.join(sorted(unknown))}")
    return chosen
