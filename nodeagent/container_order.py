"""Which containers of a pod may start, and which must end, next: pure decisions on the stages of all of them, in the
order that kubelet keeps between init containers, sidecars and main containers.
"""

from collections.abc import Sequence

from nodeagent.container_end import handler_of
from nodeagent.container_machine import ContainerMachine
from nodeagent.container_state import Role, Stage
from nodeagent.pod_events import HookKind
from nodeagent.pod_status import is_past

Containers = Sequence[ContainerMachine]
"""All of a pod, in the order of its spec: init containers and sidecars, main ones, ephemeral ones."""


def to_start(containers: Containers) -> list[ContainerMachine]:
    """Ephemeral containers at once; init containers one after the other, each when the one before is past; then all
    main containers, but none before the postStart hook of the one before it has ended."""
    turn = [c for c in containers if c.role is Role.EPHEMERAL]
    for container in containers:
        if container.role in (Role.INIT, Role.SIDECAR) and not is_past(container):
            return [c for c in (*turn, container) if c.stage is Stage.WAITING]
    for container in containers:
        turn.append(container)
        if container.role is Role.MAIN and _holds_up_the_next(container):
            break
    return [c for c in turn if c.stage is Stage.WAITING]


def to_end(containers: Containers) -> list[ContainerMachine]:
    """Main and init containers together; sidecars after them, the last one first."""
    others = [c for c in containers if c.role is not Role.SIDECAR]
    if any(c.stage is not Stage.FINISHED for c in others):
        return others
    sidecars = [c for c in containers if c.role is Role.SIDECAR and c.stage is not Stage.FINISHED]
    return sidecars[-1:]


def completed(containers: Containers) -> bool:
    """All that was to run has ended and nothing of it is to be restarted."""
    init = [c for c in containers if c.role is Role.INIT]
    if any(c.stage is Stage.FINISHED and not c.succeeded for c in init):
        return True
    main = [c for c in containers if c.role is Role.MAIN]
    return all(c.succeeded for c in init) and all(c.stage is Stage.FINISHED for c in main)


def _holds_up_the_next(container: ContainerMachine) -> bool:
    """It is on its way to a postStart hook: containers after it wait for that, as those of kubelet do."""
    coming = (Stage.WAITING, Stage.PULLING, Stage.CREATING, Stage.STARTING, Stage.POST_START)
    return container.stage in coming and handler_of(container.spec.lifecycle, HookKind.POST_START) is not None
