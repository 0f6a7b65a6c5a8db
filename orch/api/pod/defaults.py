"""Defaults of pods and pod templates, as kube-apiserver sets them (pkg/apis/core/v1/defaults.go).

What admission decides (service account, priority, tolerations of an unreachable node) is not set here.
Invariant: defaulting twice is defaulting once, and an object that has its defaults comes back as the same object.
"""

from typing import TypeVar

from orch.api import quantity
from orch.api.base import Quantity
from orch.api.change import change, each, each_or_none, fill, fill_zero, into
from orch.api.memo import remembered
from orch.api.pod.container import (
    Container,
    ContainerPort,
    EnvVar,
    EnvVarSource,
    EphemeralContainer,
    GRPCAction,
    HTTPGetAction,
    Lifecycle,
    LifecycleHandler,
    Probe,
)
from orch.api.pod.pod_level import pod_level_defaults
from orch.api.pod.security import PodSecurityContext
from orch.api.pod.spec import Pod, PodSpec, PodTemplateSpec
from orch.api.pod.volume_defaults import field_ref_defaults, resource_field_ref_defaults, volume_defaults
from orch.api.shared import ResourceRequirements

GRACE_PERIOD_DEFAULT_S = 30

C = TypeVar("C", Container, EphemeralContainer)


def pod_defaults(pod: Pod) -> Pod:
    return change(pod, spec=_pod_spec_defaults(pod.spec))


@remembered
def _pod_spec_defaults(spec: PodSpec) -> PodSpec:
    spec = spec_defaults(spec)
    spec = change(
        spec,
        containers=each(spec.containers, _requests_from_limits),
        init_containers=each_or_none(spec.init_containers, _requests_from_limits),
    )
    spec = fill(pod_level_defaults(spec), enable_service_links=True)
    return _host_ports(spec) if spec.host_network else spec


def template_defaults(template: PodTemplateSpec) -> PodTemplateSpec:
    return change(template, spec=spec_defaults(template.spec))


@remembered
def spec_defaults(spec: PodSpec) -> PodSpec:
    """What pods and templates have in common."""
    spec = fill_zero(
        spec,
        dns_policy="ClusterFirst",
        restart_policy="Always",
        scheduler_name="default-scheduler",
        service_account_name=spec.service_account,
    )
    spec = fill(
        spec,
        security_context=PodSecurityContext(),
        termination_grace_period_seconds=GRACE_PERIOD_DEFAULT_S,
    )
    return change(
        fill_zero(spec, service_account=spec.service_account_name),
        containers=each(spec.containers, _container),
        init_containers=each_or_none(spec.init_containers, _container),
        ephemeral_containers=each_or_none(spec.ephemeral_containers, _container),
        volumes=each_or_none(spec.volumes, volume_defaults),
        overhead=quantity.canonical_map(spec.overhead),
        resources=into(spec.resources, canonical_resources),
    )


def canonical_resources(resources: ResourceRequirements) -> ResourceRequirements:
    return change(
        resources,
        limits=quantity.canonical_map(resources.limits),
        requests=quantity.canonical_map(resources.requests),
    )


def image_pull_policy(image: str) -> str:
    """By tag: `latest`, written or implied, may have moved; anything else has not."""
    name, digest_mark, _digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not digest_mark) else "IfNotPresent"


def _container(container: C) -> C:
    container = fill_zero(
        container,
        image_pull_policy=image_pull_policy(container.image or ""),
        termination_message_path="/dev/termination-log",
        termination_message_policy="File",
    )
    return change(
        container,
        env=each_or_none(container.env, _env),
        ports=each_or_none(container.ports, _port),
        resources=canonical_resources(container.resources),
        liveness_probe=into(container.liveness_probe, _probe),
        readiness_probe=into(container.readiness_probe, _probe),
        startup_probe=into(container.startup_probe, _probe),
        lifecycle=into(container.lifecycle, _lifecycle),
    )


def _port(port: ContainerPort) -> ContainerPort:
    return fill_zero(port, protocol="TCP")


def _env(env: EnvVar) -> EnvVar:
    return change(env, value_from=into(env.value_from, _env_source))


def _env_source(source: EnvVarSource) -> EnvVarSource:
    return change(
        source,
        field_ref=into(source.field_ref, field_ref_defaults),
        resource_field_ref=into(source.resource_field_ref, resource_field_ref_defaults),
    )


def _probe(probe: Probe) -> Probe:
    probe = fill_zero(probe, timeout_seconds=1, period_seconds=10, success_threshold=1, failure_threshold=3)
    return change(probe, http_get=into(probe.http_get, _http_get), grpc=into(probe.grpc, _grpc))


def _http_get(action: HTTPGetAction) -> HTTPGetAction:
    return fill_zero(action, path="/", scheme="HTTP")


def _grpc(action: GRPCAction) -> GRPCAction:
    return fill(action, service="")


def _lifecycle(lifecycle: Lifecycle) -> Lifecycle:
    return change(
        lifecycle, post_start=into(lifecycle.post_start, _handler), pre_stop=into(lifecycle.pre_stop, _handler)
    )


def _handler(handler: LifecycleHandler) -> LifecycleHandler:
    return change(handler, http_get=into(handler.http_get, _http_get))


def _requests_from_limits(container: Container) -> Container:
    """A pod that limits a resource and requests none of it requests the limit. Templates keep what was written."""
    limits, requests = container.resources.limits or {}, container.resources.requests or {}
    missing: dict[str, Quantity] = {name: amount for name, amount in limits.items() if name not in requests}
    if not missing:
        return container
    return change(container, resources=change(container.resources, requests={**requests, **missing}))


def _host_ports(spec: PodSpec) -> PodSpec:
    """On the host's network a container's port is a port of the host."""
    return change(
        spec,
        containers=each(spec.containers, _host_ports_of),
        init_containers=each_or_none(spec.init_containers, _host_ports_of),
    )


def _host_ports_of(container: Container) -> Container:
    return change(container, ports=each_or_none(container.ports, lambda p: fill_zero(p, host_port=p.container_port)))
