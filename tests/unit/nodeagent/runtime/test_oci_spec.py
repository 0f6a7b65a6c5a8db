"""Configurations become config.json."""

from dataclasses import replace
from typing import Any

import pytest

from nodeagent.runtime.interface import (
    ContainerConfig,
    ImageConfig,
    Mount,
    Resources,
    RuntimeFault,
    SandboxConfig,
    Security,
)
from nodeagent.runtime.oci_spec import (
    MASKED_PATHS,
    Device,
    HostFacts,
    Namespaces,
    Placement,
    arguments,
    container_spec,
    environment,
    exec_process,
)
from nodeagent.runtime.seccomp import BPF_ANNOTATION, Filter
from nodeagent.runtime.users import Identity

SANDBOX = SandboxConfig("uid", "default", "web", "web-0", "kubepods/poduid", "/logs")
CONTAINER = ContainerConfig("uid", "main", 0, "sha256:x", command=("run",))
HOST = HostFacts(cgroup_v2=False, counts_swap=True, oom_score_adj_min=-500, open_files_max=20_000)
UNCONFINED = Filter()
PODS = Namespaces("/pins/net", "/pins/ipc", "/pins/uts")
PLACEMENT = Placement("/bundle/rootfs", "node/kubepods/poduid/c", "/pod/shm", PODS)


def spec(
    container: ContainerConfig = CONTAINER,
    *,
    seccomp: Filter = UNCONFINED,
    placement: Placement = PLACEMENT,
    host: HostFacts = HOST,
) -> dict[str, Any]:
    return container_spec(SANDBOX, container, ImageConfig(), Identity(0, 0), ["CAP_KILL"], seccomp, placement, host)


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ("entry", "image-arg")),
        (("cmd",), (), ("cmd",)),
        ((), ("arg",), ("entry", "arg")),
        (("cmd",), ("arg",), ("cmd", "arg")),
    ],
)
def test_command_and_args_override_as_in_kubernetes(
    command: tuple[str, ...], args: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    image = ImageConfig(entrypoint=("entry",), cmd=("image-arg",))
    assert arguments(replace(CONTAINER, command=command, args=args), image) == expected


def test_nothing_to_run_is_a_fault() -> None:
    with pytest.raises(RuntimeFault, match="main: no command"):
        arguments(replace(CONTAINER, command=()), ImageConfig())


def test_the_last_of_a_variable_wins_and_path_is_always_there() -> None:
    image = ImageConfig(env=("A=1", "B=1", "EQ=a=b"))
    env = environment(SANDBOX, replace(CONTAINER, env=(("B", "2"), ("C", "")), tty=True), image)
    assert env[0].startswith("PATH=")
    assert set(env[1:]) == {"HOSTNAME=web-0", "TERM=xterm", "A=1", "B=2", "EQ=a=b", "C="}


def test_namespaces_are_the_pods_and_the_containers_own() -> None:
    kinds = {entry["type"]: entry.get("path", "") for entry in spec()["linux"]["namespaces"]}
    assert kinds == {"mount": "", "network": "/pins/net", "ipc": "/pins/ipc", "uts": "/pins/uts", "pid": ""}
    v2 = spec(host=replace(HOST, cgroup_v2=True))["linux"]["namespaces"]
    assert {"type": "cgroup"} in v2
    hosts = spec(placement=replace(PLACEMENT, namespaces=Namespaces(host_pid=True)))["linux"]["namespaces"]
    assert hosts == [{"type": "mount"}]


def test_limits() -> None:
    limits = Resources(cpu_shares=2, cpu_quota_us=5, memory_limit_bytes=7, memory_request_bytes=3, pids_limit=9)
    resources = spec(replace(CONTAINER, resources=limits))["linux"]["resources"]
    assert resources["memory"] == {"limit": 7, "swap": 7, "reservation": 3}
    assert resources["cpu"] == {"shares": 2, "quota": 5, "period": 100_000}
    assert resources["pids"] == {"limit": 9}
    assert set(spec()["linux"]["resources"]) == {"devices"}
    without_swap = spec(replace(CONTAINER, resources=limits), host=replace(HOST, counts_swap=False))
    assert "swap" not in without_swap["linux"]["resources"]["memory"]


@pytest.mark.parametrize(("asked", "given"), [(-999, -500), (0, 0), (1000, 1000), (5000, 1000)])
def test_the_oom_score_is_clamped(asked: int, given: int) -> None:
    process = spec(replace(CONTAINER, resources=Resources(oom_score_adj=asked)))["process"]
    assert process["oomScoreAdj"] == given


def test_a_plain_container_is_confined() -> None:
    plain = spec(seccomp=Filter(bpf="YnBm"))
    assert plain["linux"]["maskedPaths"] == list(MASKED_PATHS)
    assert plain["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert plain["annotations"] == {BPF_ANNOTATION: "YnBm"}
    assert plain["process"]["capabilities"] == {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")}
    assert "seccomp" not in plain["linux"]


def test_a_privileged_container_is_not() -> None:
    devices = (Device("/dev/kmsg", "c", 1, 11, 0o644),)
    security = Security(privileged=True)
    free = spec(replace(CONTAINER, security=security), placement=replace(PLACEMENT, devices=devices))
    assert "maskedPaths" not in free["linux"]
    assert free["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert free["linux"]["devices"][0]["path"] == "/dev/kmsg"
    assert "rw" in next(m for m in free["mounts"] if m["destination"] == "/sys")["options"]


def test_unmasked_proc_keeps_the_rest_confined() -> None:
    unmasked = spec(replace(CONTAINER, security=Security(unmasked_proc=True)))
    assert "maskedPaths" not in unmasked["linux"]
    assert unmasked["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_mounts_come_outer_first_with_their_propagation() -> None:
    mounts = (
        Mount("/h/c", "/a/b/c", propagation="Bidirectional"),
        Mount("/h/a", "/a/", read_only=True),
        Mount("/h/b", "/a/b", propagation="HostToContainer"),
    )
    made = spec(replace(CONTAINER, mounts=mounts))
    assert [(m["destination"], m["options"]) for m in made["mounts"][-3:]] == [
        ("/a/", ["rbind", "ro", "rprivate"]),
        ("/a/b", ["rbind", "rw", "rslave"]),
        ("/a/b/c", ["rbind", "rw", "rshared"]),
    ]
    assert made["linux"]["rootfsPropagation"] == "rshared"
    assert spec()["linux"]["rootfsPropagation"] == "rprivate"


def test_an_exec_runs_as_the_container_does() -> None:
    process = exec_process(spec(), ["ls", "-l"], tty=True)
    assert (process["args"], process["terminal"]) == (["ls", "-l"], True)
    assert "TERM=xterm" in process["env"]
    assert process["capabilities"] == spec()["process"]["capabilities"]


def test_a_container_may_open_as_many_files_as_the_agent_may_give() -> None:
    assert spec()["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 20_000, "hard": 20_000}]
