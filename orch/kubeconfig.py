"""The kubeconfig file (client.config.k8s.io/v1): where a cluster is and as whom we talk to it.

Reads what kubectl reads (several files, contexts, inline data or paths) and refuses by name what it does not support.
Writes JSON, which is YAML as well, so that the CLI need not load a YAML parser to start.
"""

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orch.errors import OrchError

DEFAULT_PATH = Path("~/.orch/clusters/local/kubeconfig")
UNSUPPORTED_USER_FIELDS = ("exec", "auth-provider", "username", "password", "as", "as-groups")
UNSUPPORTED_CLUSTER_FIELDS = ("proxy-url",)


class KubeconfigError(OrchError):
    """The file is missing, unreadable, or names something that it does not contain. The message says what to do."""


class Access(NamedTuple):
    """One context, resolved. Certificates and keys are PEM bytes, empty when the file has none."""

    context: str
    server: str
    namespace: str = "default"
    ca_pem: bytes = b""
    cert_pem: bytes = b""
    key_pem: bytes = b""
    token: str = ""
    tls_server_name: str = ""
    verify: bool = True


def render(
    cluster: str, server: str, user: str, *, ca_pem: bytes, cert_pem: bytes, key_pem: bytes, namespace: str = "default"
) -> bytes:
    """A kubeconfig with one context, named like the cluster, and everything inline."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _encode(ca_pem)}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _encode(cert_pem), "client-key-data": _encode(key_pem)},
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user, "namespace": namespace}}],
    }
    return json.dumps(config, indent=2).encode() + b"\n"


def find(explicit: str, environment: Mapping[str, str]) -> list[Path]:
    """The files to read: --kubeconfig, else each of KUBECONFIG that exists, else the local cluster's."""
    if explicit:
        return [Path(explicit)]
    named = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [path for path in named if path.exists()] or named[:1] or [DEFAULT_PATH.expanduser()]


def load(paths: Sequence[Path], context: str = "") -> Access:
    """The named context, or the current one of the first file that sets it. Raises KubeconfigError."""
    files = [(path, _read(path)) for path in paths]
    name = context or next((str(c["current-context"]) for _, c in files if c.get("current-context")), "")
    if not name:
        raise KubeconfigError(f"{paths[0]}: no current-context: choose one with --context")
    _, chosen = _entry(files, "contexts", "context", name)
    cluster_file, cluster = _entry(files, "clusters", "cluster", str(chosen.get("cluster", "")))
    user_file, user = _entry(files, "users", "user", str(chosen.get("user", "")))
    _refuse(cluster_file, "cluster", cluster, UNSUPPORTED_CLUSTER_FIELDS)
    _refuse(user_file, "user", user, UNSUPPORTED_USER_FIELDS)
    return Access(
        context=name,
        server=str(cluster.get("server", "")),
        namespace=str(chosen.get("namespace") or "default"),
        ca_pem=_content(cluster_file, cluster, "certificate-authority"),
        cert_pem=_content(user_file, user, "client-certificate"),
        key_pem=_content(user_file, user, "client-key"),
        token=_token(user_file, user),
        tls_server_name=str(cluster.get("tls-server-name", "")),
        verify=not cluster.get("insecure-skip-tls-verify", False),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise KubeconfigError(
            f"{path}: no such file: start a cluster with 'orch cluster up', or name a kubeconfig with --kubeconfig"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: cannot be read: {error}") from error
    config = _parse(path, text)
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path}: not a kubeconfig: the document is no mapping")
    return config


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        import yaml  # not at the top: the files that we write are JSON, and this costs a third of a start

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


def _entry(
    files: Iterable[tuple[Path, dict[str, Any]]], section: str, field: str, name: str
) -> tuple[Path, dict[str, Any]]:
    """The first entry of that name wins, as in kubectl's merge."""
    path = Path()
    for path, config in files:
        for entry in config.get(section) or ():
            if entry.get("name") == name:
                return path, entry.get(field) or {}
    raise KubeconfigError(f"{path}: {section} has no entry named {name!r}")


def _refuse(path: Path, what: str, values: Mapping[str, Any], fields: Iterable[str]) -> None:
    for field in fields:
        if values.get(field):
            raise KubeconfigError(f"{path}: the {what} entry uses {field!r}, which orch does not support")


def _content(path: Path, values: Mapping[str, Any], field: str) -> bytes:
    """Inline data wins over a path; a relative path is relative to the kubeconfig."""
    inline = values.get(f"{field}-data")
    try:
        if inline:
            return base64.b64decode(inline, validate=True)
        named = values.get(field)
        return (path.parent / named).read_bytes() if named else b""
    except (OSError, ValueError) as error:
        raise KubeconfigError(f"{path}: {field}: {error}") from error


def _token(path: Path, user: Mapping[str, Any]) -> str:
    if user.get("token"):
        return str(user["token"])
    return _content(path, {"tokenFile": user.get("tokenFile")}, "tokenFile").decode().strip()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
