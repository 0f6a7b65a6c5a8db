"""Environment variables of containers: precedence, expansion, references, services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.environment import ConfigError, Downward, expand, resource_value, service_variables, variables
from orch.api.configmap import ConfigMap
from orch.api.meta import ObjectMeta
from orch.api.pod.container import (
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from orch.api.runtimeclass import RuntimeClass
from orch.api.secret import Secret
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.machine import a_container, a_pod

DOWNWARD = Downward("node-1", "192.168.0.1", "10.244.0.5", {"cpu": "2", "memory": "4Gi"})


class Objects:
    """Implements pod_parts.PodInputs."""

    def __init__(self, *objects: ConfigMap | Secret | Service | RuntimeClass) -> None:
        self._objects = objects

    def runtime_class(self, name: str) -> RuntimeClass | None:
        return next((o for o in self._objects if isinstance(o, RuntimeClass) and o.metadata.name == name), None)

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return next((o for o in self._objects if isinstance(o, ConfigMap) and o.metadata.name == name), None)

    def secret(self, namespace: str, name: str) -> Secret | None:
        return next((o for o in self._objects if isinstance(o, Secret) and o.metadata.name == name), None)

    def services(self, namespace: str) -> tuple[Service, ...]:
        return tuple(o for o in self._objects if isinstance(o, Service) and o.metadata.namespace == namespace)


SETTINGS = ConfigMap(metadata=ObjectMeta(name="settings"), data={"COLOUR": "blue", "SIZE": "9"})
KEYS = Secret(metadata=ObjectMeta(name="keys"), data={"password": b"secret"})


def a_service(name: str, namespace: str = "default", ip: str | None = "10.96.0.7", port_name: str = "") -> Service:
    port = ServicePort(port=80, name=port_name or None)
    return Service(metadata=ObjectMeta(name=name, namespace=namespace), spec=ServiceSpec(cluster_ip=ip, ports=(port,)))


def env_of(*env: EnvVar, env_from: tuple[EnvFromSource, ...] = (), objects: Objects | None = None) -> dict[str, str]:
    container = a_container(env=env, env_from=env_from)
    return variables(a_pod(container), container, objects or Objects(SETTINGS, KEYS), DOWNWARD)


def from_key(**source: object) -> EnvVar:
    return EnvVar(name="X", value_from=EnvVarSource(**source))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $(", "$A ${A} $("),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$($(A)", "$($(A)"),
        ("$($$)", "$($$)"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


@given(st.text(alphabet="$AB x"))
def test_expansion_of_what_names_nothing_changes_only_doubled_dollars(text: str) -> None:
    assert expand(text, {}) == text.replace("$$", "$")


def test_a_variable_sees_those_before_it() -> None:
    env = env_of(EnvVar(name="A", value="1"), EnvVar(name="B", value="$(A)2"), EnvVar(name="A", value="3"))
    assert env == {"A": "3", "B": "12"}


def test_env_wins_over_env_from_and_later_sources_over_earlier() -> None:
    sources = (
        EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings")),
        EnvFromSource(prefix="MY_", config_map_ref=ConfigMapEnvSource(name="settings")),
    )
    env = env_of(EnvVar(name="SIZE", value="$(SIZE)0"), env_from=sources)
    assert env == {"COLOUR": "blue", "SIZE": "90", "MY_COLOUR": "blue", "MY_SIZE": "9"}


def test_keys_of_config_maps_and_secrets() -> None:
    selector = ConfigMapKeySelector(name="settings", key="COLOUR")
    assert env_of(from_key(config_map_key_ref=selector)) == {"X": "blue"}
    assert env_of(from_key(secret_key_ref=SecretKeySelector(name="keys", key="password"))) == {"X": "secret"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"config_map_key_ref": ConfigMapKeySelector(name="none", key="a")}, 'configmap "none" not found'),
        (
            {"config_map_key_ref": ConfigMapKeySelector(name="settings", key="a")},
            "couldn't find key a in configmap default/settings",
        ),
        ({"secret_key_ref": SecretKeySelector(name="none", key="a")}, 'secret "none" not found'),
        ({"field_ref": ObjectFieldSelector(field_path="spec.magic")}, "fieldPath 'spec.magic' is not supported"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        env_of(from_key(**source))


def test_what_is_missing_and_optional_is_left_out() -> None:
    optional = ConfigMapKeySelector(name="none", key="a", optional=True)
    source = EnvFromSource(config_map_ref=ConfigMapEnvSource(name="none", optional=True))
    assert env_of(from_key(config_map_key_ref=optional), env_from=(source,)) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['app']", "shop"),
        ("metadata.annotations['none']", ""),
        ("spec.nodeName", "node-1"),
        ("status.podIP", "10.244.0.5"),
        ("status.hostIP", "192.168.0.1"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    container = a_container(env=(from_key(field_ref=ObjectFieldSelector(field_path=path)),))
    pod = a_pod(container, meta={"labels": {"app": "shop"}})
    assert variables(pod, container, Objects(), DOWNWARD) == {"X": value}


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "1"),
        ("limits.cpu", "1m", "500"),
        ("limits.memory", "1Mi", "64"),
        ("requests.memory", None, "0"),
        ("limits.ephemeral-storage", None, "0"),
    ],
)
def test_resources_are_divided_and_rounded_up(resource: str, divisor: str | None, value: str) -> None:
    container = a_container(resources=ResourceRequirements(limits={"cpu": "500m", "memory": "64Mi"}))
    ref = ResourceFieldSelector(resource=resource, divisor=divisor)
    assert resource_value(a_pod(container), container, ref, DOWNWARD) == value


def test_a_limit_that_is_not_set_is_what_the_node_can_allocate() -> None:
    ref = ResourceFieldSelector(resource="limits.cpu")
    assert resource_value(a_pod(), a_container(), ref, DOWNWARD) == "2"


def test_service_variables() -> None:
    objects = Objects(a_service("my-db", port_name="sql"), a_service("headless", ip="None"), a_service("far", "other"))
    env = service_variables(a_pod(), objects)
    assert env["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert env["MY_DB_SERVICE_PORT"] == env["MY_DB_SERVICE_PORT_SQL"] == "80"
    assert env["MY_DB_PORT"] == env["MY_DB_PORT_80_TCP"] == "tcp://10.96.0.7:80"
    assert env["MY_DB_PORT_80_TCP_ADDR"] == "10.96.0.7"
    assert not [name for name in env if name.startswith(("HEADLESS", "FAR"))]


def test_without_service_links_only_the_api_servers_variables_stay() -> None:
    objects = Objects(a_service("db"), a_service("kubernetes"))
    env = service_variables(a_pod(enable_service_links=False), objects)
    assert {name.partition("_")[0] for name in env} == {"KUBERNETES"}


def test_resources_of_a_container_that_the_pod_does_not_have() -> None:
    container = a_container()
    ref = ResourceFieldSelector(resource="limits.cpu", container_name="other")
    with pytest.raises(ConfigError, match="container other not found"):
        resource_value(a_pod(container), container, ref, DOWNWARD)
