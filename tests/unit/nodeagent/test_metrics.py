"""Figures in Prometheus' text format, with kubelet's names."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.metrics import Figures, cadvisor, exposition, resource
from nodeagent.runtime.figures import ContainerStats, NetworkUsage, PodStats, Pressure, Usage
from tests.builders import NOW

USAGE = Usage(
    cpu_ns=1_500_000_000,
    cpu_throttled_us=250_000,
    memory_working_set_bytes=4096,
    pressure={"memory": Pressure(some_us=2_000_000, full_us=1_000_000)},
)
FIGURES = Figures(
    node=USAGE,
    pods=[PodStats("uid", "shop", "web", NOW, USAGE, NetworkUsage(rx_bytes=7, tx_packets=3))],
    containers=[(("shop", "web", "app"), ContainerStats("id", "uid", "app", 0, NOW, USAGE))],
)
POD, CONTAINER = {"namespace": "shop", "pod": "web"}, {"namespace": "shop", "pod": "web", "container": "app"}


def samples(text: bytes) -> dict[str, tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(text.decode())
    return {sample.name: (sample.labels, sample.value) for family in families for sample in family.samples}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("node_cpu_usage_seconds_total", {}, 1.5),
        ("pod_memory_working_set_bytes", POD, 4096),
        ("container_cpu_usage_seconds_total", CONTAINER, 1.5),
    ],
)
def test_resource_metrics(name: str, labels: dict[str, str], value: float) -> None:
    assert samples(exposition(resource(FIGURES)))[name] == (labels, value)


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("container_cpu_cfs_throttled_seconds_total", CONTAINER, 0.25),
        ("container_pressure_memory_waiting_seconds_total", CONTAINER, 2),
        ("container_pressure_memory_stalled_seconds_total", CONTAINER, 1),
        ("container_network_receive_bytes_total", POD, 7),
        ("container_network_transmit_packets_total", POD, 3),
    ],
)
def test_cadvisor_metrics(name: str, labels: dict[str, str], value: float) -> None:
    assert samples(exposition(cadvisor(FIGURES)))[name] == (labels, value)


def test_what_the_kernel_does_not_count_is_left_out() -> None:
    assert "container_pressure_io_waiting_seconds_total" not in samples(exposition(cadvisor(FIGURES)))
