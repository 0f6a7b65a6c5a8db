"""What a cluster holds from the start."""

import pytest

from controlplane.store.memory import MemoryBackend
from orch.api.kinds import ENDPOINTS, ENDPOINTSLICES, SERVICES
from orch.api.meta import ObjectMeta
from orch.api.service import Service, ServicePort, ServiceSpec
from orch.errors import Invalid
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import world


def user_service(address: str) -> Service:
    spec = ServiceSpec(ports=(ServicePort(port=80),), cluster_ip=address)
    return Service(metadata=ObjectMeta(name="mine", namespace="default"), spec=spec)


@virtual
async def test_the_cluster_dns_and_the_api_are_published_as_services() -> None:
    async with world(service_cidr="10.7.0.0/24", api_port=7443) as w:
        dns = (await w.admin.get(SERVICES, "kube-dns", "kube-system")).spec
        api = (await w.admin.get(SERVICES, "kubernetes", "default")).spec
        assert (dns.cluster_ip, api.cluster_ip) == ("10.7.0.10", "10.7.0.1")
        assert [(p.name, p.port, p.protocol) for p in dns.ports or ()] == [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")]
        assert [(p.name, p.port, p.target_port) for p in api.ports or ()] == [("https", 443, 7443)]
        assert (dns.selector, api.selector) == (None, None)
        assert (await w.admin.list(ENDPOINTSLICES)).items == ()


@virtual
async def test_no_other_service_gets_their_addresses() -> None:
    async with world() as w:
        for address in ("10.96.0.1", "10.96.0.10"):
            with pytest.raises(Invalid, match="already allocated"):
                await w.admin.create(SERVICES, user_service(address))


@virtual
async def test_the_endpoint_of_the_api_follows_the_settings_from_start_to_start() -> None:
    store = MemoryBackend()
    for address, port in (("192.0.2.1", 6443), ("192.0.2.2", 7443), ("192.0.2.2", 7443)):
        async with world(store, api_address=address, api_port=port) as w:
            [found] = (await w.admin.list(ENDPOINTSLICES, label_selector="kubernetes.io/service-name=kubernetes")).items
            assert [endpoint.addresses for endpoint in found.endpoints] == [(address,)]
            assert [(entry.name, entry.port) for entry in found.ports or ()] == [("https", port)]
            [subset] = (await w.admin.get(ENDPOINTS, "kubernetes", "default")).subsets or ()
            assert [each.ip for each in subset.addresses or ()] == [address]
            assert [(each.name, each.port) for each in subset.ports or ()] == [("https", port)]


@virtual
async def test_a_cluster_that_gave_the_address_away_still_starts() -> None:
    """A server of before made no such Services."""
    store = MemoryBackend()
    async with world(store) as w:
        await w.admin.delete(SERVICES, "kube-dns", "kube-system")
        await w.admin.create(SERVICES, user_service("10.96.0.10"))
    async with world(store) as w:
        assert [s.metadata.name for s in (await w.admin.list(SERVICES)).items] == ["kubernetes", "mine"]
