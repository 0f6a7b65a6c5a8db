"""Kubeconfigs: what kubectl would read is read alike, and each fault says where it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orch import kubeconfig
from orch.kubeconfig import DEFAULT_PATH, KubeconfigError


def config(**changes: Any) -> dict[str, Any]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "web"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://h:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    } | changes


def write(path: Path, plain: Any) -> Path:
    path.write_text(yaml.safe_dump(plain))
    return path


def test_what_is_rendered_is_json_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "config"
    rendered = kubeconfig.render("local", "https://h:6443", "admin", ca_pem=b"ca", cert_pem=b"cert", key_pem=b"key")
    path.write_bytes(rendered)
    access = kubeconfig.load([path])
    assert json.loads(rendered) == yaml.safe_load(rendered)
    assert (access.server, access.ca_pem, access.cert_pem, access.key_pem) == ("https://h:6443", b"ca", b"cert", b"key")


def test_yaml_with_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "client.crt").write_text("cert")
    users = [{"name": "u", "user": {"client-certificate": "client.crt"}}]
    access = kubeconfig.load([write(tmp_path / "config", config(users=users))])
    assert (access.cert_pem, access.namespace) == (b"cert", "web")


def test_the_first_of_several_files_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "1", {"clusters": [{"name": "k", "cluster": {"server": "https://first:1"}}]})
    assert kubeconfig.load([first, write(tmp_path / "2", config())]).server == "https://first:1"


def test_find_prefers_the_flag_then_the_environment_then_the_local_cluster(tmp_path: Path) -> None:
    there = write(tmp_path / "there", config())
    environment = {"KUBECONFIG": f"{tmp_path / 'missing'}:{there}"}
    assert kubeconfig.find("x", environment) == [Path("x")]
    assert kubeconfig.find("", environment) == [there]
    assert kubeconfig.find("", {}) == [DEFAULT_PATH.expanduser()]


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        pytest.param(config(contexts=[]), "contexts has no entry named 'c'", id="no context"),
        pytest.param(config(users=[]), "users has no entry named 'u'", id="no user"),
        pytest.param(config(users=[{"name": "u", "user": {"exec": {"command": "x"}}}]), "uses 'exec'", id="exec"),
        pytest.param(
            config(users=[{"name": "u", "user": {"client-key-data": "%"}}]), "client-key: ", id="broken base64"
        ),
        pytest.param(["a"], "no mapping", id="list"),
        pytest.param({}, "no current-context", id="empty"),
    ],
)
def test_faults_name_file_and_entry(tmp_path: Path, plain: Any, message: str) -> None:
    path = write(tmp_path / "config", plain)
    with pytest.raises(KubeconfigError, match=message) as raised:
        kubeconfig.load([path])
    assert str(raised.value).startswith(str(path))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="orch cluster up"):
        kubeconfig.load([tmp_path / "none"])
