"""The tours of the README and the user guide, run command by command as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import quickstart
from tests.kubectl import newest

ROOT = Path(__file__).parents[2]
NAME = "tour"
PORT = 28443
COMMAND_TIMEOUT_S = 120


def commands(document: str) -> list[str]:
    """Lines of its shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the tour finds in the source tree."""
    folder = tmp_path / "checkout"
    quickstart.context(folder / "manifests")
    (folder / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "quickstart.sh", folder / "deploy")
    return folder


@pytest.fixture
def environment(tmp_path: Path, checkout: Path) -> Iterator[dict[str, str]]:
    """A cluster with the quick start, as `make up` leaves it, for whoever has this environment."""
    kubeconfig = tmp_path / ".orch" / "clusters" / NAME / "kubeconfig"
    binaries = str(Path(sys.executable).parent)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(newest().path)
    path = f"{tmp_path / 'bin'}:{binaries}:{os.environ['PATH']}"
    environment = os.environ | {
        "HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig), "PATH": path, "ORCH_IMAGE_STORE": str(tmp_path / "images")
    }  # fmt: skip
    script = checkout / "deploy" / "quickstart.sh"
    up = ["orch", "cluster", "up", "--name", NAME, "--port", str(PORT), "--nodes", "2", "--no-outbound"]
    try:
        subprocess.run(up, env=environment, check=True, timeout=COMMAND_TIMEOUT_S, stdout=subprocess.DEVNULL)
        subprocess.run([str(script), binaries], env=environment, check=True, timeout=COMMAND_TIMEOUT_S)
        yield environment
    finally:
        subprocess.run(["orch", "cluster", "down", "--name", NAME], env=environment, check=True, timeout=60)


def follow(document: str, at_least: int, checkout: Path, environment: dict[str, str]) -> dict[str, str]:
    """What each command of the document said. Raises AssertionError for one that failed."""
    tour = commands(document)
    assert len(tour) >= at_least, f"the tour has gone from {document}"
    said = {}
    for command in tour:
        done = subprocess.run(
            ["bash", "-m", "-o", "pipefail", "-c", command], cwd=checkout, env=environment, capture_output=True,
            text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        said[command.split(" -n ")[0]] = done.stdout
    return said


def test_every_command_of_the_tours_works(checkout: Path, environment: dict[str, str]) -> None:
    said = follow("README.md", 20, checkout, environment)
    page = next(out for command, out in said.items() if command.startswith("curl"))
    assert page.startswith("Hello from pod web-")
    said = follow("docs/user-guide.md", 15, checkout, environment)
    assert "limits" in said["kubectl explain pod.spec.containers.resources"]
    assert "Hello from pod web-" in said["kubectl port-forward"]
    assert "httpd" in said["kubectl debug"]
    assert said["kubectl exec"].split() == ["ca.crt", "namespace", "token"]
