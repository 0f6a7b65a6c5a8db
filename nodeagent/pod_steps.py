"""How each instruction about the kernel is carried out: one function per instruction, its outcome as an event.

Every step is idempotent: repeated after a crash in its middle it completes or finds itself done. Steps know the pod
and the parts, never the machine's state.
"""

import asyncio
import contextlib
import shutil

from msgspec.structs import replace

from nodeagent.allocations import sized
from nodeagent.container_config import container_config, sandbox_config
from nodeagent.container_end import handler_of
from nodeagent.container_specs import container_named, target_of
from nodeagent.container_state import exit_event
from nodeagent.environment import ConfigError
from nodeagent.pod_events import (
    ContainerCreated,
    ContainerExited,
    ContainerStarted,
    CreateFailed,
    HookEnded,
    ImageFailed,
    ImageReady,
    SandboxReady,
    SandboxRemoved,
    SandboxStopped,
    SizesApplied,
    StopFailed,
    VolumesReady,
    VolumesRemoved,
)
from nodeagent.pod_instructions import (
    ApplySizes,
    CreateContainer,
    EmitEvent,
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    RemoveVolumes,
    RunHook,
    RunSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
)
from nodeagent.pod_parts import PodParts, ProbeTarget
from nodeagent.probes.hooks import run_hook
from nodeagent.pull_secrets import registry_auth
from nodeagent.resources import container_resources, exactly, pod_resources, widest
from nodeagent.runtime.interface import (
    ContainerState,
    ContainerStatus,
    Image,
    NoSuchContainer,
    PullFailed,
    RuntimeFault,
)
from nodeagent.termination_message import message_file, message_mount, termination_message
from orch import oci
from orch.api.pod.spec import Pod
from orch.api.shared import ResourceRequirements


async def run_sandbox(pod: Pod, parts: PodParts, do: RunSandbox) -> SandboxReady:
    await asyncio.sleep(0)  # first the preparation of the volumes asks the server for tokens: it is made meanwhile
    directory = parts.log_directory(pod)
    directory.mkdir(parents=True, exist_ok=True)
    config = sandbox_config(pod, str(directory), parts.node, _runtime_handler(pod, parts))
    return SandboxReady((await parts.runtime.run_pod_sandbox(config)).ip)


def _runtime_handler(pod: Pod, parts: PodParts) -> str:
    """Empty: the node's default. Raises ConfigError."""
    name = pod.spec.runtime_class_name
    if not name:
        return ""
    runtime_class = parts.inputs.runtime_class(name)
    if runtime_class is None:
        raise ConfigError(f'RuntimeClass "{name}" not found')
    return runtime_class.handler


async def prepare_volumes(pod: Pod, parts: PodParts, do: PrepareVolumes) -> VolumesReady:
    await parts.volumes.prepare(pod)
    return VolumesReady()


async def pull_image(pod: Pod, parts: PodParts, do: PullImage) -> ImageReady | ImageFailed:
    policy = container_named(pod, do.container).image_pull_policy or "IfNotPresent"
    try:
        image = None if policy == "Always" else await parts.images.find(do.image)
        if image is None and policy == "Never":
            message = f'Container image "{do.image}" is not present with pull policy of Never'
            return ImageFailed(do.container, do.image, "ErrImageNeverPull", message)
        if image is None:
            image = await _pull(pod, parts, do)
    except oci.InvalidReference as error:
        return ImageFailed(do.container, do.image, "InvalidImageName", str(error))
    except PullFailed as error:
        return ImageFailed(do.container, do.image, "ErrImagePull", str(error))
    return ImageReady(do.container, do.image, image.id, _with_digest(image), oci.canonical(do.image))


async def _pull(pod: Pod, parts: PodParts, do: PullImage) -> Image:
    parts.reports.event(pod, EmitEvent("Normal", "Pulling", f'Pulling image "{do.image}"', do.container))
    began = parts.clock.monotonic()
    image = await parts.images.pull(do.image, registry_auth(pod, do.image, parts.inputs))
    took = f"{parts.clock.monotonic() - began:.3f}s"
    message = f'Successfully pulled image "{do.image}" in {took}. Image size: {image.size_bytes} bytes.'
    parts.reports.event(pod, EmitEvent("Normal", "Pulled", message, do.container))
    return image


def _with_digest(image: Image) -> str:
    return next((name for name in image.names if "@" in name), image.id)


async def create_container(
    pod: Pod, parts: PodParts, do: CreateContainer, pod_ip: str
) -> ContainerCreated | CreateFailed:
    with parts.images.holding(do.image_id):
        return await _create_container(pod, parts, do, pod_ip)


