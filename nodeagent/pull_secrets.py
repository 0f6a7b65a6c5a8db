"""Credentials for image registries, from the Secrets that a pod names in imagePullSecrets. Pure.

Formats: `kubernetes.io/dockerconfigjson` (the file ~/.docker/config.json) and the older `kubernetes.io/dockercfg`.
"""

import base64
import binascii
import json
from typing import Any

from nodeagent.environment import Inputs
from nodeagent.runtime.interface import RegistryAuth
from orch import oci
from orch.api.pod.spec import Pod
from orch.api.secret import Secret

_DOCKER_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")


def registry_auth(pod: Pod, image: str, inputs: Inputs) -> RegistryAuth | None:
    """The first credentials for the image's registry among the pod's pull secrets. A secret that is missing or cannot
    be read gives none, as in Kubernetes."""
    registry = oci.parse(image).registry
    wanted = _DOCKER_HUB_KEYS if registry == oci.DEFAULT_REGISTRY else (registry,)
    for reference in pod.spec.image_pull_secrets or ():
        secret = inputs.secret(pod.metadata.namespace, reference.name or "")
        for key, entry in (_entries(secret) if secret is not None else {}).items():
            if key in wanted or _host(key) in wanted:
                return _auth(entry)
    return None


def _entries(secret: Secret) -> dict[str, dict[str, Any]]:
    data = secret.data or {}
    try:
        if ".dockerconfigjson" in data:
            return dict(json.loads(data[".dockerconfigjson"]).get("auths") or {})
        return dict(json.loads(data.get(".dockercfg", b"{}")))
    except (ValueError, AttributeError):
        return {}


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _auth(entry: dict[str, Any]) -> RegistryAuth | None:
    if entry.get("username"):
        return RegistryAuth(entry["username"], entry.get("password", ""))
    try:
        username, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return RegistryAuth(username, password) if username else None
