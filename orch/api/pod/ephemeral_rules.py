"""Rules of ephemeral containers: what they may say, and that a running pod's list of them only grows.

As core validation's validateEphemeralContainers and ValidatePodEphemeralContainersUpdate.
"""

from collections.abc import Sequence

from orch.api.causes import Causes
from orch.api.pod.container import EphemeralContainer
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.static import is_mirror
from orch.api.shared import ResourceRequirements
from orch.errors import Cause

NOT_ALLOWED = "cannot be set for an Ephemeral Container"


def ephemeral_rules(causes: Causes, path: str, container: EphemeralContainer, spec: PodSpec) -> None:
    """Beside what holds for all containers; its probes and hooks are refused elsewhere."""
    refused = (
        ("ports", container.ports),
        ("resources", container.resources != ResourceRequirements()),
        ("resizePolicy", container.resize_policy),
        ("restartPolicy", container.restart_policy),
        ("restartPolicyRules", container.restart_policy_rules),
    )
    for name, value in refused:
        if value:
            causes.forbidden(f"{path}.{name}", NOT_ALLOWED)
    for index, mount in enumerate(container.volume_mounts or ()):
        for name, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
            if value:
                causes.forbidden(f"{path}.volumeMounts[{index}].{name}", NOT_ALLOWED)
    target = container.target_container_name
    if target and target not in {known.name for known in (*spec.containers, *(spec.init_containers or ()))}:
        causes.not_found(f"{path}.targetContainerName", target)


def validate_ephemeral_update(new: Pod, old: Pod) -> Sequence[Cause]:
    """A write of the `ephemeralcontainers` subresource: the old ones stay as they are."""
    causes = Causes()
    if is_mirror(old):
        causes.forbidden("", "static pods do not support ephemeral containers")
    path, wanted = "spec.ephemeralContainers", {c.name: c for c in new.spec.ephemeral_containers or ()}
    for index, container in enumerate(old.spec.ephemeral_containers or ()):
        if container.name not in wanted:
            causes.forbidden(path, f'existing ephemeral containers "{container.name}" may not be removed')
        elif wanted[container.name] != container:
            causes.forbidden(f"{path}[{index}]", f'existing ephemeral containers "{container.name}" may not be changed')
    return causes.found
