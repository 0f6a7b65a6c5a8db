"""Image names as Docker reads them."""

import pytest

from orch import oci

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("quickstart:1", "docker.io/library/quickstart:1"),
        ("quickstart", "docker.io/library/quickstart:latest"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/app", "docker.io/library/app:latest"),
        ("index.docker.io/team/app:2", "docker.io/team/app:2"),
        ("localhost/app", "localhost/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("10.0.0.1:5000/docker.io/library/app:1", "10.0.0.1:5000/docker.io/library/app:1"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
        (f"app:1@{DIGEST}", f"docker.io/library/app:1@{DIGEST}"),
        ("registry.k8s.io/e2e_test/a--b.c:v1.0_x-y", "registry.k8s.io/e2e_test/a--b.c:v1.0_x-y"),
    ],
)
def test_a_name_has_one_canonical_form(text: str, canonical: str) -> None:
    assert oci.canonical(text) == canonical
    assert oci.canonical(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "App",
        "app:",
        "app:-x",
        "app@sha256:12",
        "a//b",
        "/app",
        "app/",
        "-app",
        "a" * 256,
        "app@",
        "a b",
        "x/../y",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(oci.InvalidReference, match="image name"):
        oci.parse(text)


def test_the_parts_of_a_name() -> None:
    reference = oci.parse(f"reg:5000/team/app:1@{DIGEST}")
    assert (reference.registry, reference.repository, reference.tag) == ("reg:5000", "team/app", "1")
    assert (reference.name, reference.digest) == ("reg:5000/team/app", DIGEST)
