"""Nodes of a local cluster: what a machine is, made of namespaces around one init process.

A node lives as long as its init (pid 1 of its pid namespace): killing that one process is pulling the plug. Mounts,
processes and links of the node go with it. The agent runs inside; its desired state, images and logs are on disk.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import cgroups, network, processes
from deploy.local.preflight import own_executable
from deploy.local.processes import Process
from deploy.local.spec import STATE_ROOT, ClusterError, ClusterSpec, Node
from orch.kit.files import PUBLIC_MODE, write_atomic

NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid")
INIT_NAME = "catatonit"
INIT_WAIT_S = 10.0
AGENT_WAIT_S = 10.0
AGENT_STOP_GRACE_S = 3.0
RUN_DIR = "/run/orch"
"""Inside the node, on its own tmpfs."""
PRESSURE_OPTIONS = (
    "--eviction-hard", "memory.available<100Mi,nodefs.available<2%,nodefs.inodesFree<2%,pid.available<5%",
    "--image-gc-high-threshold", "98",
    "--image-gc-low-threshold", "96",
    "--eviction-pressure-transition-period", "30s",
)  # fmt: skip
"""Local nodes share a disk with everything else on the machine, which may well be rather full; and who tries out what
pressure does will not wait for five minutes until it is over."""
RESOLV_CONFS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
"""systemd-resolved's own file names the real servers, /etc/resolv.conf only its stub on loopback."""


@dataclass(frozen=True, slots=True)
class NodeProcesses:
    """`shell` is the unshare that holds the namespaces' init, `agent` runs inside; None when it does not run."""

    shell: Process | None
    agent: Process | None


def find(spec: ClusterSpec, node: Node) -> NodeProcesses:
    run = spec.paths.run
    return NodeProcesses(processes.read(run / f"{node.name}.pid"), processes.read(run / f"{node.name}-agent.pid"))


def log_of(spec: ClusterSpec, node: Node) -> Path:
    return spec.paths.logs / f"{node.name}.log"


def ensure_machine(spec: ClusterSpec, node: Node) -> bool:
    """Powered on and connected. Whether it had to be."""
    found = find(spec, node)
    if found.shell is not None and network.has_link(node.link):
        return False
    shell = found.shell or _power_on(spec, node)
    if found.agent is not None:
        # What it made on the old eth0 (overlay, routes) went with it: an agent makes that when it starts.
        processes.stop(found.agent, grace_s=AGENT_STOP_GRACE_S)
    network.connect(spec, node, _wait_for_init(spec, node, shell).pid)
    return True


def _power_on(spec: ClusterSpec, node: Node) -> Process:
    hierarchies = cgroups.of_this_machine()
    group = _cgroup(spec, node)
    cgroups.create(hierarchies, f"{group}/{cgroups.AGENT}")
    cgroups.limit(hierarchies, group, cpus=spec.cpus, memory_bytes=spec.memory_bytes)
    _prepare_state(spec, node)
    script = str(Path(__file__).with_name("node.sh"))
    state = str(spec.paths.node(node.name))
    command = [
        "unshare", *NAMESPACES, "--propagation", "private", "--fork", "--kill-child", "--mount-proc",
        "/bin/sh", script, node.name, state, str(STATE_ROOT), str(hierarchies.hidden or ""),
    ]  # fmt: skip
    shell = processes.spawn(cgroups.inside(hierarchies, f"{group}/{cgroups.AGENT}", command), log_of(spec, node))
    processes.write(spec.paths.run / f"{node.name}.pid", shell)
    return shell


def ensure_agent(spec: ClusterSpec, node: Node) -> bool:
    """Starts orch-agent in a node that is powered on. Whether it had to be."""
    found = find(spec, node)
    if found.agent is not None:
        return False
    assert found.shell is not None, "a node is powered on before its agent starts"
    _end_leftovers(spec, node)
    command = enter_command(spec, node.name, _agent_command(spec, node))
    entered = processes.spawn(
        cgroups.inside(cgroups.of_this_machine(), f"{_cgroup(spec, node)}/{cgroups.AGENT}", command),
        log_of(spec, node),
    )
    agent = _wait_for_child(spec, node, entered, "orch-agent", AGENT_WAIT_S)
    processes.write(spec.paths.run / f"{node.name}-agent.pid", agent)
    return True


