"""A real local cluster under test, driven as a person drives it: by `orch`, kubectl and a node's own shell."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local import nodes as machines
from deploy.local import processes
from deploy.local import spec as specs
from deploy.local.processes import Process
from tests.kubectl import installed

ORCH = str(Path(sys.executable).with_name("orch"))
COMMAND_TIMEOUT_S = 180
POLL_S = 0.1


def wait_until(what: str, test: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Polls until `test` gives something true and returns it. Raises AssertionError naming `what` was awaited."""
    deadline = time.monotonic() + timeout_s
    while True:
        if found := test():
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)


@dataclass(frozen=True)
class Cluster:
    name: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
            "ORCH_IMAGE_STORE": str(self.home / "images"),
        }

    @property
    def kubeconfig(self) -> Path:
        return self.home / ".orch" / "clusters" / self.name / "kubeconfig"

    def run(self, command: Sequence[str], *, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, env=self.environment
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
        return done

    def orch(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        done = self.run([ORCH, *arguments], stdin=stdin, check=check)
        return done.stdout + ("" if check else done.stderr)

    def kubectl(self, *arguments: str, stdin: str = "", version: tuple[int, int] | None = None) -> str:
        """By the newest kubectl, or the one of `version`."""
        found = [one for one in installed() if version in (None, one.version)]
        return self.run([found[-1].path, *arguments], stdin=stdin).stdout

    def apply(self, *manifests: dict[str, Any], namespace: str = "default") -> str:
        return self.orch("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, resource: str, name: str, namespace: str = "default") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.orch("get", resource, name, "-n", namespace, "-o", "json"))
        return found

    def list(self, resource: str, namespace: str = "default", selector: str = "") -> list[dict[str, Any]]:
        listing = json.loads(self.orch("get", resource, "-n", namespace, "-l", selector, "-o", "json"))
        items: list[dict[str, Any]] = listing["items"]
        return items

    def wait_ready(self, pod: str, namespace: str = "default", timeout_s: float = 30.0) -> dict[str, Any]:
        def ready() -> dict[str, Any] | None:
            found = self.get("pod", pod, namespace)
            return found if is_ready(found) else None

        return wait_until(f"pod {pod} Ready", ready, timeout_s)  # type: ignore[no-any-return]

    def exec(self, pod: str, *command: str, namespace: str = "default") -> str:
        return self.orch("exec", pod, "-n", namespace, "--", *command)

    def delete(self, resource: str, *names: str, namespace: str = "default") -> None:
        self.orch("delete", resource, *names, "-n", namespace, "--ignore-not-found")

    def node_address(self, node: str) -> str:
        addresses = self.get("node", node, "")["status"]["addresses"]
        return next(str(one["address"]) for one in addresses if one["type"] == "InternalIP")

    def on_node(self, node: str, *command: str) -> str:
        """Runs a command in the node's network, mount and pid namespaces."""
        shell = self.processes_of(node).shell
        assert shell is not None, f"{node} is off"
        (init,) = processes.children(shell.pid)
        return self.run(["nsenter", "--target", str(init.pid), "--net", "--mount", "--pid", *command]).stdout

    def processes_of(self, node: str) -> machines.NodeProcesses:
        spec = self.spec
        return machines.find(spec, next(one for one in spec.nodes if one.name == node))

    def agent(self, node: str) -> Process | None:
        """The node's agent: what the supervisor, which the pidfile names, keeps running; None while there is none."""
        supervisor = self.processes_of(node).agent
        assert supervisor is not None, f"no agent runs on {node}"
        return next(processes.children(supervisor.pid), None)

    @property
    def spec(self) -> specs.ClusterSpec:
        spec = specs.load(self.name)
        assert spec is not None
        return spec


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: dict[str, Any]) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
