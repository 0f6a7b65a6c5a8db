"""Security contexts from the pod's spec to the kernel: each read from inside the container and from the host's side."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nodeagent.container_config import container_config, sandbox_config
from nodeagent.environment import ConfigError
from nodeagent.runtime.interface import Mount, RuntimeFault
from nodeagent.volumes.removal import unmount_below
from nodeagent.volumes.volumes import Volumes
from orch.api.configmap import ConfigMap
from orch.api.pod.container import Container, VolumeMount
from orch.api.pod.security import Capabilities, PodSecurityContext, SeccompProfile, SecurityContext, Sysctl
from orch.api.pod.spec import Pod
from orch.api.pod.volume import ConfigMapVolumeSource, EmptyDirVolumeSource, SecretVolumeSource, Volume
from orch.kit.clock import SystemClock
from tests.images import busybox_layer
from tests.integration.test_volumes import DNS, NODE, Objects, Tokens
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab
from tests.unit.nodeagent.machine import a_pod

FOREVER = "while :; do sleep 1; done"
LINUX = tuple(int(number) for number in os.uname().release.split(".")[:2])
SHIFTS_TMPFS = pytest.mark.skipif(LINUX < (6, 3), reason="this kernel cannot shift the ids of a tmpfs")
NAMESPACES = ("net", "ipc", "uts", "pid", "user", "mnt")


def read(path: str) -> str:
    return Path(path).read_text()


def present(path: str) -> bool:
    return os.path.exists(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


class PodLab:
    """Pods on a node, from their specs."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.count = 0

    async def run(
        self, *own: SecurityContext, mounts: tuple[Mount, ...] = (), image_user: str = "", **spec: Any
    ) -> str:
        """The id of the pod's last container; one for each of `own`."""
        image = await self.node.lab.load("secured:1", [busybox_layer()], User=image_user)
        self.count += 1
        containers = tuple(
            Container(name=f"c{n}", command=("/bin/sh", "-c", FOREVER), security_context=context)
            for n, context in enumerate(own or (SecurityContext(),))
        )
        uid = f"{self.node.lab.cgroup_root}-{self.count}"
        pod = a_pod(*containers, meta={"uid": uid}, **spec)
        logs = f"{self.node.lab.state_dir}/logs/{uid}"
        await self.node.runtime.run_pod_sandbox(sandbox_config(pod, logs, NODE))
        return [await self.start(pod, container, image, mounts) for container in pod.spec.containers][-1]

    async def start(self, pod: Pod, container: Container, image: Any, mounts: tuple[Mount, ...]) -> str:
        config = container_config(
            pod, container, attempt=0, image=image, inputs=Objects(), node=NODE, pod_ip="", mounts=mounts
        )
        container_id = await self.node.start(config)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            while "while" not in self.outside(container_id, "cmdline"):  # noqa: ASYNC110 - until it is no more the runtime
                await asyncio.sleep(0.01)
        return container_id

    async def inside(self, container_id: str, script: str) -> str:
        """What a script prints that runs as the container's own process would."""
        return (await self.node.inside(container_id, "/bin/sh", "-c", f"exec 2>&1; {script}")).strip()

    def outside(self, container_id: str, file: str = "status") -> str:
        """By the kernel's account of its first process."""
        return Path(f"/proc/{self.node.pid(container_id)}/{file}").read_text()

    def field(self, container_id: str, name: str) -> str:
        found = re.search(rf"^{name}:[^\S\n]*(.*)$", self.outside(container_id), re.MULTILINE)
        assert found is not None
        return found.group(1).strip()

    def mount_options(self, container_id: str, point: str) -> str:
        lines = [line.split() for line in self.outside(container_id, "mountinfo").splitlines()]
        return [line[5] for line in lines if line[4] == point][-1]

    def namespace(self, container_id: str, kind: str) -> str:
        return os.readlink(f"/proc/{self.node.pid(container_id)}/ns/{kind}")


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("secctx") as made:
        yield made


@pytest.fixture
async def pods(lab: RuntimeLab) -> AsyncIterator[PodLab]:
    async with running_node(lab) as node:
        yield PodLab(node)


async def ids(pods: PodLab, container_id: str) -> tuple[str, str, list[str]]:
    """uid, gid and supplementary groups; from inside and outside they are the same."""
    inside = (await pods.inside(container_id, "id -u; id -g")).split()
    outside = [pods.field(container_id, name).split()[1] for name in ("Uid", "Gid")]
    assert inside == outside
    return outside[0], outside[1], pods.field(container_id, "Groups").split()


