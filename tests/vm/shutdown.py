"""The agent under systemd, in the virtual machine: a restart of its unit leaves pods alone, a reboot ends them.

Run once before the reboot and once after it (deploy/vm/inside.sh). Two static pods, one of them critical, write to the
disk when they begin, when their preStop hook runs and when they end. Invariant: it runs nowhere but in that machine.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nodeagent.identity import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from nodeagent.images.manifest import this_platform
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageStore
from orch.kit.clock import SystemClock
from orch.pki import create_ca, new_csr, sign_csr
from tests.images import busybox_layer, write_layout

ORCH, STATE, SETTINGS = Path("/opt/orch"), Path("/var/lib/orch"), Path("/etc/orch")
MANIFESTS, SAID = SETTINGS / "pods", Path("/var/lib/orch-said")
LOG = SAID / "log"
NODE, IMAGE, UNIT = "vm", "docker.io/library/busybox:1", "orch-agent.service"
OF_THE_UNIT = ("--no-pager", "--lines=100", f"--unit={UNIT}")
AFTER_A_REBOOT = 75
"""Exit code: run me again after a reboot."""
WAIT_S, POLL_S = 120.0, 0.5
TO_BE_LEFT_ALONE_S = 2.0
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default}}
spec:
  hostNetwork: true
  {priority}
  volumes: [{{name: said, hostPath: {{path: {said}}}}}]
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "trap 'sleep 1; echo {name} ends >> /said/log; exit' TERM; echo {name} begins >> /said/log;
      while :; do sleep 0.2; done"]
    lifecycle: {{preStop: {{exec: {{command: [sh, -c, "sleep 1; echo {name} is told >> /said/log"]}}}}}}
    volumeMounts: [{{name: said, mountPath: /said}}]
"""
BEGUN = ["critical begins", "ordinary begins"]
IN_ORDER = ["ordinary is told", "ordinary ends", "critical is told", "critical ends"]


def main() -> int:
    if LOG.exists():
        return after_the_reboot()
    install()
    run("systemctl", "start", UNIT)
    wait_for(lambda: sorted(said()) == BEGUN)
    monitors, agent = pids("conmon"), main_pid()
    run("systemctl", "restart", UNIT)
    time.sleep(TO_BE_LEFT_ALONE_S)
    assert main_pid() not in (agent, 0), "the agent is another"
    assert sorted(said()) == BEGUN, "a restart of the agent tells pods nothing"
    assert len(monitors) == 2
    assert pids("conmon") == monitors, "a restart of the agent ends no container"
    return AFTER_A_REBOOT


def after_the_reboot() -> int:
    found = said()
    print("test-vm: what the pods said before the machine went down:", found)
    if (sorted(found[:2]), found[2:]) == (BEGUN, IN_ORDER):
        return 0
    print(run("journalctl", "--boot=-1", *OF_THE_UNIT))
    return 1


def install() -> None:
    """The unit as it is, in a place as it expects; this machine's sources are elsewhere, so behind a small command."""
    for folder in (ORCH / ".venv/bin", MANIFESTS, SAID, STATE / "pki"):
        folder.mkdir(parents=True)
    command = ORCH / ".venv/bin/orch-agent"
    settings = f"PYTHONPATH={os.environ['PYTHONPATH']} PYTHONPYCACHEPREFIX=/var/cache/orch"
    command.write_text(f'#!/bin/sh\n{settings} exec {sys.executable} -m nodeagent.main "$@"\n')
    command.chmod(0o755)
    (ORCH / "deploy").symlink_to("/orch/deploy")
    shutil.copy(f"/orch/deploy/systemd/{UNIT}", "/etc/systemd/system")
    identify()
    asyncio.run(load_image())
    options = f"--node-name {NODE} --server 127.0.0.1:6444 --node-ip 127.0.0.1 --static-pods {MANIFESTS}"
    (SETTINGS / "agent.env").write_text(f'ORCH_AGENT_OPTIONS="{options}"\n')
    for name, priority in (("ordinary", ""), ("critical", "priorityClassName: system-node-critical")):
        text = POD.format(name=name, priority=priority, said=SAID, image=IMAGE)
        (MANIFESTS / f"{name}.yaml").write_text(text)
    run("systemctl", "daemon-reload")


def identify() -> None:
    """A node that has joined already; its control plane is away."""
    ca = create_ca("test", now=SystemClock().now())
    request, key = new_csr(f"system:node:{NODE}", ["system:nodes"])
    names = {"common_name": f"system:node:{NODE}", "organizations": ["system:nodes"]}
    certificate = sign_csr(ca, request, now=SystemClock().now(), days=365, **names)
    for name, content in ((CA_FILE, ca.cert_pem), (CERTIFICATE_FILE, certificate), (KEY_FILE, key)):
        (STATE / "pki" / name).write_bytes(content)
    (SETTINGS / "ca.crt").write_bytes(ca.cert_pem)
    (SETTINGS / "join-token").write_text("none")


async def load_image() -> None:
    folder = STATE / "layout"
    folder.mkdir()
    images = NodeImages(ImageStore(str(STATE / "images")), this_platform())
    await images.load(write_layout(str(folder), IMAGE, [busybox_layer()], Cmd=["/bin/sh"]))
    shutil.rmtree(folder)


def said() -> list[str]:
    return LOG.read_text().splitlines() if LOG.exists() else []


def main_pid() -> int:
    return int(run("systemctl", "show", "--property=MainPID", "--value", UNIT))


def pids(command: str) -> set[str]:
    return set(subprocess.run(["pgrep", "-x", command], capture_output=True, text=True, check=False).stdout.split())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            print(run("journalctl", *OF_THE_UNIT))
            raise SystemExit(f"after {WAIT_S} s the pods have said {said()}")
        time.sleep(POLL_S)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
