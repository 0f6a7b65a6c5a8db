"""Image names, canonicalised as Docker does (distribution/reference). Pure: no network, no disk.

`quickstart:1` is `docker.io/library/quickstart:1`; the canonical form is what status shows and what stores index.
"""

import re
from dataclasses import dataclass

from orch.errors import OrchError

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
NAME_LENGTH_MAX = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidReference(OrchError):
    """The text is no image name; kubelet shows this as InvalidImageName."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed image name. At least one of `tag` and `digest` is set; with both, the digest decides."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, as in `docker.io/library/quickstart`."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_digest(text: str) -> bool:
    """Whether it is `sha256:` and 64 hex digits: the only algorithm that registries use."""
    return _DIGEST.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """The reference that a user's text means. Raises InvalidReference."""
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise InvalidReference(f"image name {text!r}: {digest!r} is no sha256 digest")
    registry, rest = _split_registry(rest)
    repository, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise InvalidReference(f"image name {text!r}: {tag!r} is no tag")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if not _REPOSITORY.fullmatch(repository) or not _REGISTRY.fullmatch(registry):
        raise InvalidReference(f"image name {text!r}: must be [registry/]repository[:tag][@digest], in lower case")
    if len(registry) + 1 + len(repository) > NAME_LENGTH_MAX:
        raise InvalidReference(f"image name {text!r}: longer than {NAME_LENGTH_MAX} characters")
    return Reference(registry, repository, tag or ("" if digest else DEFAULT_TAG), digest)


def canonical(text: str) -> str:
    """`quickstart:1` -> `docker.io/library/quickstart:1`. Raises InvalidReference."""
    return str(parse(text))


def _split_registry(text: str) -> tuple[str, str]:
    """The first component is a registry when it looks like a host: has a dot or a port, or is localhost."""
    first, slash, rest = text.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first):
        return DEFAULT_REGISTRY, text
    return (DEFAULT_REGISTRY if first == "index.docker.io" else first), rest
