"""Manifests, indexes and configs."""

import json

import pytest

from nodeagent.images.manifest import (
    Descriptor,
    Manifest,
    Platform,
    digest_of,
    parse_config,
    parse_manifest,
    this_platform,
)
from nodeagent.runtime.interface import ImageConfig, PullFailed
from tests.images import blobs, image_config, layer

AMD64 = Platform("amd64")
DIGESTS = ["sha256:" + digit * 64 for digit in "abc"]


def index(*platforms: tuple[str, str, str]) -> bytes:
    entries = [
        {"digest": digest, "size": 1, "platform": {"os": os, "architecture": arch, "variant": variant}}
        for digest, (os, arch, variant) in zip(DIGESTS, platforms, strict=False)
    ]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def test_a_manifest_lists_config_and_layers() -> None:
    body, _ = blobs([layer({"a": b"1"}), layer({"b": b"2"})])
    manifest = parse_manifest(body, AMD64)
    assert isinstance(manifest, Manifest)
    assert len(manifest.layers) == 2
    assert manifest.config.digest == digest_of(image_config([layer({"a": b"1"}), layer({"b": b"2"})]))


@pytest.mark.parametrize(
    ("platform", "chosen"),
    [(AMD64, 1), (Platform("arm64"), 0), (Platform("arm64", variant="v8"), 2)],
)
def test_an_index_leads_to_the_platforms_manifest(platform: Platform, chosen: int) -> None:
    body = index(("linux", "arm64", ""), ("linux", "amd64", ""), ("linux", "arm64", "v8"))
    found = parse_manifest(body, platform)
    assert isinstance(found, Descriptor)
    assert found.digest == DIGESTS[chosen]


def test_an_index_without_the_platform_says_what_it_has() -> None:
    with pytest.raises(PullFailed, match="no manifest for linux/amd64; the image has linux/s390x, windows/amd64"):
        parse_manifest(index(("windows", "amd64", ""), ("linux", "s390x", "")), AMD64)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"config": {"digest": "md5:1", "size": 1}, "layers": []}']
)
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(PullFailed):
        parse_manifest(body, AMD64)


def test_the_config_says_how_to_run() -> None:
    body = image_config([], Entrypoint=["/e"], Cmd=["c"], Env=["A=1"], User="web", WorkingDir="/w", StopSignal="SIGINT")
    assert parse_config(body).image_config() == ImageConfig(("/e",), ("c",), ("A=1",), "/w", "web", "SIGINT")
    assert parse_config(image_config([], Cmd=None)).image_config() == ImageConfig()
    with pytest.raises(PullFailed, match="no sha256 digest"):
        parse_config(b'{"rootfs": {"diff_ids": ["../../etc"]}}')


def test_this_machine_has_a_platform() -> None:
    assert this_platform().os == "linux"
    assert this_platform().architecture in ("amd64", "arm64")
