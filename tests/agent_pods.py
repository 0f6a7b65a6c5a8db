"""Pods for tests of faults: an init container, a sidecar, hooks, volumes, a Secret and a port of the host in each."""

from orch.api.meta import ObjectMeta
from orch.api.pod.container import (
    Container,
    ContainerPort,
    ExecAction,
    Lifecycle,
    LifecycleHandler,
    VolumeMount,
)
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import EmptyDirVolumeSource, SecretVolumeSource, Volume
from orch.api.secret import Secret

SIDECAR, APP = "sidecar-runs", "app-runs"
SECRET = Secret(metadata=ObjectMeta(name="s", namespace="default", uid="s"), data={"k": "dg=="})
"""What the pods name: it must be there."""


def busybox(name: str, script: str, **fields: object) -> Container:
    mounts = (
        VolumeMount(name="data", mount_path="/data"),
        VolumeMount(name="data", mount_path="/part", sub_path="part"),
        VolumeMount(name="memory", mount_path="/memory"),
        VolumeMount(name="secret", mount_path="/secret"),
    )
    command = ("/bin/sh", "-c", script)
    return Container(name=name, image="busybox:1", command=command, volume_mounts=mounts, **fields)  # type: ignore[arg-type]


def a_pod(number: int, host_port: int = 8080, protocol: str = "TCP") -> Pod:
    """With some of everything that leaves traces; `number` 3, 7, ... share a process namespace."""
    forever = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

    def hook(word: str) -> LifecycleHandler:
        return LifecycleHandler(exec=ExecAction(command=("/bin/sh", "-c", f"echo {word} >> /data/hooks")))

    return Pod(
        metadata=ObjectMeta(name=f"pod-{number}", namespace="default", uid=f"uid-{number}"),
        spec=PodSpec(
            node_name="node-1",
            termination_grace_period_seconds=2,
            share_process_namespace=number % 4 == 3,
            init_containers=(
                busybox("init", "echo init >> /data/init; cat /secret/k > /memory/k"),
                busybox("sidecar", f"echo {SIDECAR} >> /data/sidecar; {forever}", restart_policy="Always"),
            ),
            containers=(
                busybox(
                    "app", f"echo {APP} >> /data/app; {forever}",
                    lifecycle=Lifecycle(post_start=hook("started"), pre_stop=hook("stopping")),
                    ports=(ContainerPort(container_port=80, host_port=host_port, protocol=protocol),),
                ),
            ),
            volumes=(
                Volume(name="data", empty_dir=EmptyDirVolumeSource()),
                Volume(name="memory", empty_dir=EmptyDirVolumeSource(medium="Memory")),
                Volume(name="secret", secret=SecretVolumeSource(secret_name="s")),
            ),
        ),
    )  # fmt: skip
