"""Profiles in containers' format become OCI ones."""

from pathlib import Path
from typing import Any

import pytest

from nodeagent.runtime.interface import RuntimeFault, Security
from nodeagent.runtime.seccomp import SeccompFilters, convert, without_namespaces

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        {"names": ["read", "clone", "clone3", "unshare"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}},
        {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
    ],
}


def rules(converted: dict[str, Any]) -> list[tuple[list[str], str]]:
    return [(rule["names"], rule["action"]) for rule in converted["syscalls"]]


def test_rules_depend_on_capabilities_and_architecture() -> None:
    with_chroot = convert(PROFILE, ["CAP_SYS_CHROOT"], "x86_64")
    assert (["chroot"], "SCMP_ACT_ALLOW") in rules(with_chroot)
    assert (["arch_prctl"], "SCMP_ACT_ALLOW") in rules(with_chroot)
    without = convert(PROFILE, [], "aarch64")
    assert (["chroot"], "SCMP_ACT_ERRNO") in rules(without)
    assert (["arch_prctl"], "SCMP_ACT_ALLOW") not in rules(without)
    assert without["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert (without["defaultAction"], without["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_an_oci_profile_passes_through() -> None:
    oci = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []}
    assert convert(oci, [], "x86_64") == oci


def test_new_namespaces_take_sys_admin() -> None:
    converted = convert(PROFILE, [], "x86_64")
    assert without_namespaces(converted, ["CAP_SYS_ADMIN"]) == converted
    refused = without_namespaces(converted, [])
    assert refused["syscalls"][0]["names"] == ["read"]
    by_name = {name: rule for rule in refused["syscalls"] for name in rule["names"]}
    assert by_name["unshare"]["action"] == "SCMP_ACT_ERRNO"
    assert by_name["clone"]["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"
    assert by_name["clone3"]["errnoRet"] == 38


def test_a_filter_is_compiled_once_per_profile_and_capabilities(tmp_path: Path) -> None:
    filters = SeccompFilters(str(tmp_path / "kept"), str(tmp_path))
    first = filters.for_container(Security(), ["CAP_KILL"], compiled=True)
    assert first.profile is not None
    assert not first.bpf
    (tmp_path / "compiled").write_bytes(b"bpf")
    filters.keep(first, str(tmp_path / "compiled"))
    again = filters.for_container(Security(), ["CAP_KILL"], compiled=True)
    assert (again.bpf, again.profile) == ("YnBm", None)
    assert filters.for_container(Security(), ["CAP_CHOWN"], compiled=True).profile is not None


def test_a_runtime_that_takes_no_compiled_filter_always_gets_the_profile(tmp_path: Path) -> None:
    filters = SeccompFilters(str(tmp_path / "kept"), str(tmp_path))
    for _ in range(2):
        used = filters.for_container(Security(), ["CAP_KILL"], compiled=False)
        assert used.profile is not None
        filters.keep(used, "/nonexistent")


def test_unconfined_and_privileged_have_no_filter(tmp_path: Path) -> None:
    filters = SeccompFilters(str(tmp_path), str(tmp_path / "profiles"))
    for security in (Security(seccomp="Unconfined"), Security(privileged=True)):
        unfiltered = filters.for_container(security, [], compiled=True)
        assert (unfiltered.bpf, unfiltered.profile) == ("", None)


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"defaultAction": "x", "syscalls": [1]}'])
def test_a_profile_that_cannot_be_used_is_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile.json").write_text(text)
    filters = SeccompFilters(str(tmp_path / "kept"), str(tmp_path))
    with pytest.raises(RuntimeFault, match="cannot be used"):
        filters.for_container(Security(seccomp="Localhost:profile.json"), [], compiled=True)


def test_an_unknown_profile_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match="unknown seccomp profile"):
        SeccompFilters(str(tmp_path), str(tmp_path / "profiles")).for_container(
            Security(seccomp="Strict"), [], compiled=True
        )
