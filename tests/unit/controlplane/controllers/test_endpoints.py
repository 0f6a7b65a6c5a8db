"""The Endpoints object of a Service."""

from controlplane.controllers.actions import Create, Delete, Update
from controlplane.controllers.endpoints import ADDRESSES_MAX, OVER_CAPACITY, reconcile, reconcile_without_service
from orch.api.endpoints import Endpoints
from tests.builders import deleting, meta, running_pod, service

WEB = {"app": "web"}


def test_ready_and_other_addresses_stand_apart() -> None:
    pods = [
        running_pod("a", labels=WEB, ip="10.0.0.1"),
        running_pod("b", labels=WEB, ip="10.0.0.2", ready=False),
        deleting(running_pod("c", labels=WEB, ip="10.0.0.3")),
    ]
    (create,) = reconcile(service(), pods, None).actions
    assert isinstance(create, Create)
    assert isinstance(create.obj, Endpoints)
    (subset,) = create.obj.subsets or ()
    assert [each.ip for each in subset.addresses or ()] == ["10.0.0.1"]
    assert [each.ip for each in subset.not_ready_addresses or ()] == ["10.0.0.2"]
    assert [(port.name, port.port) for port in subset.ports or ()] == [("http", 8080)]


def test_only_changes_are_written() -> None:
    pods = [running_pod("a", labels=WEB, ip="10.0.0.1")]
    (create,) = reconcile(service(), pods, None).actions
    assert isinstance(create, Create)
    assert isinstance(create.obj, Endpoints)
    assert reconcile(service(), pods, create.obj).actions == ()
    (update,) = reconcile(service(), [], create.obj).actions
    assert isinstance(update, Update)
    assert isinstance(update.obj, Endpoints)
    assert update.obj.subsets is None


def test_more_than_a_thousand_addresses_are_cut_and_it_says_so() -> None:
    pods = [running_pod(f"p{n}", labels=WEB, ip=f"10.1.{n // 200}.{n % 200 + 1}") for n in range(ADDRESSES_MAX + 5)]
    (create,) = reconcile(service(), pods, None).actions
    assert isinstance(create, Create)
    assert isinstance(create.obj, Endpoints)
    assert len((create.obj.subsets or ())[0].addresses or ()) == ADDRESSES_MAX
    assert (create.obj.metadata.annotations or {})[OVER_CAPACITY] == "truncated"


def test_endpoints_go_with_their_service_unless_a_user_made_them() -> None:
    ours = Endpoints(metadata=meta("web", labels={"endpoints.kubernetes.io/managed-by": "endpoint-controller"}))
    (delete,) = reconcile_without_service(ours).actions
    assert isinstance(delete, Delete)
    assert [(reference.kind.kind, reference.name) for reference in delete.absent] == [("Service", "web")]
    assert reconcile_without_service(Endpoints(metadata=meta("web"))).actions == ()


def test_a_service_without_selector_is_not_touched() -> None:
    assert reconcile(service(selector={}), [], None).actions == ()
