"""Local clusters from outside, by the command line: up, up again, down, and what bad input gets."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import machine, quickstart

NAME = "life"
PORT = 27443
ORCH = str(Path(sys.executable).parent / "orch")
UP = ("cluster", "up", "--name", NAME, "--port", str(PORT), "--no-outbound")
BUILD_TIMEOUT_S = 120


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kubeconfigs, caches and images of the test's own."""
    monkeypatch.setenv("ORCH_IMAGE_STORE", str(tmp_path / "images"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / ".orch" / "clusters" / NAME / "kubeconfig"))
    return tmp_path


@pytest.fixture
def before(home: Path) -> Iterator[machine.Machine]:
    """The machine before the test; whatever happens, the cluster is gone after it."""
    seen = machine.look()
    yield seen
    orch("cluster", "down", "--name", NAME)


def orch(*arguments: str, path: str = "", timeout: float = 150) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
    return subprocess.run(
        [ORCH, *arguments], capture_output=True, text=True, check=False, timeout=timeout, env=environment
    )


def done(*arguments: str, timeout: float = 150) -> str:
    result = orch(*arguments, timeout=timeout)
    assert result.returncode == 0, f"orch {' '.join(arguments)}: {result.stdout}{result.stderr}"
    return result.stdout


def refused(*arguments: str, path: str = "") -> str:
    """The one line that a refusal says."""
    result = orch(*arguments, path=path)
    assert result.returncode not in (0, 2), result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def pids() -> list[str]:
    return [line.split()[2] for line in done("cluster", "status", "--name", NAME).splitlines()[1:]]


def test_what_up_made_is_gone_after_down(before: machine.Machine) -> None:
    """1. up makes a cluster. 2. up again changes nothing. 3. down removes all. 4. down again has nothing to do."""
    done(*UP, "--nodes", "2")
    assert machine.look().added_since(before), "a cluster that leaves no trace would make this test worthless"
    running = pids()
    assert "nothing changed" in done(*UP, "--nodes", "2")
    assert pids() == running
    assert [line.split()[1] for line in done("get", "nodes", "--no-headers").splitlines()] == ["Ready", "Ready"]
    done("cluster", "down", "--name", NAME)
    machine.assert_unchanged(before)
    assert not Path("/var/lib/orch/clusters", NAME).exists()
    assert "nothing to take down" in done("cluster", "down", "--name", NAME)


def test_data_that_is_kept_brings_objects_and_pods_back(before: machine.Machine, tmp_path: Path) -> None:
    """1. Pods run. 2. down --keep-data leaves files only. 3. up brings objects and pods back, as after a reboot."""
    done(*UP, "--nodes", "1")
    context = str(quickstart.context(tmp_path))
    done("image", "build", "-t", "quickstart:1", "--push", context, timeout=BUILD_TIMEOUT_S)
    done("apply", "-f", context)
    done("rollout", "status", "deployment/web", "-n", "quickstart", "--timeout", "60s")
    names = sorted(done("get", "pods", "-n", "quickstart", "-o", "name").split())
    done("cluster", "down", "--name", NAME, "--keep-data")
    state = Path("/var/lib/orch/clusters") / NAME
    machine.assert_unchanged(replace(before, files=before.files | {str(state.parent), str(state)}))
    done(*UP)

    def restarted() -> bool:
        pods = json.loads(done("get", "pods", "-n", "quickstart", "-o", "json"))["items"]
        statuses = [status for pod in pods for status in pod["status"]["containerStatuses"]]
        return all(status["ready"] and status["restartCount"] == 1 for status in statuses)

    machine.wait_until(restarted, "the same pods, started once more")
    assert sorted(done("get", "pods", "-n", "quickstart", "-o", "name").split()) == names


def test_up_starts_only_what_has_died(before: machine.Machine) -> None:
    done(*UP, "--nodes", "1")
    parts = {line.split()[0]: line.split()[2] for line in done("cluster", "status", "--name", NAME).splitlines()[1:]}
    os.kill(int(parts["orch-server"]), 9)
    result = orch("cluster", "status", "--name", NAME)
    assert result.returncode == 1
    assert "Stopped" in result.stdout
    said = done(*UP).splitlines()
    assert [line for line in said if line.endswith(": started")] == [
        line for line in said if line.startswith("orch-server")
    ]


