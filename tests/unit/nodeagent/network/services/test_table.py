from nodeagent.network.services.compile import Backend, Frontend
from nodeagent.network.services.table import Change, Drop, ElementKey, Pick, Remember, ServiceTable
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.meta import ObjectMeta
from orch.api.service import Service, ServicePort, ServiceSpec

DNS = "10.96.0.10"


def service(name: str, address: str, **spec: object) -> Service:
    made: dict[str, object] = {"cluster_ip": address, "cluster_ips": (address,), "ports": (ServicePort(port=80),)}
    return Service(metadata=ObjectMeta(namespace="shop", name=name), spec=ServiceSpec(**(made | spec)))  # type: ignore[arg-type]


def slice_of(name: str, *addresses: str, node: str = "node-1") -> EndpointSlice:
    ready = EndpointConditions(ready=True)
    return EndpointSlice(
        metadata=ObjectMeta(namespace="shop", name=f"{name}-1", labels={"kubernetes.io/service-name": name}),
        address_type="IPv4",
        ports=(EndpointPort(port=8080, protocol="TCP"),),
        endpoints=tuple(Endpoint(addresses=(found,), conditions=ready, node_name=node) for found in addresses),
    )


def table(*objects: Service | EndpointSlice) -> ServiceTable:
    made = ServiceTable("node-1", DNS)
    for found in objects:
        if isinstance(found, Service):
            made.apply_service(None, found)
        else:
            made.apply_slice(None, found)
    return made


VERDICT = ElementKey("services", "10.96.0.20 . tcp . 80")


def endpoint(index: int, address: str = "10.96.0.20") -> ElementKey:
    return ElementKey("endpoints_tcp", f"{address} . 80 . {index}")


WEB, WEB_SLICE = service("web", "10.96.0.20"), slice_of("web", "10.244.1.5", "10.244.1.6")


def test_a_new_service_adds_a_verdict_and_its_endpoints() -> None:
    change = table(WEB, WEB_SLICE).update()
    assert change.deleted == {}
    assert change.added == {
        VERDICT: Pick("tcp", 2),
        endpoint(0): Backend("10.244.1.5", 8080),
        endpoint(1): Backend("10.244.1.6", 8080),
    }
    assert change.frontends == {Frontend("10.96.0.20", "tcp", 80)}


def test_nothing_changes_when_nothing_did() -> None:
    made = table(WEB, WEB_SLICE)
    made.update()
    assert made.update() == Change()
    made.apply_service(WEB, WEB)
    assert made.update() == Change()


def test_an_endpoint_more_changes_only_the_count_and_itself() -> None:
    made = table(WEB, WEB_SLICE)
    made.update()
    made.apply_slice(WEB_SLICE, slice_of("web", "10.244.1.5", "10.244.1.6", "10.244.1.7"))
    change = made.update()
    assert change.deleted == {VERDICT: Pick("tcp", 2)}
    assert change.added == {VERDICT: Pick("tcp", 3), endpoint(2): Backend("10.244.1.7", 8080)}


def test_the_order_of_objects_does_not_matter() -> None:
    assert table(WEB_SLICE, WEB).update() == table(WEB, WEB_SLICE).update()
    assert table(WEB, WEB_SLICE).elements() == {}


def test_a_deleted_service_takes_all_its_elements_with_it() -> None:
    made = table(WEB, WEB_SLICE)
    added = made.update().added
    made.apply_service(WEB, None)
    assert made.update().deleted == added
    assert made.elements() == {}


def test_a_service_without_endpoints_has_no_elements() -> None:
    assert table(WEB).update().added == {}


def test_an_external_address_without_endpoints_is_refused_by_name() -> None:
    change = table(service("web", "10.96.0.20", external_ips=("192.0.2.7",))).update()
    assert change.added == {ElementKey("refused", "192.0.2.7 . tcp . 80"): None}


def test_a_node_port_that_only_other_nodes_serve_is_dropped_for_outsiders() -> None:
    ports = (ServicePort(port=80, node_port=30080),)
    made = service("web", "10.96.0.20", ports=ports, external_traffic_policy="Local")
    added = table(made, slice_of("web", "10.244.2.6", node="node-2")).update().added
    assert added[ElementKey("node_ports", "tcp . 30080")] == Drop()
    assert added[ElementKey("node_ports_inside", "tcp . 30080")] == Pick("tcp", 1, 32_768, node_port=True)
    assert added[ElementKey("node_port_endpoints_tcp", "30080 . 32768")] == Backend("10.244.2.6", 8080)


def test_affinity_remembers_and_tells_when_it_may_be_stale() -> None:
    made = table(service("web", "10.96.0.20", session_affinity="ClientIP"), WEB_SLICE)
    change = made.update()
    assert change.added[VERDICT] == Pick("tcp", 2, sticky=True)
    assert change.added[ElementKey("affinity_timeouts", VERDICT.key)] == Remember(10_800)
    assert not change.sticky
    made.apply_slice(WEB_SLICE, slice_of("web", "10.244.1.5"))
    assert made.update().sticky


def test_the_clusters_dns_address_is_left_alone() -> None:
    assert table(service("kube-dns", DNS), slice_of("kube-dns", "10.244.1.5")).update().added == {}


def test_an_address_moves_to_a_new_service_in_one_change() -> None:
    made = table(WEB, WEB_SLICE)
    made.update()
    made.apply_service(WEB, None)
    made.apply_service(None, service("shop", "10.96.0.20"))
    made.apply_slice(None, slice_of("shop", "10.244.1.9"))
    change = made.update()
    assert change.deleted.keys() == {VERDICT, endpoint(0), endpoint(1)}
    assert change.added == {VERDICT: Pick("tcp", 1), endpoint(0): Backend("10.244.1.9", 8080)}


def test_a_contested_address_stays_with_its_first_owner_until_that_leaves() -> None:
    first = service("first", "10.96.0.20", external_ips=("192.0.2.7",))
    second = service("second", "10.96.0.21", external_ips=("192.0.2.7",))
    made = table(first, slice_of("first", "10.244.1.5"))
    made.update()
    made.apply_service(None, second)
    made.apply_slice(None, slice_of("second", "10.244.1.6"))
    contested = endpoint(0, "192.0.2.7")
    assert contested not in made.update().added
    assert endpoint(0, "10.96.0.21") in made.elements()
    assert made.elements()[contested] == Backend("10.244.1.5", 8080)
    made.apply_service(first, None)
    assert made.update().added[contested] == Backend("10.244.1.6", 8080)


def test_backends_are_all_that_a_frontend_may_lead_to() -> None:
    made = table(WEB, WEB_SLICE)
    made.update()
    frontend = Frontend("10.96.0.20", "tcp", 80)
    assert made.frontends() == {frontend}
    other = Frontend("10.96.0.99", "tcp", 80)
    both = {Backend("10.244.1.5", 8080), Backend("10.244.1.6", 8080)}
    assert made.backends([frontend, other]) == {frontend: both}
