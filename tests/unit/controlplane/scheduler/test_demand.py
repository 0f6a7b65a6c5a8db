"""Effective requests of a pod, as Kubernetes counts them."""

from msgspec.structs import replace

from controlplane.scheduler.demand import pod_info, pod_requests
from orch.api.pod.container import ContainerPort
from orch.api.shared import ResourceRequirements
from tests.builders import container, pod


def test_containers_add_up_and_init_containers_take_turns() -> None:
    wanted = pod(
        spec={"init_containers": (container("big", cpu="3", memory="1Mi"), container("small", cpu="1", memory="9Mi"))}
    )
    spec = replace(wanted.spec, containers=(container("a", cpu="500m", memory="1Mi"), container("b", cpu="1")))
    assert pod_requests(replace(wanted, spec=spec)) == {"cpu": 3000, "memory": 9 * 2**20}


def test_a_sidecar_runs_beside_what_follows_it() -> None:
    sidecar = replace(container("proxy", cpu="1"), restart_policy="Always")
    wanted = pod(cpu="1", spec={"init_containers": (sidecar, container("setup", cpu="2"))})
    assert pod_requests(wanted) == {"cpu": 3000}


def test_overhead_is_added_and_pod_level_requests_win() -> None:
    wanted = pod(cpu="1", memory="1Gi", spec={
        "overhead": {"cpu": "100m"}, "resources": ResourceRequirements(requests={"cpu": "2"}),
    })  # fmt: skip
    assert pod_requests(wanted) == {"cpu": 2100, "memory": 2**30}


def test_host_network_makes_container_ports_host_ports() -> None:
    ports = (ContainerPort(container_port=53, protocol="UDP"), ContainerPort(container_port=80, host_port=8080))
    assert pod_info(pod(ports=ports)).host_ports == (("TCP", 8080, "0.0.0.0"),)
    on_host = pod_info(pod(ports=ports, spec={"host_network": True}))
    assert on_host.host_ports == (("UDP", 53, "0.0.0.0"), ("TCP", 8080, "0.0.0.0"))


def test_zero_requests_do_not_count_but_are_scored() -> None:
    info = pod_info(pod(cpu="0", memory="0"))
    assert info.requests == {"pods": 1}
    assert info.scored == (0, 0)
    assert pod_info(pod()).scored == (100, 200 * 2**20)