@pytest.mark.parametrize(
    ("own", "whole", "image_user", "expected"),
    [
        pytest.param({}, {}, "", ("0", "0", []), id="root unless anybody says"),
        pytest.param({}, {}, "web", ("1000", "1001", ["1001", "1002"]), id="the image's user by name"),
        pytest.param({}, {}, "1000:5", ("1000", "5", ["1002"]), id="the image's by number"),
        pytest.param({"run_as_user": 1000}, {}, "", ("1000", "1001", ["1001", "1002"]), id="with its image's groups"),
        pytest.param({"run_as_user": 4000}, {}, "web", ("4000", "0", []), id="that the image does not know"),
        pytest.param(
            {"run_as_user": 1000}, {"run_as_user": 5, "run_as_group": 3000}, "", ("1000", "3000", ["1002"]),
            id="the container over the pod",
        ),
        pytest.param(
            {}, {"run_as_user": 1000, "fs_group": 2000, "supplemental_groups": (4000,)}, "",
            ("1000", "1001", ["1001", "1002", "2000", "4000"]), id="merged",
        ),
        pytest.param(
            {}, {"run_as_user": 1000, "fs_group": 2000, "supplemental_groups": (4000,),
                 "supplemental_groups_policy": "Strict"}, "",
            ("1000", "1001", ["2000", "4000"]), id="strict",
        ),
    ],
)  # fmt: skip
async def test_who_it_runs_as(
    pods: PodLab, own: dict[str, Any], whole: dict[str, Any], image_user: str, expected: tuple[str, str, list[str]]
) -> None:
    context = PodSecurityContext(**whole)
    container_id = await pods.run(SecurityContext(**own), security_context=context, image_user=image_user)
    uid, gid, groups = await ids(pods, container_id)
    assert (uid, gid) == expected[:2]
    assert set(groups) - {gid} == set(expected[2]) - {gid}


async def test_who_may_be_root_does_not_start(pods: PodLab) -> None:
    refuse = SecurityContext(run_as_non_root=True)
    for user, said in (("", "image will run as root"), ("web", r"non-numeric user \(web\)")):
        with pytest.raises(ConfigError, match=said):
            await pods.run(refuse, image_user=user)
    container_id = await pods.run(refuse, image_user="1000")
    assert (await ids(pods, container_id))[0] == "1000"


async def test_capabilities_of_root_and_of_others(pods: PodLab) -> None:
    only = Capabilities(add=("NET_BIND_SERVICE", "SYS_TIME"), drop=("ALL",))
    container_id = await pods.run(SecurityContext(capabilities=only))
    expected = f"{1 << 10 | 1 << 25:016x}"
    assert {pods.field(container_id, f"Cap{kind}") for kind in ("Eff", "Prm", "Bnd")} == {expected}
    assert await pods.inside(container_id, "grep CapEff /proc/1/status") == f"CapEff:\t{expected}"
    everything = await pods.run(SecurityContext(capabilities=Capabilities(add=("ALL",), drop=("SYS_MODULE",))))
    own = re.search(r"^CapBnd:\s*(\S+)$", read("/proc/self/status"), re.MULTILINE)
    assert own is not None
    assert int(pods.field(everything, "CapEff"), 16) == int(own.group(1), 16) & ~(1 << 16)
    user = await pods.run(SecurityContext(run_as_user=7, capabilities=only))
    assert (pods.field(user, "CapEff"), pods.field(user, "CapBnd")) == ("0" * 16, expected)


async def test_privileges_are_not_gained_where_that_is_refused(pods: PodLab) -> None:
    plain = await pods.run(SecurityContext())
    held = await pods.run(SecurityContext(allow_privilege_escalation=False))
    assert [pods.field(c, "NoNewPrivs") for c in (plain, held)] == ["0", "1"]
    assert await pods.inside(held, "grep NoNewPrivs /proc/self/status") == "NoNewPrivs:\t1"


async def test_a_privileged_container(pods: PodLab) -> None:
    container_id = await pods.run(SecurityContext(privileged=True))
    assert (pods.field(container_id, "Seccomp"), pods.mount_options(container_id, "/sys")[:2]) == ("0", "rw")
    assert " /proc/sys " not in pods.outside(container_id, "mountinfo")
    devices = (await pods.inside(container_id, "ls /dev")).split()
    assert {name for name in ("kmsg", "null", "mem", "vda") if present(f"/dev/{name}")} <= set(devices)
    attempt = "mknod /tmp/zero c 1 5; dd if=/tmp/zero of=/dev/null bs=1 count=1 2> /dev/null && echo read"
    assert await pods.inside(container_id, attempt) == "read"
    assert await pods.inside(container_id, "mount -t tmpfs none /tmp && echo mounted") == "mounted"