def test_up_repairs_cables_and_bridge(before: machine.Machine) -> None:
    """1. A node's cable is pulled out and the bridge loses its address. 2. up puts both back, nothing else. 3. The
    bridge is down. 4. up again."""
    done(*UP, "--nodes", "1")
    bridge = f"orch-{NAME}"
    subprocess.run(["ip", "link", "delete", f"{bridge}.1"], check=True)
    subprocess.run(["ip", "address", "flush", "dev", bridge], check=True)
    said = done(*UP)
    assert [line.split()[0] for line in said.splitlines() if line.endswith((": started", ": set up"))] == [
        "network", "node-1"
    ]  # fmt: skip
    subprocess.run(["ip", "link", "set", bridge, "down"], check=True)
    assert ": set up" in done(*UP)
    assert "nothing changed" in done(*UP)


def test_a_start_that_fails_keeps_the_data_and_nothing_else(before: machine.Machine, tmp_path: Path) -> None:
    done(*UP, "--nodes", "1")
    done("cluster", "down", "--name", NAME, "--keep-data")
    kept = machine.look()
    fake = tmp_path / "docker-registry"
    fake.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 1\n")
    fake.chmod(0o755)
    assert refused(*UP, path=str(tmp_path)) == "orch: registry does not start: no space left"
    machine.assert_unchanged(kept)
    done(*UP)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_start_that_is_interrupted_leaves_nothing(before: machine.Machine, number: signal.Signals) -> None:
    with subprocess.Popen([ORCH, *UP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("etcd"):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert process.stderr is not None
        assert process.stderr.read() == ""
    machine.assert_unchanged(before)


def test_a_second_cluster_of_the_same_name(before: machine.Machine) -> None:
    done(*UP, "--nodes", "1")
    assert "exists already, with node count 1, not 3" in refused(*UP, "--nodes", "3")
    done("cluster", "down", "--name", NAME)
    machine.assert_unchanged(before)


def test_a_port_that_is_taken(before: machine.Machine) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", PORT + 3))
        other.listen()
        line = refused(*UP)
    assert f"port {PORT + 3} (etcd) is in use" in line
    assert str(os.getpid()) in line
    machine.assert_unchanged(before)


def test_an_etcd_that_does_not_start(before: machine.Machine, tmp_path: Path) -> None:
    fake = tmp_path / "etcd"
    fake.write_text("#!/bin/sh\necho 'mvcc: the disk is full' >&2\nexit 1\n")
    fake.chmod(0o755)
    assert refused(*UP, path=str(tmp_path)) == "orch: etcd does not start: mvcc: the disk is full"
    machine.assert_unchanged(before)
    assert not Path("/var/lib/orch/clusters", NAME).exists()


@pytest.mark.parametrize(
    ("executable", "script", "message"),
    [
        pytest.param("nft", "#!/bin/sh\nexit 1\n", "nf_tables", id="no nftables in the kernel"),
        pytest.param(
            "ip", '#!/bin/sh\ncase "$*" in *vxlan*) exit 1;; esac\nexec /sbin/ip "$@"\n', "vxlan", id="no vxlan"
        ),
        pytest.param("unshare", "#!/bin/sh\nexit 1\n", "namespaces", id="no namespaces"),
    ],
)
def test_a_kernel_feature_that_is_missing(
    before: machine.Machine, tmp_path: Path, executable: str, script: str, message: str
) -> None:
    fake = tmp_path / executable
    fake.write_text(script)
    fake.chmod(0o755)
    assert message in refused(*UP, path=str(tmp_path))
    machine.assert_unchanged(before)


def test_without_root(before: machine.Machine) -> None:
    """In a user namespace without a mapping we are nobody."""
    result = subprocess.run(["unshare", "--user", ORCH, *UP], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert "needs root" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["Upper", "-x", "a" * 33, "a/b"])
def test_a_name_that_is_no_good(home: Path, name: str) -> None:
    assert "a cluster's name has" in refused("cluster", "up", f"--name={name}")