def _end_leftovers(spec: ClusterSpec, node: Node) -> None:
    """An agent whose first process was killed may still be on its way out; two must not work on one node."""
    leaf = f"{_cgroup(spec, node)}/{cgroups.AGENT}"
    for pid in cgroups.processes(cgroups.of_this_machine(), leaf):
        process = processes.find(pid)
        if process is not None and b"--node-name" in processes.words(pid):
            processes.stop(process, grace_s=AGENT_STOP_GRACE_S)


def power_off(spec: ClusterSpec, node: Node) -> None:
    """The agent gets a moment to say good-bye; then everything in the node ends at once."""
    found = find(spec, node)
    if found.agent is not None:
        processes.stop(found.agent, grace_s=AGENT_STOP_GRACE_S)
    if found.shell is not None:
        processes.stop(found.shell, grace_s=0)


def enter_command(spec: ClusterSpec, name: str, command: Sequence[str]) -> list[str]:
    """Runs the command inside the node of that name. Raises ClusterError when it is not there or powered off."""
    node = next((node for node in spec.nodes if node.name == name), None)
    if node is None:
        raise ClusterError(
            f"cluster {spec.name} has no node {name}: it has {spec.nodes[0].name} to {spec.nodes[-1].name}"
        )
    shell = find(spec, node).shell
    if shell is None:
        raise ClusterError(f"{name} does not run: 'orch cluster up --name {spec.name}' starts it")
    init = _wait_for_init(spec, node, shell)
    return ["nsenter", "--target", str(init.pid), *NAMESPACES, "--", *command]


def _agent_command(spec: ClusterSpec, node: Node) -> list[str]:
    state = spec.paths.node(node.name)
    return [
        own_executable("orch-agent"),
        "--node-name", node.name,
        "--server", f"{spec.gateway}:{spec.ports.node}",
        "--join-token-file", str(state / "join-token"),
        "--ca-file", str(state / "ca.crt"),
        "--state-dir", str(state),
        "--run-dir", RUN_DIR,
        "--node-ip", node.address,
        "--cgroup-root", _cgroup(spec, node),
        "--registry", f"{spec.gateway}:{spec.ports.registry}",
        "--cpus", f"{spec.cpus:g}",
        "--memory", str(spec.memory_bytes),
        "--cluster-cidr", spec.cluster_cidr,
        "--service-cidr", spec.service_cidr,
        *PRESSURE_OPTIONS,
    ]  # fmt: skip


def _cgroup(spec: ClusterSpec, node: Node) -> str:
    return f"{spec.paths.cgroup}/{node.name}"


def _prepare_state(spec: ClusterSpec, node: Node) -> None:
    """What an operator hands to a machine that is to join: the authority's certificate and the join token."""
    folder = spec.paths.node(node.name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(spec.paths.pki / "ca.crt", folder / "ca.crt")
    write_atomic(folder / "join-token", (spec.paths.pki / "join-token").read_bytes())
    sources = [path.read_text() for path in RESOLV_CONFS if path.exists()]
    write_atomic(folder / "resolv.conf", resolv_conf(sources).encode(), mode=PUBLIC_MODE)


def resolv_conf(sources: list[str]) -> str:
    """The first source that names a server which other namespaces can reach; empty when none does."""
    for text in sources:
        lines = [line for line in text.splitlines() if not _names_loopback(line)]
        if any(line.startswith("nameserver") for line in lines):
            return "\n".join(lines) + "\n"
    return ""


def _names_loopback(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] == "nameserver" and (words[1].startswith("127.") or words[1] == "::1")


def _wait_for_init(spec: ClusterSpec, node: Node, shell: Process) -> Process:
    return _wait_for_child(spec, node, shell, INIT_NAME, INIT_WAIT_S)


def _wait_for_child(spec: ClusterSpec, node: Node, parent: Process, executable: str, seconds: float) -> Process:
    """The parent's child once it has become the executable: until then it still prepares."""
    found: list[Process] = []

    def there() -> bool:
        found.extend(child for child in processes.children(parent.pid) if processes.runs(child, executable))
        return bool(found) or not parent.alive

    processes.wait_for(there, seconds)
    if not found:
        said = processes.last_line(log_of(spec, node))
        raise ClusterError(f"{node.name}: {executable} does not start: {said} (log: {log_of(spec, node)})")
    return found[0]
