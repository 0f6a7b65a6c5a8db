"""Rules of security contexts of pods and containers."""

import re
from collections.abc import Sequence

from orch.api.causes import Causes
from orch.api.pod.security import (
    AppArmorProfile,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
    Sysctl,
)

ID_MAX = 2**31 - 1
_SYSCTL_NAME = re.compile(r"([a-z0-9][-_a-z0-9]*[./])*[a-z0-9][-_a-z0-9]*")
SYSCTL_NAME_MAX_CHARS = 253
PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")


def pod_security_rules(causes: Causes, path: str, context: PodSecurityContext | None, *, host_network: bool) -> None:
    if context is None:
        return
    _id_rules(causes, path, context)
    causes.between(f"{path}.fsGroup", context.fs_group, 0, ID_MAX)
    for index, group in enumerate(context.supplemental_groups or ()):
        causes.between(f"{path}.supplementalGroups[{index}]", group, 0, ID_MAX)
    causes.maybe_one_of(f"{path}.fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch"))
    causes.maybe_one_of(f"{path}.supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict"))
    _sysctl_rules(causes, f"{path}.sysctls", context.sysctls or (), host_network)
    _profile_rules(causes, f"{path}.seccompProfile", context.seccomp_profile)
    _profile_rules(causes, f"{path}.appArmorProfile", context.app_armor_profile)


def container_security_rules(causes: Causes, path: str, context: SecurityContext | None, *, host_users: bool) -> None:
    if context is None:
        return
    _id_rules(causes, path, context)
    causes.maybe_one_of(f"{path}.procMount", context.proc_mount, ("Default", "Unmasked"))
    if context.proc_mount == "Unmasked" and host_users:
        causes.invalid(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`")
    if context.allow_privilege_escalation is False:
        if context.privileged:
            causes.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        added = context.capabilities.add if context.capabilities else None
        if any(capability in ("SYS_ADMIN", "CAP_SYS_ADMIN") for capability in added or ()):
            causes.invalid(
                path,
                context,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            )
    _profile_rules(causes, f"{path}.seccompProfile", context.seccomp_profile)
    _profile_rules(causes, f"{path}.appArmorProfile", context.app_armor_profile)


def _id_rules(causes: Causes, path: str, context: PodSecurityContext | SecurityContext) -> None:
    causes.between(f"{path}.runAsUser", context.run_as_user, 0, ID_MAX)
    causes.between(f"{path}.runAsGroup", context.run_as_group, 0, ID_MAX)


def _profile_rules(causes: Causes, path: str, profile: SeccompProfile | AppArmorProfile | None) -> None:
    if profile is None:
        return
    causes.one_of(f"{path}.type", profile.type, PROFILE_TYPES)
    local = profile.localhost_profile
    if profile.type == "Localhost":
        if not local:
            causes.required(f"{path}.localhostProfile", "must be set when type is Localhost")
        elif local.startswith("/") or ".." in local.split("/"):
            causes.invalid(f"{path}.localhostProfile", local, "must be a relative path without '..'")
    elif local is not None:
        causes.invalid(f"{path}.localhostProfile", local, "can only be set when type is Localhost")


def _sysctl_rules(causes: Causes, path: str, sysctls: Sequence[Sysctl], host_network: bool) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at = f"{path}[{index}].name"
        name = sysctl.name.replace("/", ".")
        if not name:
            causes.required(at)
        elif len(name) > SYSCTL_NAME_MAX_CHARS or not _SYSCTL_NAME.fullmatch(sysctl.name):
            causes.invalid(at, sysctl.name, f"must have at most {SYSCTL_NAME_MAX_CHARS} characters and name a sysctl")
        elif name in seen:
            causes.duplicate(at, sysctl.name)
        if host_network and name.startswith("net."):
            causes.invalid(at, sysctl.name, "may not be specified when 'hostNetwork' is true")
        seen.add(name)
