"""Credentials for image registries, from the Secrets that a pod names in imagePullSecrets. Pure.

Formats: `kubernetes.io/dockerconfigjson` (the file ~/.docker/config.json) and the older `kubernetes.io/dockercfg`.
"""

import base64
import binascii
import json
import re
from fnmatch import fnmatchcase
from typing import Any

from nodeagent.environment import Inputs
from nodeagent.runtime.interface import RegistryAuth
from orch import oci
from orch.api.pod.spec import Pod
from orch.api.secret import Secret

_SCHEME = re.compile(r"^https?://")
_VERSIONS = re.compile(r"/v[12]/?$")


def registry_auth(pod: Pod, image: str, inputs: Inputs) -> RegistryAuth | None:
    """The first credentials for the image's registry among the pod's pull secrets. A secret that is missing or cannot
    be read gives none, as in Kubernetes."""
    reference = oci.parse(image)
    for named in pod.spec.image_pull_secrets or ():
        secret = inputs.secret(pod.metadata.namespace, named.name or "")
        entries = _entries(secret) if secret is not None else {}
        for key in sorted(entries, reverse=True):  # the longer path of one registry first
            if _fits(key, reference):
                return _auth(entries[key])
    return None


def _fits(key: str, image: oci.Reference) -> bool:
    """Whether a key such as `reg.example:5000/team` or `https://*.example` means the image's repository. A star stands
    within one part of the host's name."""
    host, _, path = _VERSIONS.sub("", _SCHEME.sub("", key)).partition("/")
    if image.registry == oci.DEFAULT_REGISTRY:
        host = host.replace("index.docker.io", oci.DEFAULT_REGISTRY)
    wanted, found = host.split("."), image.registry.split(".")
    same_host = len(wanted) == len(found) and all(map(fnmatchcase, found, wanted))
    return same_host and f"{image.repository}/".startswith(f"{path.rstrip('/')}/" if path.strip("/") else "")


def _entries(secret: Secret) -> dict[str, dict[str, Any]]:
    data = secret.data or {}
    try:
        if ".dockerconfigjson" in data:
            return dict(json.loads(data[".dockerconfigjson"]).get("auths") or {})
        return dict(json.loads(data.get(".dockercfg", b"{}")))
    except (ValueError, AttributeError):
        return {}


def _auth(entry: dict[str, Any]) -> RegistryAuth | None:
    if entry.get("username"):
        return RegistryAuth(entry["username"], entry.get("password", ""))
    try:
        username, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return RegistryAuth(username, password) if username else None
