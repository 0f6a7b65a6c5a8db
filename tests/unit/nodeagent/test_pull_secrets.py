"""Registry credentials from pull secrets."""

import base64
import json
from typing import Any

import pytest

from nodeagent.pull_secrets import registry_auth
from nodeagent.runtime.interface import RegistryAuth
from orch.api.meta import ObjectMeta
from orch.api.secret import Secret
from orch.api.shared import LocalObjectReference
from tests.unit.nodeagent.machine import a_pod
from tests.unit.nodeagent.test_environment import Objects

ENTRY = {"username": "me", "password": "secret"}
POD = a_pod(image_pull_secrets=(LocalObjectReference(name="absent"), LocalObjectReference(name="keys")))


def secret(auths: dict[str, Any], key: str = ".dockerconfigjson") -> Secret:
    content = {"auths": auths} if key == ".dockerconfigjson" else auths
    return Secret(metadata=ObjectMeta(name="keys"), data={key: json.dumps(content).encode()})


@pytest.mark.parametrize(
    ("registry", "image"),
    [
        ("reg.example:5000", "reg.example:5000/app:1"),
        ("https://reg.example/v2/", "reg.example/app"),
        ("https://index.docker.io/v1/", "app:1"),
        ("docker.io", "library/app"),
        ("reg.example/team", "reg.example/team/app:1"),
        ("*.reg.example", "eu.reg.example/app"),
    ],
)
def test_the_images_registry_is_found(registry: str, image: str) -> None:
    auth = registry_auth(POD, image, Objects(secret({"other.example": {"username": "no"}, registry: ENTRY})))
    assert auth == RegistryAuth("me", "secret")


@pytest.mark.parametrize(
    ("registry", "image"),
    [
        ("reg.example", "reg.example:5000/app"),
        ("reg.example/team", "reg.example/teams/app"),
        ("*.example", "eu.reg.example/app"),
    ],
)
def test_credentials_go_to_no_other_repository(registry: str, image: str) -> None:
    assert registry_auth(POD, image, Objects(secret({registry: ENTRY}))) is None


def test_the_more_specific_credentials_win() -> None:
    entries = {"reg.example": {"username": "all", "password": "x"}, "reg.example/team": ENTRY}
    assert registry_auth(POD, "reg.example/team/app", Objects(secret(entries))) == RegistryAuth("me", "secret")


def test_the_older_format_and_the_joined_form() -> None:
    joined = {"auth": base64.b64encode(b"me:sec:ret").decode()}
    objects = Objects(secret({"reg.example": joined}, ".dockercfg"))
    assert registry_auth(POD, "reg.example/app", objects) == RegistryAuth("me", "sec:ret")


@pytest.mark.parametrize(
    "data", [b"no json", b"{}", b'{"auths": null}', b'{"auths": {"reg.example": {"auth": "%%%"}}}', b"[]"]
)
def test_what_cannot_be_read_gives_none(data: bytes) -> None:
    broken = Secret(metadata=ObjectMeta(name="keys"), data={".dockerconfigjson": data})
    assert registry_auth(POD, "reg.example/app", Objects(broken)) is None
