"""Names of Services as the Kubernetes DNS specification has them, and what is said of those that do not exist."""

from ipaddress import IPv4Network

import pytest

from nodeagent.network.dns.answer import Answer, Verdict, Zone, answer
from nodeagent.network.dns.records import ClusterRecords, Record
from orch.api.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from orch.api.meta import ObjectMeta
from orch.api.service import Service, ServicePort, ServiceSpec

SVC = "shop.svc.cluster.local"


def service(name: str, **spec: object) -> Service:
    return Service(metadata=ObjectMeta(namespace="shop", name=name), spec=ServiceSpec(**spec))  # type: ignore[arg-type]


def slice_of(name: str, *endpoints: Endpoint) -> EndpointSlice:
    labels = {"kubernetes.io/service-name": name}
    return EndpointSlice(
        metadata=ObjectMeta(namespace="shop", name=f"{name}-1", labels=labels),
        address_type="IPv4",
        ports=(EndpointPort(name="db", port=5432, protocol="TCP"),),
        endpoints=endpoints,
    )


def endpoint(address: str, hostname: str | None = None, **conditions: bool) -> Endpoint:
    return Endpoint(addresses=(address,), hostname=hostname, conditions=EndpointConditions(**conditions))


WEB = service("web", cluster_ip="10.96.0.20", ports=(ServicePort(name="http", port=80), ServicePort(port=81)))
DB = service("db", cluster_ip="None")
DB_SLICE = slice_of(
    "db",
    endpoint("10.244.1.5", "db-0", ready=True),
    endpoint("10.244.2.6", ready=True),
    endpoint("10.244.3.7", "db-2", ready=False),
)
AWAY = service("away", type="ExternalName", external_name="Shop.example.org")
ALIAS = service("alias", type="ExternalName", external_name=f"web.{SVC}")


@pytest.fixture
def zone() -> Zone:
    records = ClusterRecords("cluster.local")
    for made in (WEB, DB, AWAY, ALIAS):
        records.apply_service(None, made)
    records.apply_slice(None, DB_SLICE)
    return Zone(records, (IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16")))


def record(name: str, kind: str, value: str) -> Record:
    return Record(name, kind, value)


def test_a_service_has_its_cluster_address(zone: Zone) -> None:
    assert answer(f"web.{SVC}", "A", zone) == Answer(Verdict.ANSWER, (record(f"web.{SVC}", "A", "10.96.0.20"),))


def test_a_headless_service_has_its_ready_endpoints(zone: Zone) -> None:
    name = f"db.{SVC}"
    assert answer(name, "A", zone).records == (record(name, "A", "10.244.1.5"), record(name, "A", "10.244.2.6"))


def test_endpoints_have_their_hostname_or_address_as_name(zone: Zone) -> None:
    for own, address in ((f"db-0.db.{SVC}", "10.244.1.5"), (f"10-244-2-6.db.{SVC}", "10.244.2.6")):
        assert answer(own, "A", zone).records == (record(own, "A", address),)
    assert answer(f"db-2.db.{SVC}", "A", zone).verdict is Verdict.NO_NAME


def test_addresses_that_are_not_ready_are_published_when_asked_for(zone: Zone) -> None:
    zone.records.apply_service(DB, service("db", cluster_ip="None", publish_not_ready_addresses=True))
    assert answer(f"db-2.db.{SVC}", "A", zone).records == (record(f"db-2.db.{SVC}", "A", "10.244.3.7"),)


def test_named_ports_have_srv_records_with_their_targets_addresses(zone: Zone) -> None:
    name = f"_http._tcp.web.{SVC}"
    assert answer(name, "SRV", zone) == Answer(
        Verdict.ANSWER,
        (record(name, "SRV", f"0 100 80 web.{SVC}."),),
        (record(f"web.{SVC}", "A", "10.96.0.20"),),
    )
    headless = answer(f"_db._tcp.db.{SVC}", "SRV", zone)
    assert [found.value for found in headless.records] == [
        f"0 100 5432 10-244-2-6.db.{SVC}.",
        f"0 100 5432 db-0.db.{SVC}.",
    ]
    assert answer(f"_nope._tcp.web.{SVC}", "SRV", zone).verdict is Verdict.NO_NAME


def test_reverse_names_lead_to_services_and_endpoints(zone: Zone) -> None:
    for address, target in (("20.0.96.10", f"web.{SVC}."), ("5.1.244.10", f"db-0.db.{SVC}.")):
        name = f"{address}.in-addr.arpa"
        assert answer(name, "PTR", zone).records == (record(name, "PTR", target),)
    assert answer("99.99.244.10.in-addr.arpa", "PTR", zone).verdict is Verdict.NO_NAME
    assert answer("1.0.0.127.in-addr.arpa", "PTR", zone).verdict is Verdict.ASK_UPSTREAM


def test_an_external_name_is_an_alias(zone: Zone) -> None:
    alias = record(f"away.{SVC}", "CNAME", "shop.example.org.")
    assert answer(f"away.{SVC}", "A", zone) == Answer(Verdict.ASK_UPSTREAM, (alias,), ask_for="shop.example.org")
    assert answer(f"away.{SVC}", "CNAME", zone) == Answer(Verdict.ANSWER, (alias,))
    inside = answer(f"alias.{SVC}", "A", zone)
    assert [found.type for found in inside.records] == ["CNAME", "A"]


def test_aliases_in_a_circle_end(zone: Zone) -> None:
    zone.records.apply_service(AWAY, service("away", type="ExternalName", external_name=f"away.{SVC}"))
    assert answer(f"away.{SVC}", "A", zone).verdict is Verdict.ANSWER


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"web.{SVC}", "AAAA"),
        (SVC, "A"),
        ("svc.cluster.local", "A"),
        ("cluster.local", "A"),
        (f"_tcp.web.{SVC}", "A"),
        ("10-244-1-5.shop.pod.cluster.local", "AAAA"),
    ],
)
def test_a_name_that_exists_without_the_type_is_nodata(zone: Zone, name: str, kind: str) -> None:
    assert answer(name, kind, zone) == Answer(Verdict.ANSWER)


