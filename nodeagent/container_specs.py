"""The containers of a pod, of every sort, each with its role. Pure."""

from collections.abc import Iterator

from nodeagent.container_state import Role
from orch.api.pod.container import Container, EphemeralContainer
from orch.api.pod.spec import Pod
from orch.api.schema import fields_of


def container_specs(pod: Pod) -> Iterator[tuple[Container, Role]]:
    """In the order in which they start."""
    for spec in pod.spec.init_containers or ():
        yield spec, Role.SIDECAR if spec.restart_policy == "Always" else Role.INIT
    for spec in pod.spec.containers:
        yield spec, Role.MAIN
    for ephemeral in pod.spec.ephemeral_containers or ():
        yield as_container(ephemeral), Role.EPHEMERAL


def container_named(pod: Pod, name: str) -> Container:
    return next(spec for spec, _ in container_specs(pod) if spec.name == name)


def as_container(ephemeral: EphemeralContainer) -> Container:
    """All that an ephemeral container has in common with the others."""
    attributes = (field.attribute for field in fields_of(Container).values())
    return Container(**{name: getattr(ephemeral, name) for name in attributes})


def target_of(pod: Pod, name: str) -> str:
    """The container whose processes an ephemeral container is to see; empty: its own only."""
    ephemeral = (c for c in pod.spec.ephemeral_containers or () if c.name == name)
    return next((c.target_container_name or "" for c in ephemeral), "")
