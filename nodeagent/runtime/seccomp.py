"""Seccomp profiles: containers' common file format -> the OCI runtime's, and the compiled filters.

The runtime takes 18 ms to compile the default profile, and 2 ms to take a compiled one. So the first container with a
given (profile, capabilities) hands over the profile, and the filter that the runtime leaves in its state folder is kept
for all others. Filters are kept on the run folder: a new kernel or runtime comes with a boot.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.runtime.interface import RuntimeFault, Security
from nodeagent.runtime.syscalls import open_in_root, write_file

DEFAULT_PROFILE_PATH = "/usr/share/containers/seccomp.json"
"""From the distribution's golang-github-containers-common."""
BPF_ANNOTATION = "run.oci.seccomp_bpf_data"
RUNTIME_DEFAULT = "RuntimeDefault"
LOCALHOST_PREFIX = "Localhost:"

_ARCHITECTURES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


ADMIN = "CAP_SYS_ADMIN"
ADMIN_SYSCALLS = frozenset({
    "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root",
    "setns", "umount", "umount2", "unshare", "add_key", "keyctl", "request_key",
})  # fmt: skip
"""The file lets every container make user namespaces and mount in them. Docker and containerd let only those that have
CAP_SYS_ADMIN, and keep all out of the kernel's keyrings, which no namespace separates; so does RuntimeDefault here."""
NEW_NAMESPACE_FLAGS = 0x7E020000
"""clone(2): CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
EPERM, ENOSYS = 1, 38


@dataclass(frozen=True, slots=True)
class Filter:
    """What a container's config says about seccomp: a compiled filter, or the profile to compile, or neither."""

    bpf: str = ""
    """Base64, for the annotation."""
    profile: Mapping[str, Any] | None = None
    """An OCI linux.seccomp object."""
    key: str = ""
    """What the compiled filter is kept under; empty: it is not kept."""


def convert(profile: Mapping[str, Any], capabilities: Sequence[str], machine: str) -> dict[str, Any]:
    """The OCI linux.seccomp object of a profile in containers' format, whose rules may depend on capabilities and
    architecture (`includes`, `excludes`). A profile in OCI form passes through."""
    arch, scmp_arch = _ARCHITECTURES.get(machine, (machine, ""))
    architectures = list(profile.get("architectures", ()))
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == scmp_arch:
            architectures += [scmp_arch, *(entry.get("subArchitectures") or ())]
    converted: dict[str, Any] = {"defaultAction": profile["defaultAction"], "architectures": architectures}
    if "defaultErrnoRet" in profile:
        converted["defaultErrnoRet"] = profile["defaultErrnoRet"]
    rules = [rule for rule in profile.get("syscalls") or () if _applies(rule, frozenset(capabilities), arch)]
    return converted | {"syscalls": [_rule(rule) for rule in rules]}


def without_namespaces(seccomp: Mapping[str, Any], capabilities: Sequence[str]) -> dict[str, Any]:
    """An OCI linux.seccomp object that refuses ADMIN_SYSCALLS and new namespaces to whoever lacks CAP_SYS_ADMIN.
    clone3 hides its flags from a filter; ENOSYS makes the C library fall back to clone."""
    if ADMIN in capabilities:
        return dict(seccomp)
    taken = ADMIN_SYSCALLS | {"clone", "clone3"}
    kept = [rule | {"names": [n for n in rule["names"] if n not in taken]} for rule in seccomp["syscalls"]]
    no_new = {"index": 0, "value": NEW_NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    refusals = [
        {"names": sorted(ADMIN_SYSCALLS), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_new]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
    ]
    return {**seccomp, "syscalls": [rule for rule in kept if rule["names"]] + refusals}


def _applies(rule: Mapping[str, Any], capabilities: frozenset[str], arch: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("caps") and not capabilities.issuperset(includes["caps"]):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    return capabilities.isdisjoint(excludes.get("caps") or ()) and arch not in (excludes.get("arches") or ())


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = list(rule.get("names") or ([rule["name"]] if "name" in rule else ()))
    converted: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("args"):
        converted["args"] = rule["args"]
    if rule.get("errnoRet") is not None:
        converted["errnoRet"] = rule["errnoRet"]
    return converted


class SeccompFilters:
    """Compiled filters below `folder`; the node's own profiles (Localhost) below `profiles`."""

    def __init__(self, folder: str, profiles: str) -> None:
        self._folder, self._profiles = folder, profiles
        self._machine = os.uname().machine
        for path in (folder, profiles):
            os.makedirs(path, exist_ok=True)

    def for_container(self, security: Security, capabilities: Sequence[str], *, compiled: bool) -> Filter:
        """`compiled`: whether the OCI runtime takes compiled filters; one that does not know the annotation would run
        the container unconfined. Raises RuntimeFault when the profile cannot be read: never runs a container with less
        than was asked."""
        if security.privileged or security.seccomp == "Unconfined":
            return Filter()
        text = self._read(security.seccomp)
        if not compiled:
            return Filter(profile=self._convert(security.seccomp, text, capabilities))
        key = hashlib.sha256(text + ",".join((security.seccomp, *capabilities)).encode()).hexdigest()
        try:
            with open(os.path.join(self._folder, key), "rb") as file:
                return Filter(bpf=base64.b64encode(file.read()).decode(), key=key)
        except FileNotFoundError:
            return Filter(profile=self._convert(security.seccomp, text, capabilities), key=key)

    def keep(self, used: Filter, compiled_path: str) -> None:
        """Takes the filter that the runtime compiled for a container created with `used.profile`."""
        if not used.key or used.bpf:
            return
        with open(compiled_path, "rb") as file:
            write_file(os.path.join(self._folder, used.key), file.read())

    def _read(self, name: str) -> bytes:
        if name != RUNTIME_DEFAULT and not name.startswith(LOCALHOST_PREFIX):
            raise RuntimeFault(f"unknown seccomp profile {name!r}")
        path = DEFAULT_PROFILE_PATH if name == RUNTIME_DEFAULT else name.removeprefix(LOCALHOST_PREFIX)
        try:
            # A user names the node's profiles: no path and no symlink leads out of their folder.
            opened = path if name == RUNTIME_DEFAULT else open_in_root(self._profiles, path)
            with open(opened, "rb") as file:
                return file.read()
        except OSError as error:
            raise RuntimeFault(f"reading seccomp profile {path}: {error.strerror}") from None

    def _convert(self, name: str, text: bytes, capabilities: Sequence[str]) -> dict[str, Any]:
        try:
            converted = convert(json.loads(text), capabilities, self._machine)
            return without_namespaces(converted, capabilities) if name == RUNTIME_DEFAULT else converted
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RuntimeFault(f"seccomp profile {name} cannot be used: {error!r}") from None
