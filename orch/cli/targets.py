"""Which objects a command line means: `pods`, `pods,svc`, `pod web`, `pod/web svc/web`, `all`.

Pure on top of Discovery. A target without a name means every object of its type.
"""

from collections.abc import Sequence
from typing import NamedTuple

from orch.cli.discovery import Discovery, Resource
from orch.cli.failures import CliError, Exit


class Target(NamedTuple):
    resource: Resource
    name: str = ""

    def path(self, namespace: str, subresource: str = "") -> str:
        return self.resource.path(namespace, self.name, subresource)

    def __str__(self) -> str:
        return f"{self.resource.qualified}/{self.name}"


def parse(words: Sequence[str], discovery: Discovery) -> list[Target]:
    """Raises CliError for an unknown type or words that fit no form."""
    if not words:
        raise CliError("name a resource type, such as pods or deploy/web", Exit.USAGE)
    if any("/" in word for word in words):
        return [_slashed(word, discovery) for word in words]
    resources = [resource for name in words[0].split(",") if name for resource in discovery.named(name)]
    if len(words) == 1:
        return [Target(resource) for resource in resources]
    return [Target(resource, name) for resource in resources for name in words[1:]]


def parse_named(words: Sequence[str], discovery: Discovery, default_type: str = "") -> list[Target]:
    """Targets that all have a name. One bare word is a name of `default_type`."""
    if default_type and len(words) == 1 and "/" not in words[0]:
        return [Target(discovery.named(default_type)[0], words[0])]
    targets = parse(words, discovery)
    if not all(target.name for target in targets):
        raise CliError(f"name the object as well: {words[0]}/NAME", Exit.USAGE)
    return targets


def _slashed(word: str, discovery: Discovery) -> Target:
    type_name, _, name = word.partition("/")
    if not type_name or not name or "/" in name:
        raise CliError(f"{word!r} is no TYPE/NAME, and the two forms cannot be mixed", Exit.USAGE)
    return Target(discovery.named(type_name)[0], name)