async def test_the_root_is_read_only_and_volumes_are_not(pods: PodLab, tmp_path: Path) -> None:
    mounts = (Mount(str(tmp_path), "/data"),)
    container_id = await pods.run(SecurityContext(read_only_root_filesystem=True), mounts=mounts)
    assert pods.mount_options(container_id, "/")[:2] == "ro"
    assert "Read-only" in await pods.inside(container_id, "touch /x")
    assert await pods.inside(container_id, "echo y > /data/y; cat /data/y") == "y"


async def test_masked_and_read_only_paths(pods: PodLab) -> None:
    container_id = await pods.run(SecurityContext())
    for point in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys", "/proc/keys", "/sys/firmware"):
        assert pods.mount_options(container_id, point)[:2] == "ro"
    assert await pods.inside(container_id, "cat /proc/keys /proc/timer_list /proc/kpagecount; ls /sys/firmware") == ""


async def test_seccomp_profiles(pods: PodLab) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    text = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    write(Path(pods.node.lab.state_dir, "seccomp", "own", "no-mkdir.json"), text)
    local = SeccompProfile(type="Localhost", localhost_profile="own/no-mkdir.json")
    held = await pods.run(SecurityContext(seccomp_profile=local))
    assert "not permitted" in await pods.inside(held, "mkdir /tmp/x")
    plain = await pods.run(SecurityContext())
    free = await pods.run(SecurityContext(seccomp_profile=SeccompProfile(type="Unconfined")))
    assert [pods.field(c, "Seccomp") for c in (held, plain, free)] == ["2", "2", "0"]
    assert "not permitted" in await pods.inside(plain, "unshare -U true")
    missing = SeccompProfile(type="Localhost", localhost_profile="none.json")
    with pytest.raises(RuntimeFault, match=r"reading seccomp profile none\.json"):
        await pods.run(SecurityContext(seccomp_profile=missing))


async def test_proc_without_masks_is_for_pods_with_users_of_their_own(pods: PodLab) -> None:
    container_id = await pods.run(SecurityContext(proc_mount="Unmasked"), host_users=False)
    assert " /proc/sys " not in pods.outside(container_id, "mountinfo")
    refused = "echo 1 > /proc/sys/kernel/panic || echo refused"
    assert (await pods.inside(container_id, refused)).endswith("refused")


async def test_sysctls_are_the_pods(pods: PodLab) -> None:
    name = "net.ipv4.ip_local_port_range"
    context = PodSecurityContext(sysctls=(Sysctl(name="net/ipv4/ip_local_port_range", value="1024 2048"),))
    before = read("/proc/sys/net/ipv4/ip_local_port_range")
    container_id = await pods.run(SecurityContext(), security_context=context)
    assert await pods.inside(container_id, f"sysctl {name}") == f"{name} = 1024\t2048"
    assert read("/proc/sys/net/ipv4/ip_local_port_range") == before


@pytest.mark.parametrize(
    ("spec", "shared"),
    [
        ({}, set()),
        ({"host_network": True}, {"net", "uts"}),
        ({"host_pid": True}, {"pid"}),
        ({"host_ipc": True}, {"ipc"}),
        ({"host_users": False}, set()),
    ],
)
async def test_namespaces_shared_with_the_host(pods: PodLab, spec: dict[str, Any], shared: set[str]) -> None:
    container_id = await pods.run(SecurityContext(), **spec)
    own_users = {"user"} if spec.get("host_users") is not False else set()
    found = {kind for kind in NAMESPACES if pods.namespace(container_id, kind) == os.readlink(f"/proc/self/ns/{kind}")}
    assert found == shared | own_users
    outsider = await pods.inside(container_id, f"test -e /proc/{os.getpid()} && echo seen")
    assert outsider == ("seen" if spec.get("host_pid") else "")


async def test_containers_of_a_pod_see_each_others_processes_when_asked_to(pods: PodLab) -> None:
    container_id = await pods.run(SecurityContext(), SecurityContext(run_as_user=9), share_process_namespace=True)
    seen = await pods.inside(container_id, "ps -o user,args")
    assert "/pause" in seen
    assert len(re.findall(r"while :", seen)) >= 2


