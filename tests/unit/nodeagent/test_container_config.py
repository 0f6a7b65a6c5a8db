"""What the runtime is told of sandboxes and containers."""

from typing import Any

import pytest
from msgspec.structs import replace

from nodeagent.container_config import NodeFacts, container_config, sandbox_config, security
from nodeagent.environment import ConfigError
from nodeagent.runtime.interface import ContainerConfig, Image, ImageConfig, PortMapping
from orch.api.pod.container import Container, ContainerPort, EnvVar, VolumeDevice
from orch.api.pod.security import Capabilities, PodSecurityContext, SeccompProfile, SecurityContext, Sysctl
from orch.api.pod.status import PodStatus
from orch.api.shared import ResourceRequirements
from tests.unit.nodeagent.machine import a_container, a_pod
from tests.unit.nodeagent.test_environment import Objects

NODE = NodeFacts("node-1", "192.168.0.1", {"cpu": "2", "memory": "4Gi"}, 4 << 30)


def an_image(**config: Any) -> Image:
    return Image("sha256:1", ("app:1",), "sha256:2", 1, ImageConfig(**config), ())


def config_of(container: Container, qos: str = "Burstable", image: Image | None = None, **spec: Any) -> ContainerConfig:
    pod = replace(a_pod(container, **spec), status=PodStatus(qos_class=qos))
    return container_config(
        pod, container, attempt=2, image=image or an_image(), inputs=Objects(), node=NODE, pod_ip="10.0.0.1", mounts=()
    )


def test_command_and_args_see_the_environment_of_pod_and_image() -> None:
    container = a_container(
        command=("$(APP)", "$(NONE)"), args=("--home=$(HOME)",), env=(EnvVar(name="APP", value="/run"),)
    )
    config = config_of(container, image=an_image(env=("HOME=/root", "PATH=/bin")))
    assert (config.command, config.args) == (("/run", "$(NONE)"), ("--home=/root",))
    assert config.env == (("APP", "/run"),)
    assert (config.attempt, config.log_path, config.image_id) == (2, "app/2.log", "sha256:1")


@pytest.mark.parametrize(
    ("limits", "requests", "shares", "quota_us", "memory"),
    [
        pytest.param({}, {}, 2, None, None, id="nothing"),
        pytest.param({"cpu": "500m", "memory": "64Mi"}, {}, 512, 50_000, 64 << 20, id="limits request themselves"),
        pytest.param({"cpu": "2"}, {"cpu": "250m"}, 256, 200_000, None, id="request below limit"),
        pytest.param({"cpu": "1m"}, {"cpu": "1m"}, 2, 1_000, None, id="least that the kernel takes"),
    ],
)
def test_resources(
    limits: dict[str, Any], requests: dict[str, Any], shares: int, quota_us: int | None, memory: int | None
) -> None:
    container = a_container(resources=ResourceRequirements(limits=limits or None, requests=requests or None))
    resources = config_of(container).resources
    assert (resources.cpu_shares, resources.cpu_quota_us, resources.memory_limit_bytes) == (shares, quota_us, memory)
    assert resources.pids_limit == 4096


@pytest.mark.parametrize(
    ("qos", "request_", "score"),
    [("Guaranteed", "1Gi", -997), ("BestEffort", "0", 1000), ("Burstable", "1Gi", 750), ("Burstable", "0", 999)],
)
def test_who_is_killed_first_when_memory_ends(qos: str, request_: str, score: int) -> None:
    container = a_container(resources=ResourceRequirements(requests={"memory": request_}))
    assert config_of(container, qos).resources.oom_score_adj == score


@pytest.mark.parametrize(
    ("qos", "parent"),
    [
        ("Guaranteed", "kubepods/podweb-uid"),
        ("Burstable", "kubepods/burstable/podweb-uid"),
        ("BestEffort", "kubepods/besteffort/podweb-uid"),
    ],
)
def test_the_pods_cgroup_follows_its_quality_of_service(qos: str, parent: str) -> None:
    assert sandbox_config(replace(a_pod(), status=PodStatus(qos_class=qos)), "/logs", NODE).cgroup_parent == parent


def test_the_pods_limits_are_the_sum_of_its_containers_when_all_have_them() -> None:
    limited = ResourceRequirements(limits={"cpu": "500m", "memory": "64Mi"})
    both = a_pod(a_container("a", resources=limited), a_container("b", resources=limited))
    resources = sandbox_config(both, "/logs", NODE).resources
    assert (resources.cpu_quota_us, resources.memory_limit_bytes, resources.cpu_shares) == (100_000, 128 << 20, 1024)
    one = sandbox_config(a_pod(a_container("a", resources=limited), a_container("b")), "/logs", NODE).resources
    assert (one.cpu_quota_us, one.memory_limit_bytes) == (None, None)


def test_sandbox_of_a_pod_that_shares_with_its_host() -> None:
    context = PodSecurityContext(sysctls=(Sysctl(name="net.core.somaxconn", value="9"),))
    pod = a_pod(host_network=True, host_pid=True, share_process_namespace=True, security_context=context, hostname="h")
    config = sandbox_config(pod, "/logs", NODE)
    assert (config.host_network, config.host_pid, config.host_ipc, config.share_process_namespace) == (
        True, True, False, True,
    )  # fmt: skip
    assert (config.hostname, config.sysctls) == ("node-1", {"net.core.somaxconn": "9"})