@pytest.mark.parametrize(
    "name",
    [
        f"nope.{SVC}",
        "web.nope.svc.cluster.local",
        "example.org.cluster.local",
        f"web.{SVC}.cluster.local",
        "300-1-1-1.shop.pod.cluster.local",
    ],
)
def test_what_the_search_list_makes_up_does_not_exist(zone: Zone, name: str) -> None:
    assert answer(name, "A", zone) == Answer(Verdict.NO_NAME)


def test_a_pods_name_says_its_address(zone: Zone) -> None:
    name = "10-244-1-5.shop.pod.cluster.local"
    assert answer(name, "A", zone).records == (record(name, "A", "10.244.1.5"),)


@pytest.mark.parametrize("name", ["example.org", "notcluster.local", "localhost"])
def test_other_names_are_asked_upstream(zone: Zone, name: str) -> None:
    assert answer(name, "A", zone) == Answer(Verdict.ASK_UPSTREAM, ask_for=name)


def test_what_is_deleted_is_forgotten_with_the_names_above_it(zone: Zone) -> None:
    for made in (WEB, DB, AWAY, ALIAS):
        zone.records.apply_service(made, None)
    zone.records.apply_slice(DB_SLICE, None)
    for name in (f"web.{SVC}", f"db-0.db.{SVC}", SVC):
        assert answer(name, "A", zone).verdict is Verdict.NO_NAME


def test_two_services_may_share_an_endpoint(zone: Zone) -> None:
    other = service("db2", cluster_ip="None")
    other_slice = slice_of("db2", endpoint("10.244.1.5", "db-0", ready=True))
    zone.records.apply_service(None, other)
    zone.records.apply_slice(None, other_slice)
    zone.records.apply_service(DB, None)
    name = "5.1.244.10.in-addr.arpa"
    assert [found.value for found in answer(name, "PTR", zone).records] == [f"db-0.db2.{SVC}."]
