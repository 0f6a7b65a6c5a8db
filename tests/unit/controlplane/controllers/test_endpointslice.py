"""What stands in the slices of a Service, and how little is rewritten."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.controllers.actions import Action, Create, Delete, Update
from controlplane.controllers.endpointslice import ENDPOINTS_MAX, MANAGER, MIRROR_MANAGER, reconcile
from orch.api.endpoints import EndpointAddress, Endpoints, EndpointsPort, EndpointSubset
from orch.api.endpointslice import EndpointConditions, EndpointSlice
from orch.api.pod.container import ContainerPort
from orch.api.pod.spec import Pod
from orch.api.service import Service, ServicePort
from tests.builders import deleting, meta, running_pod, service

WEB = {"app": "web"}
NAMED_PORT = ServicePort(name="http", port=80, protocol="TCP", target_port="web")


def web_pod(number: int, **fields: Any) -> Pod:
    return running_pod(f"web-{number:03}", labels=WEB, ip=f"10.244.{number // 250}.{number % 250}", **fields)


def made(actions: Sequence[Action]) -> list[EndpointSlice]:
    return [action.obj for action in actions if isinstance(action, Create) and isinstance(action.obj, EndpointSlice)]


def stored(slices: Sequence[EndpointSlice]) -> list[EndpointSlice]:
    """As the API would have stored them."""
    return [
        replace(each, metadata=meta(f"web-{number}", labels=each.metadata.labels,
                                    owner_references=each.metadata.owner_references))
        for number, each in enumerate(slices)
    ]  # fmt: skip


def slices_of(web: Service, pods: Sequence[Pod]) -> list[EndpointSlice]:
    return stored(made(reconcile(web, pods, None, ()).actions))


def test_a_slice_says_who_serves_where() -> None:
    (found,) = made(reconcile(service(), [web_pod(1, node="node-2")], None, ()).actions)
    assert found.metadata.labels == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": MANAGER,
    }
    assert (found.address_type, found.metadata.generate_name) == ("IPv4", "web-")
    (owner,) = found.metadata.owner_references or ()
    assert (owner.kind, owner.name, owner.controller) == ("Service", "web", True)
    (endpoint,) = found.endpoints
    assert (endpoint.addresses, endpoint.node_name) == (("10.244.0.1",), "node-2")
    assert endpoint.conditions == EndpointConditions(ready=True, serving=True, terminating=False)
    assert endpoint.target_ref is not None
    assert (endpoint.target_ref.kind, endpoint.target_ref.name) == ("Pod", "web-001")
    (port,) = found.ports or ()
    assert (port.name, port.port, port.protocol) == ("http", 8080, "TCP")


@pytest.mark.parametrize(
    ("pod", "spec", "expected"),
    [
        pytest.param(web_pod(1), {}, (True, True, False), id="ready"),
        pytest.param(web_pod(1, ready=False), {}, (False, False, False), id="not ready"),
        pytest.param(deleting(web_pod(1)), {}, (False, True, True), id="terminating but serving"),
        pytest.param(deleting(web_pod(1, ready=False)), {}, (False, False, True), id="terminating"),
        pytest.param(
            web_pod(1, ready=False), {"publish_not_ready_addresses": True}, (True, False, False), id="publish"
        ),
    ],
)
def test_conditions(pod: Pod, spec: dict[str, Any], expected: tuple[bool, bool, bool]) -> None:
    (found,) = made(reconcile(service(**spec), [pod], None, ()).actions)
    (endpoint,) = found.endpoints
    ready, serving, terminating = expected
    assert endpoint.conditions == EndpointConditions(ready=ready, serving=serving, terminating=terminating)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(running_pod("other", labels={"app": "db"}), id="other labels"),
        pytest.param(running_pod("new", labels=WEB, ip=""), id="no address"),
        pytest.param(replace(web_pod(1), status=replace(web_pod(1).status, phase="Succeeded")), id="finished"),
    ],
)
def test_who_is_no_endpoint(pod: Pod) -> None:
    (empty,) = made(reconcile(service(), [pod], None, ()).actions)
    assert empty.endpoints == ()


def test_a_named_port_may_differ_between_pods() -> None:
    old = web_pod(1, ports=(ContainerPort(name="web", container_port=8080),))
    new = web_pod(2, ports=(ContainerPort(name="web", container_port=9090, protocol="TCP"),))
    without = web_pod(3)
    found = made(reconcile(service(ports=(NAMED_PORT,)), [old, new, without], None, ()).actions)
    ports = [[port.port for port in each.ports or ()] for each in found]
    assert ports == [[8080], [9090], []]


def test_a_slice_holds_a_hundred_endpoints_at_most() -> None:
    found = slices_of(service(), [web_pod(number) for number in range(250)])
    assert [len(each.endpoints) for each in found] == [ENDPOINTS_MAX, ENDPOINTS_MAX, 50]


def test_what_is_right_is_not_written() -> None:
    pods = [web_pod(number) for number in range(3)]
    assert reconcile(service(), pods, None, slices_of(service(), pods)).actions == ()


def test_a_new_pod_fills_a_slice_with_room_and_a_lost_one_leaves_its_slice() -> None:
    pods = [web_pod(number) for number in range(150)]
    slices = slices_of(service(), pods)
    (update,) = reconcile(service(), [*pods, web_pod(200)], None, slices).actions
    assert isinstance(update, Update)
    assert isinstance(update.obj, EndpointSlice)
    assert len(update.obj.endpoints) == 51
    (shrink,) = reconcile(service(), pods[1:], None, slices).actions
    assert isinstance(shrink, Update)
    assert shrink.obj.metadata.name == slices[0].metadata.name


def test_an_emptied_slice_goes_but_never_the_last() -> None:
    pods = [web_pod(number) for number in range(150)]
    slices = slices_of(service(), pods)
    actions = reconcile(service(), pods[:100], None, slices).actions
    assert [type(action) for action in actions] == [Delete]
    nothing_left = reconcile(service(), [], None, slices).actions
    assert [type(action) for action in nothing_left if not isinstance(action, Delete)] == [Create]


def test_a_headless_service_is_labelled_and_needs_no_port() -> None:
    headless = service(ports=(), cluster_ip="None")
    pod = web_pod(1, spec={"hostname": "web-1", "subdomain": "web"})
    (found,) = made(reconcile(headless, [pod], None, ()).actions)
    assert "service.kubernetes.io/headless" in (found.metadata.labels or {})
    assert found.ports in (None, ())
    assert found.endpoints[0].hostname == "web-1"


def test_endpoints_of_a_user_are_mirrored_for_a_service_without_selector() -> None:
    written = Endpoints(metadata=meta("web"), subsets=(EndpointSubset(
        addresses=(EndpointAddress(ip="192.0.2.1"),), not_ready_addresses=(EndpointAddress(ip="192.0.2.2"),),
        ports=(EndpointsPort(name="http", port=8080, protocol="TCP"),),
    ),))  # fmt: skip
    unselecting = service(selector={})
    (found,) = made(reconcile(unselecting, [web_pod(1)], written, ()).actions)
    assert (found.metadata.labels or {})["endpointslice.kubernetes.io/managed-by"] == MIRROR_MANAGER
    ready = [(each.addresses[0], each.conditions.ready if each.conditions else None) for each in found.endpoints]
    assert ready == [("192.0.2.1", True), ("192.0.2.2", False)]
    assert reconcile(unselecting, [], written, stored([found])).actions == ()
    assert [type(action) for action in reconcile(unselecting, [], None, stored([found])).actions] == [Delete]


def test_a_service_being_deleted_is_left_to_the_collector() -> None:
    assert reconcile(deleting(service()), [web_pod(1)], None, ()).actions == ()