def hostname_of(**spec: Any) -> str:
    return sandbox_config(a_pod(**spec), "/logs", NODE).hostname


def test_the_hostname_is_the_full_name_only_when_asked_for_and_there_is_one() -> None:
    assert hostname_of(hostname="h", subdomain="sub") == "h"
    assert hostname_of(hostname="h", set_hostname_as_fqdn=True) == "h"
    assert hostname_of(hostname="h", subdomain="sub", set_hostname_as_fqdn=True) == "h.sub.default.svc.cluster.local"


def test_a_full_name_that_the_kernel_does_not_take_makes_no_sandbox() -> None:
    with pytest.raises(ConfigError, match="64 characters is the max, 73 characters requested"):
        hostname_of(hostname="h" * 45, subdomain="s", set_hostname_as_fqdn=True)


class TestSecurity:
    def of(self, own: SecurityContext | None = None, whole: PodSecurityContext | None = None, user: str = "") -> Any:
        container = a_container(security_context=own)
        return security(a_pod(container, security_context=whole), container, an_image(user=user))

    def test_the_container_wins_over_the_pod_over_the_image(self) -> None:
        whole = PodSecurityContext(run_as_user=1, run_as_group=2, supplemental_groups=(7,), fs_group=8)
        assert self.of(SecurityContext(run_as_user=5), whole, user="app").username == "5:2"
        result = self.of(None, whole, user="app")
        assert (result.username, result.strict_groups) == ("1:2", False)
        assert result.supplemental_groups == (7, 8)

    def test_the_images_user_is_looked_up_by_name(self) -> None:
        assert self.of(user="app:staff").username == "app:staff"
        assert self.of(SecurityContext(run_as_group=9), user="app:staff").username == "app:9"

        assert self.of(user="").username == "0"
        assert self.of(SecurityContext(run_as_user=7), user="app:staff").username == "7"

    def test_the_pod_may_keep_the_images_groups_out(self) -> None:
        assert self.of(None, PodSecurityContext(supplemental_groups_policy="Strict")).strict_groups

    @pytest.mark.parametrize(
        ("user", "message"), [("", "will run as root"), ("0:5", "will run as root"), ("app", "non-numeric user")]
    )
    def test_run_as_non_root_refuses_what_is_or_may_be_root(self, user: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.of(SecurityContext(run_as_non_root=True), user=user)

    def test_run_as_non_root_takes_a_number(self) -> None:
        assert self.of(SecurityContext(run_as_non_root=True), user="1000").username == "1000"
        assert self.of(SecurityContext(run_as_non_root=True, run_as_user=5), user="app").username == "5"

    def test_run_as_non_root_refuses_a_user_of_its_own_that_is_root_in_kubelets_words(self) -> None:
        with pytest.raises(ConfigError, match="container's runAsUser breaks non-root policy") as caught:
            self.of(SecurityContext(run_as_non_root=True, run_as_user=0))
        assert str(caught.value).endswith('(pod: "web_default(web-uid)", container: app)')

    def test_seccomp(self) -> None:
        assert self.of().seccomp == "RuntimeDefault"
        localhost = SeccompProfile(type="Localhost", localhost_profile="mine.json")
        assert self.of(None, PodSecurityContext(seccomp_profile=localhost)).seccomp == "Localhost:mine.json"
        assert self.of(SecurityContext(privileged=True)).seccomp == "Unconfined"

    def test_the_rest(self) -> None:
        own = SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=Capabilities(add=("NET_ADMIN",), drop=("ALL",)),
        )
        result = self.of(own)
        assert (result.no_new_privileges, result.read_only_rootfs) == (True, True)
        assert (result.add_capabilities, result.drop_capabilities) == (("NET_ADMIN",), ("ALL",))


def test_a_field_that_would_be_ignored_is_refused_by_name() -> None:
    device = VolumeDevice(name="disk", device_path="/dev/xvda")
    with pytest.raises(ConfigError, match=r"spec.containers\[0\].volumeDevices"):
        config_of(a_container(volume_devices=(device,)))


def test_ports_of_the_node_are_those_of_containers_that_last() -> None:
    port = ContainerPort(container_port=80, host_port=8080, host_ip="192.0.2.1", protocol="UDP")
    unmapped = ContainerPort(container_port=81)
    sidecar = a_container("side", ports=(ContainerPort(container_port=1, host_port=2),), restart_policy="Always")
    init = a_container("init", ports=(ContainerPort(container_port=3, host_port=4),))
    pod = a_pod(a_container(ports=(port, unmapped)), init_containers=(init, sidecar))
    mappings = (PortMapping("TCP", 2, 1), PortMapping("UDP", 8080, 80, "192.0.2.1"))
    assert sandbox_config(pod, "/logs", NODE).port_mappings == mappings
    on_host = replace(pod, spec=replace(pod.spec, host_network=True))
    assert sandbox_config(on_host, "/logs", NODE).port_mappings == ()


def test_host_users_is_true_unless_refused() -> None:
    for told, expected in ((None, True), (True, True), (False, False)):
        pod = replace(a_pod(), spec=replace(a_pod().spec, host_users=told))
        assert sandbox_config(pod, "/logs", NODE).host_users is expected
