"""A whole agent as a process of its own, on a real runtime, volumes and network, under a server that the test plays.

The agent is what `orch-agent` runs below its supervisor; only the session goes over a Unix socket. Before any step that
changes something outside of the process it can be killed (`crash_in`). The lab is a mount namespace and a network
namespace; `leftovers` names everything that pods left behind.
"""

import asyncio
import gc
import json
import mmap
import os
import select
import shutil
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from msgspec.structs import replace

from nodeagent import main, node, node_parts
from nodeagent.runtime import syscalls
from nodeagent.runtime.reaping import reap_cgroup
from nodeagent.supervisor import Inherited, bind_dns
from orch.api.kinds import NODES, PODS
from orch.api.meta import ObjectMeta
from orch.api.node import Node, NodeSpec
from orch.api.pod.spec import Pod
from orch.kit.clock import SystemClock
from orch.kit.logs import configure_logs
from tests.agent_server import Server, UnixDialer, Wanted
from tests.integration.netlab import Lab, lab
from tests.runtime_lab import RuntimeLab, runtime_lab

NODE_NAME, NODE_IP, POD_CIDR = "node-1", "192.168.77.1", "10.244.1.0/24"
WAIT_S = 60.0
LEFTOVERS_S = 10.0
POLL_S = 0.01
NO_CRASH = -1
STEPS = frozenset({
    "mkdir", "rename", "replace", "unlink", "rmdir", "link", "symlink", "open", "write", "chmod", "chown", "mount",
    "unmount", "unshare", "setxattr", "kill", "fork_exec", "send", "sendto", "_run", "run", "start",
})  # fmt: skip
"""Functions that change something outside of the process."""
STEP_MODULES = ("posix", "_posixsubprocess", "_socket")
STEP_FILES = ("runtime/syscalls.py", "runtime/process.py", "network/netlink.py", "services/nft.py")


class Steps:
    """A count that the test and the agent share: every step of the agent, and the one before which it is killed. Each
    number has one writer, so that neither side undoes what the other writes meanwhile."""

    _NUMBER = struct.Struct("q")
    _TAKEN, _CRASH_AT = 0, _NUMBER.size

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * self._NUMBER.size)
        self.crash_in(NO_CRASH)

    def crash_in(self, steps: int) -> None:
        self._since = self._read(self._TAKEN)
        self._write(self._CRASH_AT, NO_CRASH if steps == NO_CRASH else self._since + steps)

    @property
    def taken(self) -> int:
        """Since the last `crash_in`."""
        return self._read(self._TAKEN) - self._since

    def watch(self) -> None:
        """In the agent: all its threads from now on."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            is_step = function.__name__ in STEPS and _module(function) in STEP_MODULES
        else:
            code = frame.f_code
            is_step = event == "call" and code.co_name in STEPS and code.co_filename.endswith(STEP_FILES)
        if is_step:
            self.step()

    def step(self) -> None:
        """In the agent: it is about to take one."""
        taken = self._read(self._TAKEN)
        if 0 <= self._read(self._CRASH_AT) <= taken:
            os.kill(os.getpid(), signal.SIGKILL)
        self._write(self._TAKEN, taken + 1)

    def _read(self, at: int) -> int:
        return int(self._NUMBER.unpack_from(self._memory, at)[0])

    def _write(self, at: int, number: int) -> None:
        self._NUMBER.pack_into(self._memory, at, number)


def _module(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    return function.__module__ or type(owner).__module__


class Keeper:
    """The supervisor's place: a process that starts agents one after the other and reaps what they leave."""

    def __init__(self, run_agent: Callable[[int], None]) -> None:
        self._commands, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            gc.freeze()  # it would collect what gRPC left here, and wait in vain for a thread of the parent's
            self._commands.close()
            try:
                _keep(theirs, run_agent)
            finally:
                os._exit(0)
        theirs.close()
        self._keeper, self.pid = pid, 0

    @property
    def own_pid(self) -> int:
        return self._keeper

    def start(self) -> None:
        self._commands.send(b"start")
        self.pid = int(self._commands.recv(100))

    def kill(self) -> None:
        self._commands.send(b"kill")
        self._commands.recv(100)
        self.pid = 0

    def is_running(self) -> bool:
        self._commands.send(b"ask")
        return self._commands.recv(100) == b"runs"

    def kill_keeper(self) -> None:
        os.kill(self._keeper, signal.SIGKILL)
        os.waitpid(self._keeper, 0)
        self._commands.close()

    def close(self) -> None:
        """The agent, if there is one, is killed; the others are nobody's."""
        self._commands.close()
        os.waitpid(self._keeper, 0)


