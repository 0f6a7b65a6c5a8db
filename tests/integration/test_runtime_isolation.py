"""What a container can see and do, read from inside and from the kernel's side."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.runtime.interface import (
    ContainerConfig,
    Mount,
    RuntimeFault,
    Security,
)
from tests.images import busybox_layer, layer
from tests.runtime_lab import STEP_TIMEOUT_S, Node, RuntimeLab, running_node, runtime_lab, shell

DEFAULT_CAPABILITIES = "00000000a80425fb"
FOREVER = "while :; do sleep 1; done"


@pytest.fixture(scope="module")
def lab() -> Iterator[RuntimeLab]:
    with runtime_lab("isolation") as made:
        yield made


@pytest.fixture
async def node(lab: RuntimeLab) -> AsyncIterator[Node]:
    async with running_node(lab) as made:
        yield made


def read(path: str) -> str:
    return Path(path).read_text()


def write(path: str, text: str) -> str:
    Path(path).write_text(text)
    return path


def status_fields(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


async def test_it_runs_as_process_one_with_its_own_view(node: Node) -> None:
    sandbox = await node.pod(hostname="web-0")
    text = await node.output("echo $$; hostname; echo $HOSTNAME; ls /proc | grep -c '^[0-9]'", sandbox)
    assert text.splitlines()[:3] == ["1", "web-0", "web-0"]
    assert int(text.splitlines()[3]) <= 4  # sh, ls, grep


async def test_containers_of_a_pod_share_network_ipc_and_name_but_not_pids_and_mounts(node: Node) -> None:
    sandbox = await node.pod()
    first = await node.start(shell(sandbox, node.image, FOREVER))
    second = await node.start(shell(sandbox, node.image, FOREVER, name="other", log_path="other/0.log"))
    namespaces = [
        {kind: os.readlink(f"/proc/{node.pid(c)}/ns/{kind}") for kind in ("net", "ipc", "uts", "pid", "mnt")}
        for c in (first, second)
    ]
    own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in namespaces[0]}
    shared = {kind for kind in own if namespaces[0][kind] == namespaces[1][kind]}
    assert shared == {"net", "ipc", "uts"}
    assert all(namespaces[0][kind] != own[kind] for kind in own)


async def test_dev_shm_is_the_pods(node: Node) -> None:
    sandbox = await node.pod()
    writer = await node.start(shell(sandbox, node.image, FOREVER))
    await node.runtime.exec_sync(writer, ["/bin/sh", "-c", "echo hello > /dev/shm/x"], STEP_TIMEOUT_S)
    reader = await node.start(shell(sandbox, node.image, FOREVER, name="other", log_path="other/0.log"))
    assert (await node.runtime.exec_sync(reader, ["cat", "/dev/shm/x"], STEP_TIMEOUT_S)).output == b"hello\n"
    other_pod = await node.start(shell(await node.pod(), node.image, FOREVER))
    assert (await node.runtime.exec_sync(other_pod, ["cat", "/dev/shm/x"], STEP_TIMEOUT_S)).exit_code != 0


async def test_loopback_is_up_and_the_network_namespace_is_the_attached_one(node: Node) -> None:
    sandbox = await node.pod()
    container = await node.start(shell(sandbox, node.image, FOREVER))
    result = await node.runtime.exec_sync(container, ["cat", "/sys/class/net/lo/flags"], STEP_TIMEOUT_S)
    assert int(result.output, 16) & 1
    inode = os.stat(node.lab.network.paths[sandbox.pod_uid]).st_ino
    assert os.readlink(f"/proc/{node.pid(container)}/ns/net") == f"net:[{inode}]"


async def test_the_default_capabilities_seccomp_and_masks(node: Node) -> None:
    fields = status_fields(await node.output("cat /proc/self/status"))
    assert (fields["CapEff"], fields["CapBnd"]) == (DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES)
    assert (fields["CapInh"], fields["CapAmb"]) == ("0" * 16, "0" * 16)
    assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "0")


async def test_the_kept_filter_filters_like_the_compiled_profile(node: Node) -> None:
    """The first container compiles the profile, the second gets the compiled filter. A user namespace needs no
    capability: only the filter can refuse it."""
    first, second = [
        await node.output("unshare -U true 2>&1; echo $?; grep Seccomp: /proc/self/status") for _ in range(2)
    ]
    assert first == second
    assert "Seccomp:\t2" in second
    assert second.splitlines()[:2] == ["unshare: unshare(0x10000000): Operation not permitted", "1"]


async def test_capabilities_are_added_and_dropped(node: Node) -> None:
    only = Security(drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",))
    assert status_fields(await node.output("cat /proc/self/status", security=only))["CapEff"] == f"{1 << 10:016x}"
    less = Security(drop_capabilities=("CAP_CHOWN",))
    fields = status_fields(await node.output("cat /proc/self/status", security=less))
    assert int(fields["CapEff"], 16) == int(DEFAULT_CAPABILITIES, 16) & ~1
    with pytest.raises(RuntimeFault, match="unknown capability NONSENSE"):
        await node.output("true", security=Security(add_capabilities=("NONSENSE",)))


async def test_another_user_has_no_capability_in_effect(node: Node) -> None:
    security = Security(uid=1000, gid=1001, supplemental_groups=(7,), no_new_privileges=True)
    text = await node.output("id -u; id -g; id -G; cat /proc/self/status", security=security)
    assert text.splitlines()[:3] == ["1000", "1001", "1001 7"]
    fields = status_fields(text)
    assert (fields["CapEff"], fields["NoNewPrivs"]) == ("0" * 16, "1")


async def test_the_images_user_is_looked_up_in_the_image(node: Node) -> None:
    assert await node.output("id -u; id -g; id -G", security=Security(username="web")) == "1000\n1001\n1001 1002"
    assert await node.output("id -u; id -g", security=Security(username="web:logs")) == "1000\n1002"
    with pytest.raises(RuntimeFault, match="no user 'nobody'"):
        await node.output("true", security=Security(username="nobody"))


async def test_a_symlink_in_the_image_does_not_lead_to_the_hosts_files(node: Node) -> None:
    """/etc/passwd of the image points at a file that only the host has; there is no such user then."""
    outside = write(f"{node.lab.state_dir}/passwd", "spy:x:4242:4242::/:/bin/sh\n")
    image = await node.lab.load("trap:1", [layer({"etc": None, "etc/passwd": f"../../../../..{outside}"})])
    sandbox = await node.pod()
    with pytest.raises(RuntimeFault, match="no user 'spy'"):
        await node.start(shell(sandbox, image, "true", security=Security(username="spy")))


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /tmp",
        "umount /proc/sys",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "echo x > /sys/kernel/uevent_helper",
        "mknod /tmp/disk b 254 0 && dd if=/tmp/disk of=/dev/null bs=1 count=1",
        "echo 1 > /sys/fs/cgroup/memory/cgroup.procs",
        "cat /sys/firmware/dmi/tables/DMI",
        "hostname other",
        "ip link add d0 type veth",
    ],
)
async def test_a_way_out_is_closed(node: Node, attempt: str) -> None:
    text = await node.output(f"({attempt}) 2>&1 && echo ESCAPED || echo refused")
    assert text.splitlines()[-1] == "refused"


async def test_a_device_of_the_host_cannot_be_opened_but_null_can(node: Node) -> None:
    attempt = "mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null bs=1 count=1 2>&1"
    text = await node.output(f"{attempt}; echo x > /dev/null && echo ok")
    assert "Operation not permitted" in text
    assert text.splitlines()[-1] == "ok"


async def test_a_privileged_container_has_what_the_agent_has(node: Node) -> None:
    bounding = status_fields(read("/proc/self/status"))["CapBnd"]
    script = "cat /proc/self/status; mount -t tmpfs none /tmp && echo mounted; ls /dev/kmsg"
    text = await node.output(script, security=Security(privileged=True))
    fields = status_fields(text)
    assert (fields["CapEff"], fields["Seccomp"]) == (bounding, "0")
    assert text.splitlines()[-2:] == ["mounted", "/dev/kmsg"]


async def test_unconfined_and_localhost_seccomp_profiles(node: Node) -> None:
    free = await node.output("grep Seccomp: /proc/self/status", security=Security(seccomp="Unconfined"))
    assert free == "Seccomp:\t0"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    text = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    write(f"{node.lab.state_dir}/seccomp/no-mkdir.json", text)
    for _ in range(2):
        text = await node.output(
            "mkdir /tmp/x 2>&1; touch /tmp/y && echo ok", security=Security(seccomp="Localhost:no-mkdir.json")
        )
        assert text.splitlines() == ["mkdir: can't create directory '/tmp/x': Operation not permitted", "ok"]
    outside = write(f"{node.lab.state_dir}/outside.json", text)
    os.symlink("../outside.json", f"{node.lab.state_dir}/seccomp/link.json")
    for path in ("nonexistent.json", outside, "../outside.json", "link.json"):
        with pytest.raises(RuntimeFault, match="reading seccomp profile"):
            await node.output("true", security=Security(seccomp=f"Localhost:{path}"))


async def test_the_root_can_be_read_only(node: Node) -> None:
    text = await node.output("touch /x 2>&1; echo y > /dev/shm/y && echo ok", security=Security(read_only_rootfs=True))
    assert text.splitlines() == ["touch: /x: Read-only file system", "ok"]


async def test_containers_of_one_image_do_not_see_each_others_files(node: Node) -> None:
    assert await node.output("echo mine > /etc/mine; cat /etc/mine") == "mine"
    assert "No such file" in await node.output("cat /etc/mine 2>&1")
    assert "mine" not in os.listdir(f"{node.image.layer_paths[0]}/etc")


async def test_mounts_are_read_only_or_writable_and_ordered(node: Node) -> None:
    host = Path(node.lab.state_dir, "volumes")
    for name in ("outer", "inner"):
        (host / name).mkdir(parents=True, exist_ok=True)
        (host / name / "name").write_text(name)
    (host / "outer" / "in").mkdir(exist_ok=True)
    (host / "hosts").write_text("10.0.0.1 web\n")
    mounts = (
        Mount(str(host / "inner"), "/data/in"),
        Mount(str(host / "outer"), "/data", read_only=True),
        Mount(str(host / "hosts"), "/etc/hosts", read_only=True),
    )
    script = "cat /data/name /data/in/name /etc/hosts; touch /data/x 2>&1; echo changed > /data/in/name"
    text = await node.output(script, mounts=mounts)
    assert text == "outerinner10.0.0.1 web\ntouch: /data/x: Read-only file system"
    assert (host / "inner" / "name").read_text() == "changed\n"
    with pytest.raises(RuntimeFault, match="nowhere"):
        await node.output("true", mounts=(Mount("/nowhere", "/data"),))


async def test_environment_arguments_and_directory(node: Node) -> None:
    image = await node.lab.load(
        "speaking:1",
        [busybox_layer()],
        Entrypoint=["/bin/sh", "-c", 'pwd; echo "$A $B $0"'],
        Cmd=["from-image"],
        Env=["A=image", "B=image"],
        WorkingDir="/tmp",
    )
    env = (("B", "pod"),)

    async def said(**changes: object) -> str:
        sandbox = await node.pod()
        plain = ContainerConfig(sandbox.pod_uid, "main", 0, image.id, env=env, log_path="main/0.log")
        await node.end(await node.start(replace(plain, **changes)))  # type: ignore[arg-type]
        return node.lab.log(sandbox)

    assert await said() == "/tmp\nimage pod from-image"
    assert await said(args=("from-pod",), working_dir="/var") == "/var\nimage pod from-pod"
    assert await said(command=("/bin/echo", "only"), args=("this",)) == "only this"


async def test_a_command_that_is_not_there_is_said_and_leaves_nothing(node: Node) -> None:
    sandbox = await node.pod()
    with pytest.raises(RuntimeFault, match="/no/such"):
        await node.start(shell(sandbox, node.image, "", command=("/no/such",), args=()))
    assert await node.runtime.list_containers() == []


async def test_a_shared_process_namespace(node: Node) -> None:
    sandbox = await node.pod(share_process_namespace=True)
    first = await node.start(shell(sandbox, node.image, FOREVER))
    second = await node.start(shell(sandbox, node.image, "sleep 1000 & sleep 2000", name="other", log_path="o/0.log"))
    seen = (await node.runtime.exec_sync(first, ["ps"], STEP_TIMEOUT_S)).output.decode()
    assert "/pause" in seen.splitlines()[1]
    assert "sleep 2000" in seen
    await node.runtime.stop_container(second, grace_s=0)
    seen = (await node.runtime.exec_sync(first, ["ps"], STEP_TIMEOUT_S)).output.decode()
    assert "sleep 1000" not in seen


async def test_host_namespaces(node: Node) -> None:
    sandbox = await node.pod(host_network=True, host_pid=True, host_ipc=True)
    [status] = await node.runtime.list_pod_sandboxes()
    assert status.ip == ""
    container = await node.start(shell(sandbox, node.image, FOREVER))
    for kind in ("net", "ipc", "uts", "pid"):
        assert os.readlink(f"/proc/{node.pid(container)}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")


async def test_sysctls_of_the_pod_are_set_and_those_of_the_host_refused(node: Node) -> None:
    before = read("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    sandbox = await node.pod(sysctls={"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shmmax": "65536"})
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax"
    assert await node.output(script, sandbox) == "80\n65536"
    assert read("/proc/sys/net/ipv4/ip_unprivileged_port_start") == before
    refused = node.lab.sandbox(sysctls={"kernel.panic": "1"})
    with pytest.raises(RuntimeFault, match=r"kernel\.panic belongs to the host"):
        await node.runtime.run_pod_sandbox(refused)
