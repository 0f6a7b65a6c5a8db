"""What bad manifests get from a real server: one line that names file, document and field, and nothing is changed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NAME = "bad"
PORT = 29443
ORCH = str(Path(sys.executable).parent / "orch")
GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n"


def deployment(*, replicas: str = "1", label: str = "a", extra: str = "", container: str = "image: i") -> str:
    return (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
        f"spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: a}}}}\n{extra}"
        f"  template:\n    metadata: {{labels: {{app: {label}}}}}\n"
        f"    spec:\n      containers:\n      - name: c\n        {container}\n"
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("home")
    kubeconfig = home / ".orch" / "clusters" / NAME / "kubeconfig"
    environment = os.environ | {"HOME": str(home), "KUBECONFIG": str(kubeconfig)}
    up = [ORCH, "cluster", "up", "--name", NAME, "--port", str(PORT), "--no-outbound"]
    try:
        subprocess.run(up, env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL)
        yield environment
    finally:
        subprocess.run([ORCH, "cluster", "down", "--name", NAME], env=environment, check=True, timeout=60)


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        pytest.param("a: b: c", "document 2, line 5", "not YAML", id="no YAML"),
        pytest.param("just text", "document 2", "an object is a mapping of fields", id="no mapping"),
        pytest.param("kind: Pod", "document 2", "apiVersion: is missing", id="no version"),
        pytest.param(
            "apiVersion: apps/v1\nkind: Deploymnt\nmetadata: {name: x}", "document 2 (Deploymnt x)",
            'no kind "Deploymnt" in apps/v1', id="unknown kind",
        ),
        pytest.param(deployment(replicas="three"), "document 2 (Deployment x)", "spec.replicas", id="wrong type"),
        pytest.param(
            deployment(container="imagePullPolicy: Always"), "document 2 (Deployment x)",
            "spec.template.spec.containers[0].image", id="missing field",
        ),
        pytest.param(
            deployment(container="image: i\n        resources: {limits: {cpu: abc}}"), "document 2 (Deployment x)",
            "spec.template.spec.containers[0].resources.limits.cpu", id="bad quantity",
        ),
        pytest.param(
            GOOD.replace("good", "Not_Good"), "document 2 (ConfigMap Not_Good)", "metadata.name", id="bad name"
        ),
        pytest.param(
            deployment(label="b"), "document 2 (Deployment x)", "spec.template.metadata.labels", id="selector"
        ),
        pytest.param(
            deployment(extra="  replica: 2\n"), "document 2 (Deployment x)", "spec.replica", id="unknown field"
        ),
    ],
)  # fmt: skip
def test_nothing_of_a_bad_file_is_applied(
    environment: dict[str, str], tmp_path: Path, content: str, place: str, message: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GOOD + content)
    done = subprocess.run(
        [ORCH, "apply", "-f", str(file)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"orch: {file}: {place}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    left = subprocess.run([ORCH, "get", "cm,deploy", "-o", "name"], env=environment, capture_output=True, text=True)
    assert "good" not in left.stdout
    assert "deployment" not in left.stdout