async def _create_container(
    pod: Pod, parts: PodParts, do: CreateContainer, pod_ip: str
) -> ContainerCreated | CreateFailed:
    image = await parts.images.find(do.image_id)
    if image is None:
        message = f"image {do.image_id} was removed from the node before its container was created"
        return CreateFailed(do.container, do.attempt, "CreateContainerError", message)
    spec = replace(container_named(pod, do.container), image=do.image)  # which may have changed since it was pulled
    try:
        config = container_config(
            pod,
            spec,
            attempt=do.attempt,
            image=image,
            inputs=parts.inputs,
            node=parts.node,
            pod_ip=pod_ip,
            mounts=(
                *parts.volumes.mounts(pod, spec, pod_ip),
                *message_mount(parts.log_directory(pod) / do.container, spec, do.attempt),
            ),
            pid_target=await _pid_target(pod, parts, do.container),
        )
    except ConfigError as error:
        return CreateFailed(do.container, do.attempt, "CreateContainerConfigError", str(error))
    container_id = await parts.runtime.create_container(config)
    return ContainerCreated(do.container, do.attempt, container_id, spec.resources)


async def apply_sizes(pod: Pod, parts: PodParts, do: ApplySizes) -> SizesApplied:
    """The pod's cgroup grows before its containers and shrinks after them."""
    uid, node, runtime = pod.metadata.uid, parts.node, parts.runtime
    before, after = pod_resources(sized(pod, do.before), node), pod_resources(pod, node)
    done: dict[str, ResourceRequirements] = {}
    try:
        await runtime.update_pod_resources(uid, exactly(widest(before, after)))
        for name, container_id in do.containers:
            spec = container_named(pod, name)
            with contextlib.suppress(NoSuchContainer):  # it has ended, and comes again with its new size
                await runtime.update_container_resources(container_id, exactly(container_resources(pod, spec, node)))
                done[name] = spec.resources
        if do.is_last:
            await runtime.update_pod_resources(uid, exactly(after))
    except RuntimeFault as error:
        return SizesApplied(done, str(error))
    return SizesApplied(done)


async def _pid_target(pod: Pod, parts: PodParts, name: str) -> str:
    """The id of the container whose processes this one is to see. Raises ConfigError when it does not run."""
    target = target_of(pod, name)
    if not target:
        return ""
    for status in await parts.runtime.list_containers():
        if (status.pod_uid, status.name, status.state) == (pod.metadata.uid, target, ContainerState.RUNNING):
            return status.id
    raise ConfigError(f"unable to find target container {target}: it does not run")


async def start_container(pod: Pod, parts: PodParts, do: StartContainer) -> ContainerStarted:
    await parts.runtime.start_container(do.container_id)
    status = await parts.runtime.container_status(do.container_id)
    return ContainerStarted(do.container, do.attempt, status.started_at or parts.clock.now())


async def stop_container(pod: Pod, parts: PodParts, do: StopContainer) -> ContainerExited | StopFailed:
    try:
        await parts.runtime.stop_container(do.container_id, do.grace_s)
        status = await parts.runtime.container_status(do.container_id)
    except NoSuchContainer:
        return ContainerExited(do.container, do.attempt, 137, False, None, parts.clock.now(), lost=True)
    if status.state is ContainerState.RUNNING:
        return StopFailed(do.container, do.attempt, f"container {do.container} still runs after SIGKILL")
    return exited(pod, parts, status)


def exited(pod: Pod, parts: PodParts, status: ContainerStatus) -> ContainerExited:
    return exit_event(status, parts.clock.now(), last_word(pod, parts, status))


def last_word(pod: Pod, parts: PodParts, status: ContainerStatus) -> str:
    """The termination message of a container that has ended."""
    return termination_message(parts.log_directory(pod) / status.name, container_named(pod, status.name), status)


async def run_lifecycle_hook(pod: Pod, parts: PodParts, do: RunHook, pod_ip: str) -> HookEnded:
    spec = container_named(pod, do.container)
    handler = handler_of(spec.lifecycle, do.hook)
    assert handler is not None, "only hooks of the spec are run"
    target = ProbeTarget(pod, spec, do.attempt, do.container_id, pod_ip)
    return HookEnded(do.container, do.attempt, do.hook, await run_hook(handler, target, parts.runtime))


async def remove_container(pod: Pod, parts: PodParts, do: RemoveContainer) -> None:
    """The log of the attempt stays for `logs --previous`; the one before it goes."""
    await parts.runtime.remove_container(do.container_id)
    folder = parts.log_directory(pod) / do.container
    for path in (*folder.glob(f"{do.attempt - 1}.log*"), message_file(folder, do.attempt)):
        path.unlink(missing_ok=True)


async def stop_sandbox(pod: Pod, parts: PodParts, do: StopSandbox) -> SandboxStopped:
    await parts.runtime.stop_pod_sandbox(pod.metadata.uid)
    return SandboxStopped()


async def remove_sandbox(pod: Pod, parts: PodParts, do: RemoveSandbox) -> SandboxRemoved:
    await parts.runtime.remove_pod_sandbox(pod.metadata.uid)
    return SandboxRemoved()


async def remove_volumes(pod: Pod, parts: PodParts, do: RemoveVolumes) -> VolumesRemoved:
    await parts.volumes.remove(pod.metadata.uid)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(parts.log_directory(pod))
    return VolumesRemoved()