async def test_open_files_and_oom_score_are_what_the_agent_may_give(pods: PodLab) -> None:
    container_id = await pods.run(SecurityContext())
    [limit] = re.findall(r"Max open files\s+(\d+)\s+(\d+)", pods.outside(container_id, "limits"))
    assert await pods.inside(container_id, "ulimit -Sn; ulimit -Hn") == "\n".join(limit)
    score = int(pods.outside(container_id, "oom_score_adj"))
    assert score == int(await pods.inside(container_id, "cat /proc/1/oom_score_adj")) == 1000


async def test_a_guaranteed_pod_starts_where_its_score_may_not_be_set(pods: PodLab) -> None:
    """-997 needs CAP_SYS_RESOURCE; without it the agent's own is the least."""
    image = await pods.node.lab.busybox()
    pod = a_pod(Container(name="c", command=("/bin/sh", "-c", FOREVER)), meta={"uid": f"{pods.node.lab.cgroup_root}-g"})
    pod = replace(pod, status=replace(pod.status, qos_class="Guaranteed"))
    await pods.node.runtime.run_pod_sandbox(sandbox_config(pod, f"{pods.node.lab.state_dir}/logs/g", NODE))
    container_id = await pods.start(pod, pod.spec.containers[0], image, ())
    capable = int(re.findall(r"CapEff:\s*(\S+)", read("/proc/self/status"))[0], 16) >> 24 & 1
    least = -997 if capable else max(-997, int(read("/proc/self/oom_score_adj")))
    assert int(pods.outside(container_id, "oom_score_adj")) == least


@pytest.mark.parametrize(
    "host_users",
    [True, pytest.param(False, marks=pytest.mark.skipif(LINUX < (6, 3), reason="no shifted ids on tmpfs"))],
)
async def test_volumes_and_files_of_a_pod_belong_to_its_ids(pods: PodLab, tmp_path: Path, host_users: bool) -> None:
    """emptyDir on disk and in memory, a Secret, a ConfigMap and the names' files, with an fsGroup."""
    objects = Objects()
    objects.config_maps["conf"] = ConfigMap(data={"mode": "fast"})
    mounts = tuple(VolumeMount(name=name, mount_path=f"/v/{name}") for name in ("disk", "memory", "keys", "conf"))
    command = ("/bin/sh", "-c", FOREVER)
    container = Container(name="c", command=command, volume_mounts=mounts)
    volumes = (
        Volume(name="disk", empty_dir=EmptyDirVolumeSource()),
        Volume(name="memory", empty_dir=EmptyDirVolumeSource(medium="Memory")),
        Volume(name="keys", secret=SecretVolumeSource(secret_name="keys")),
        Volume(name="conf", config_map=ConfigMapVolumeSource(name="conf")),
    )
    context = PodSecurityContext(run_as_user=1000, run_as_group=3000, fs_group=2000)
    uid = f"{pods.node.lab.cgroup_root}-v{host_users}"
    pod = a_pod(container, meta={"uid": uid}, volumes=volumes, security_context=context, host_users=host_users)
    maker = Volumes(
        tmp_path / "state", tmp_path / "run", objects, NODE, DNS, Tokens(), SystemClock(), objects.reports.append
    )
    try:
        await maker.prepare(pod)
        await pods.node.runtime.run_pod_sandbox(sandbox_config(pod, f"{pods.node.lab.state_dir}/logs/{uid}", NODE))
        image = await pods.node.lab.busybox()
        container_id = await pods.start(pod, container, image, maker.mounts(pod, container, "10.0.0.9"))
        said = await pods.inside(container_id, "cat /v/keys/key /v/conf/mode; grep -c 10.96.0.10 /etc/resolv.conf")
        assert said == "s3fast1"
        assert "10.0.0.9" in await pods.inside(container_id, "cat /etc/hosts")
        for folder in ("disk", "memory"):
            script = f"echo x > /v/{folder}/f; stat -c '%u:%g' /v/{folder}/f"
            assert await pods.inside(container_id, script) == "1000:2000"
        [written] = (tmp_path / "state").rglob("f")
        assert (written.stat().st_uid, written.stat().st_gid) == (1000, 2000)
        assert "Read-only" in await pods.inside(container_id, "echo > /v/keys/key")
        await pods.node.runtime.remove_pod_sandbox(uid)
    finally:
        unmount_below(tmp_path)