def _keep(commands: socket.socket, run_agent: Callable[[int], None]) -> None:
    syscalls.become_subreaper()
    alive_read, alive_write = os.pipe()
    agent = 0
    while True:
        ended = _reap()
        agent = 0 if agent in ended else agent
        if not select.select([commands], [], [], POLL_S)[0]:
            continue
        command = commands.recv(100)
        if command == b"start":
            if (agent := os.fork()) == 0:
                os.close(alive_write)
                commands.close()
                _run_to_end(run_agent, alive_read)
            commands.send(str(agent).encode())
        elif command == b"ask":
            commands.send(b"runs" if agent else b"ended")
        else:
            if agent:
                os.kill(agent, signal.SIGKILL)
                os.waitpid(agent, 0)
                agent = 0
            if not command:
                return
            commands.send(b"killed")


def _run_to_end(run_agent: Callable[[int], None], alive: int) -> None:
    try:
        run_agent(alive)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _reap() -> set[int]:
    ended = set()
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            ended.add(pid)
    return ended


class AgentLab:
    """One machine. `start` and `kill` are its agent's; pods come and go by `wanted`."""

    def __init__(self, runtime: RuntimeLab, network: Lab, *, count_steps: bool, options: Sequence[str]) -> None:
        self._count_steps, self._options = count_steps, options
        self.runtime, self.netns = runtime, network.node(1)
        self.run_dir, self.state_dir = Path(runtime.run_dir), Path(runtime.state_dir)
        self.log_file = self.state_dir / "agent.log"
        self.steps, self.wanted = Steps(), Wanted()
        spec = NodeSpec(pod_cidr=POD_CIDR, pod_cidrs=(POD_CIDR,))
        self.wanted.put(NODES, Node(metadata=ObjectMeta(name=NODE_NAME, uid="node-uid"), spec=spec))
        self._socket = self.state_dir / "server"
        self._keeper = Keeper(self._run_agent)
        self.server = Server(str(self._socket), self.wanted)
        self._idle_rules: list[str] = []

    def start(self) -> None:
        self._keeper.start()

    def kill(self) -> None:
        self._keeper.kill()

    def restart(self) -> None:
        self.kill()
        self.start()

    def kill_supervisor(self) -> None:
        """Its successor is there at once."""
        self._keeper.kill_keeper()
        self._keeper = Keeper(self._run_agent)

    def reboot(self, *, keep_run_dir: bool = False) -> None:
        """Processes, mounts, cgroups, links and rules are gone, as is what lies on tmpfs; an agent runs."""
        self.kill()
        for pid in self.runtime.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        asyncio.run(reap_cgroup(self.runtime.cgroups, self.runtime.cgroup_root))
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if (point := line.split()[4]).startswith(f"{self.run_dir}/"):
                syscalls.unmount(point)
        self.runtime.cgroups.remove(self.runtime.cgroup_root)
        self.netns.exec("nft", "flush", "ruleset")
        if keep_run_dir:
            (self.run_dir / "boot-id").write_text("an earlier boot")
        else:
            for path in self.run_dir.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.start()

    @property
    def pid(self) -> int:
        return self._keeper.pid

    @property
    def keeper_pid(self) -> int:
        return self._keeper.own_pid

    def is_running(self) -> bool:
        return self._keeper.is_running()

    def run(self, pod: Pod) -> str:
        """Wanted from now on; its uid."""
        self.wanted.put(PODS, pod)
        return pod.metadata.uid

    def delete(self, pod: Pod) -> None:
        meta = replace(pod.metadata, deletion_timestamp=SystemClock().now(), deletion_grace_period_seconds=2)
        self.wanted.put(PODS, replace(pod, metadata=meta))

    def status(self, uid: str) -> dict[str, Any]:
        return self.wanted.statuses.get(uid, ({}, False))[0]

    def runs(self, uid: str) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(uid).get("conditions", ()))

    def restarts(self, uid: str) -> list[int]:
        status = self.status(uid)
        return [c["restartCount"] for kind in ("initContainer", "container") for c in status.get(f"{kind}Statuses", ())]

    def until(self, holds: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; the agent's log:\n{self.log()}"
            time.sleep(POLL_S)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def sandboxes(self) -> list[str]:
        return sorted(path.name for path in (self.run_dir / "sandboxes").iterdir())

    def log(self) -> str:
        return "\n".join(self.log_file.read_text().splitlines()[-80:])

    def note_idle(self) -> None:
        """What the service rules are while there is no pod. Chains by number of endpoints stay."""
        self._idle_rules = self.rules()

    def rules(self) -> list[str]:
        return self.netns.exec("nft", "--stateless", "list", "ruleset").splitlines()

    def leftovers(self) -> list[str]:
        folders = ("run:pod-volumes", "run:pod-addresses", "run:host-ports", "state:pod-volumes", "state:logs/pods")
        roots = {"run": self.run_dir, "state": self.state_dir}
        paths = [roots[where] / name for where, _, name in (folder.partition(":") for folder in folders)]
        files = [str(path) for folder in paths if folder.exists() for path in folder.iterdir() if path.name[0] != "."]
        links = [link["ifname"] for link in json.loads(self.netns.ip("-json", "link")) if link["ifname"][:3] == "pod"]
        changed = [f"rule {rule.strip()}" for rule in self.rules() if rule not in self._idle_rules]
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        mounted = [point for point in mounts if point.startswith(f"{self.state_dir}/")]
        known = {str(self.state_dir / "logs/pods")}
        return [*(left for left in self.runtime.leftovers() if left not in known), *files, *links, *changed, *mounted]

    def assert_clean(self) -> None:
        """Soon: the kernel takes links down after a namespace's end."""
        with suppress(AssertionError):
            self.until(lambda: self.leftovers() == [], "nothing to be left", LEFTOVERS_S)
        assert self.leftovers() == []

    def processes(self) -> list[str]:
        """The commands of all containers."""
        pids = self.runtime.cgroups.processes(self.runtime.cgroup_root)
        found = []
        for pid in pids:
            with suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        return found

    def close(self) -> None:
        self.server.close()
        self._keeper.close()

    def _run_agent(self, alive: int) -> None:
        """In a process of its own."""
        log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        self.netns._enter()
        configure_logs(json=False, debug=True)
        dns = bind_dns("10.96.0.10")
        inherited = Inherited(dns[0].fileno(), dns[1].fileno(), alive)
        file = self.state_dir / "file"
        file.touch()
        options = main.parse([
            *("--node-name", NODE_NAME, "--server", "localhost:1", "--join-token-file", str(file)),
            *("--ca-file", str(file), "--state-dir", str(self.state_dir), "--run-dir", str(self.run_dir)),
            *("--node-ip", NODE_IP, "--cgroup-root", self.runtime.cgroup_root),
            *("--inherited", inherited.argument()),
            *self._options,
        ])  # fmt: skip
        node_parts.ensure_certificate = _no_certificate  # type: ignore[assignment]
        node_parts.GrpcDialer = self._dialer  # type: ignore[assignment, misc]
        if self._count_steps:
            self.steps.watch()
        node.run_node(options)

    def _dialer(self, target: str, certificate: object) -> UnixDialer:
        return UnixDialer(str(self._socket))


async def _no_certificate(*arguments: object) -> None:
    """The session does not need one."""


@contextmanager
def agent_lab(
    name: str, *, count_steps: bool = False, options: Sequence[str] = (), disk_bytes: int = 0
) -> Iterator[AgentLab]:
    """With an agent that runs and holds busybox:1. Counting steps, which `crash_in` needs, slows it down. `options` are
    the agent's; with `disk_bytes` its state folder is a file system of that size."""
    with runtime_lab(name, disk_bytes) as runtime, lab(name) as network:
        asyncio.run(runtime.busybox())
        made = AgentLab(runtime, network, count_steps=count_steps, options=options)
        try:
            made.start()
            made.until(lambda: made.wanted.node != {} and len(made.rules()) > 0, "the agent's first session")
            made.until(lambda: _is_ready(made.wanted.node), "the node to be ready")
            made.note_idle()
            yield made
        finally:
            made.close()


def _is_ready(told: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in told["status"]["conditions"])
