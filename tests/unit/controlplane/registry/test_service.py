import asyncio
import ipaddress
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.allocator import CLUSTER_IPS, NODE_PORTS, cluster_ip_pool, node_port_pool
from orch.api.kinds import SERVICES
from orch.api.meta import ObjectMeta
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.errors import InternalError, Invalid
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, world

HTTP = ServicePort(port=80)
SYSTEM_SERVICES = (b"default/kubernetes", b"kube-system/kube-dns")


def new_service(name: str = "web", *, ports: tuple[ServicePort, ...] = (HTTP,), **spec: Any) -> Service:
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(ports=ports, **spec))


async def allocated(w: World) -> dict[str, bytes]:
    page = await w.backend.range("/orch/v1/internal/")
    found = {entry.key: entry.value for entry in page.entries if entry.key.startswith((CLUSTER_IPS, NODE_PORTS))}
    return {key: holder for key, holder in found.items() if holder not in SYSTEM_SERVICES}


def node_ports(service: Service) -> list[int | None]:
    return [port.node_port for port in service.spec.ports or ()]


@virtual
async def test_a_service_gets_an_address_of_its_own() -> None:
    async with world() as w:
        created = [await w.admin.create(SERVICES, new_service(f"s{n}")) for n in range(20)]
        addresses = [service.spec.cluster_ip for service in created]
        assert len(set(addresses)) == 20
        assert all(address and address.startswith("10.96.") for address in addresses)
        spec = created[0].spec
        assert (spec.cluster_ips, spec.ip_families, spec.ip_family_policy) == (
            (spec.cluster_ip,), ("IPv4",), "SingleStack",
        )  # fmt: skip
        assert node_ports(created[0]) == [None]


@virtual
async def test_services_created_together_never_share() -> None:
    async with world(service_cidr="10.96.0.0/27", node_port_low=30000, node_port_high=30029) as w:
        w.ids.uniform = lambda low, high: 0.0  # type: ignore[method-assign]
        created = await asyncio.gather(
            *(w.admin.create(SERVICES, new_service(f"s{n}", type="NodePort")) for n in range(8))
        )
        assert len({service.spec.cluster_ip for service in created}) == 8
        assert len({port for service in created for port in node_ports(service)}) == 8


@virtual
async def test_a_chosen_address_is_checked() -> None:
    async with world() as w:
        first = await w.admin.create(SERVICES, new_service("a", cluster_ip="10.96.0.20"))
        assert first.spec.cluster_ips == ("10.96.0.20",)
        for address, why in (("10.96.0.20", "already allocated"), ("10.97.0.1", "not in the valid range")):
            with pytest.raises(Invalid, match=why) as refusal:
                await w.admin.create(SERVICES, new_service("b", cluster_ip=address))
            assert refusal.value.causes[0].field == "spec.clusterIPs"


@virtual
async def test_a_chosen_node_port_is_checked() -> None:
    async with world() as w:
        await w.admin.create(
            SERVICES, new_service("a", type="NodePort", ports=(ServicePort(port=80, node_port=30080),))
        )
        for port, why in ((30080, "already allocated"), (80, "not in the valid range")):
            with pytest.raises(Invalid, match=why) as refusal:
                await w.admin.create(
                    SERVICES, new_service("b", type="NodePort", ports=(ServicePort(port=80, node_port=port),))
                )
            assert refusal.value.causes[0].field == "spec.ports[0].nodePort"


@virtual
async def test_two_protocols_of_one_port_share_a_node_port() -> None:
    async with world() as w:
        ports = tuple(ServicePort(name=name, port=53, protocol=name.upper()) for name in ("tcp", "udp"))
        created = await w.admin.create(SERVICES, new_service(type="NodePort", ports=ports))
        tcp, udp = node_ports(created)
        assert tcp == udp is not None


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"cluster_ip": "None"}, id="headless"),
        pytest.param({"type": "ExternalName", "external_name": "example.com"}, id="external name"),
    ],
)
def test_some_services_have_no_address(spec: dict[str, str]) -> None:
    @virtual
    async def scenario() -> None:
        async with world() as w:
            created = await w.admin.create(SERVICES, new_service(**spec))
            assert created.spec.cluster_ip == spec.get("cluster_ip")
            assert await allocated(w) == {}

    scenario()


@virtual
async def test_a_delete_gives_everything_back() -> None:
    async with world() as w:
        created = await w.admin.create(SERVICES, new_service(type="LoadBalancer", external_traffic_policy="Local"))
        assert created.spec.health_check_node_port
        assert len(await allocated(w)) == 3
        assert set((await allocated(w)).values()) == {b"default/web"}
        await w.admin.delete(SERVICES, "web", "default")
        assert await allocated(w) == {}
        await w.admin.create(SERVICES, new_service(cluster_ip=created.spec.cluster_ip))


@virtual
async def test_an_update_that_says_nothing_keeps_what_was_given_out() -> None:
    async with world() as w:
        created = await w.admin.create(SERVICES, new_service(type="NodePort"))
        again = await w.admin.update(SERVICES, new_service(type="NodePort", selector={"app": "web"}))
        assert again.spec.cluster_ip == created.spec.cluster_ip
        assert node_ports(again) == node_ports(created)
        assert again.spec.selector == {"app": "web"}
        renamed = await w.admin.patch(SERVICES, "web", "default", {"spec": {"ports": [{"port": 81}]}})
        assert node_ports(renamed) != node_ports(created)
        assert len(await allocated(w)) == 2


@virtual
async def test_changes_of_type_allocate_and_release() -> None:
    async with world() as w:
        await w.admin.create(SERVICES, new_service())
        node_port = await w.admin.patch(SERVICES, "web", "default", {"spec": {"type": "NodePort"}})
        assert node_ports(node_port)[0] is not None
        assert len(await allocated(w)) == 2
        cluster_ip = await w.admin.patch(SERVICES, "web", "default", {"spec": {"type": "ClusterIP"}})
        assert node_ports(cluster_ip) == [None]
        assert list(await allocated(w)) == [f"{CLUSTER_IPS}{cluster_ip_number(cluster_ip)}"]
        external = await w.admin.patch(
            SERVICES, "web", "default", {"spec": {"type": "ExternalName", "externalName": "example.com"}}
        )
        assert external.spec.cluster_ip is None
        assert await allocated(w) == {}


@virtual
async def test_another_cluster_ip_is_refused_for_its_own_sake() -> None:
    """A patch of clusterIP leaves clusterIPs as they were; that is no second mistake."""
    async with world() as w:
        await w.admin.create(SERVICES, new_service(cluster_ip="10.96.0.20"))
        with pytest.raises(Invalid) as refused:
            await w.admin.patch(SERVICES, "web", "default", {"spec": {"clusterIP": "10.96.0.21"}})
        assert [(cause.field, cause.message) for cause in refused.value.causes] == [
            ("spec.clusterIPs[0]", 'Invalid value: ["10.96.0.21"]: may not change once set')
        ]


def cluster_ip_number(service: Service) -> int:

    return int(ipaddress.IPv4Address(service.spec.cluster_ip or ""))


@virtual
async def test_an_address_does_not_change() -> None:
    async with world() as w:
        created = await w.admin.create(SERVICES, new_service())
        moved = replace(created, spec=replace(created.spec, cluster_ip="10.96.0.99", cluster_ips=("10.96.0.99",)))
        with pytest.raises(Invalid, match="clusterIP"):
            await w.admin.update(SERVICES, moved)


@virtual
async def test_a_full_range_is_an_error_and_nothing_is_half_made() -> None:
    async with world(node_port_low=30000, node_port_high=30001) as w:
        for name in ("a", "b"):
            await w.admin.create(SERVICES, new_service(name, type="NodePort"))
        before = await allocated(w)
        with pytest.raises(InternalError, match="range is full"):
            await w.admin.create(SERVICES, new_service("c", type="NodePort"))
        assert await allocated(w) == before


def test_the_low_end_of_the_range_is_given_out_last() -> None:
    pool = cluster_ip_pool("10.96.0.0/16")
    assert pool.high - pool.low + 1 == 65534
    assert pool.first_free({}, (), 0.0) == pool.low + 256
    small = node_port_pool(1, 3)
    assert [small.first_free({}, taken, 0.9) for taken in ((), (2,), (2, 3), (1, 2, 3))] == [2, 3, 1, None]
