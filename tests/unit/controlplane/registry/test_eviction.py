"""What a disruption budget says of an eviction, and that nothing goes when it says no."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.eviction import budget_of, spares_budget, with_disruption
from orch.api.kinds import PODDISRUPTIONBUDGETS, PODS
from orch.api.meta import LabelSelector, ObjectMeta
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodCondition, PodStatus
from orch.api.poddisruptionbudget import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from orch.errors import Conflict, Forbidden, InternalError, NotFound, TooManyRequests
from tests.builders import NOW
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import NODEPLANE, World, new_pod, world


def budget(name: str = "b", *, selector: LabelSelector | None = None, **status: Any) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=name, namespace="default", generation=2),
        spec=PodDisruptionBudgetSpec(selector=selector or LabelSelector(), min_available=1),
        status=PodDisruptionBudgetStatus(**{"observed_generation": 2, **status}),
    )


def pod(*, ready: bool = True) -> Pod:
    conditions = (PodCondition(type="Ready", status="True" if ready else "False"),)
    return replace(new_pod(labels={"app": "web"}), status=PodStatus(phase="Running", conditions=conditions))


def test_a_budget_covers_what_its_selector_selects() -> None:
    other = LabelSelector(match_labels={"app": "other"})
    assert budget_of(pod(), [budget(selector=other)]) is None
    everything = budget()
    assert budget_of(pod(), [budget(selector=other), everything]) is everything
    with pytest.raises(InternalError, match="more than one PodDisruptionBudget"):
        budget_of(pod(), [everything, budget("c")])
    nothing = replace(everything, spec=replace(everything.spec, selector=None))
    assert budget_of(pod(), [nothing]) is None


def test_an_unready_pod_spares_a_budget_that_is_met() -> None:
    met, broken = budget(current_healthy=2, desired_healthy=2), budget(current_healthy=1, desired_healthy=2)
    assert spares_budget(pod(ready=False), met)
    assert not spares_budget(pod(ready=False), broken)
    assert not spares_budget(pod(), met)
    lenient = replace(broken, spec=replace(broken.spec, unhealthy_pod_eviction_policy="AlwaysAllow"))
    assert spares_budget(pod(ready=False), lenient)


def test_an_allowed_disruption_is_taken_and_noted() -> None:
    taken = with_disruption(budget(disruptions_allowed=1, disrupted_pods={"a": NOW}), "p", NOW).status
    assert (taken.disruptions_allowed, set(taken.disrupted_pods or ())) == (0, {"a", "p"})


def test_refusals_are_those_of_kubernetes() -> None:
    with pytest.raises(TooManyRequests, match="violate the pod's disruption budget") as none_left:
        with_disruption(budget(desired_healthy=2, current_healthy=2), "p", NOW)
    (cause,) = none_left.value.causes
    assert cause == ("DisruptionBudget", "The disruption budget b needs 2 healthy pods and has 2 currently", "")
    with pytest.raises(TooManyRequests) as old:
        with_disruption(budget(disruptions_allowed=1, observed_generation=1), "p", NOW)
    assert old.value.retry_after_s == 10
    many = {str(number): NOW for number in range(2001)}
    with pytest.raises(Forbidden, match="too big"):
        with_disruption(budget(disruptions_allowed=1, disrupted_pods=many), "p", NOW)


async def running(w: World, *, ready: bool = True, **status: Any) -> None:
    """A running pod under a budget whose status is `status`."""
    await w.admin.create(PODS, new_pod(labels={"app": "web"}))
    made = await w.admin.get(PODS, "pod", "default")
    await w.client(NODEPLANE).update(PODS, replace(made, status=pod(ready=ready).status), subresource="status")
    wanted = budget(**status)
    created = await w.admin.create(
        PODDISRUPTIONBUDGETS, replace(wanted, metadata=replace(wanted.metadata, generation=None))
    )
    told = replace(created, status=replace(wanted.status, observed_generation=1))
    await w.admin.update(PODDISRUPTIONBUDGETS, told, subresource="status")


async def evict(w: World, **options: Any) -> None:
    body = {"metadata": {"name": "pod"}, "deleteOptions": options}
    await w.admin.create_subresource(PODS, "pod", "default", "eviction", body)


@virtual
async def test_a_pod_stays_when_its_budget_allows_no_disruption() -> None:
    async with world() as w:
        await running(w, desired_healthy=1, current_healthy=1)
        with pytest.raises(TooManyRequests):
            await evict(w)
        assert (await w.admin.get(PODS, "pod", "default")).metadata.deletion_timestamp is None


@virtual
async def test_an_eviction_takes_one_disruption() -> None:
    async with world() as w:
        await running(w, disruptions_allowed=1)
        await evict(w, dryRun=["All"])
        assert (await w.admin.get(PODDISRUPTIONBUDGETS, "b", "default")).status.disruptions_allowed == 1
        await evict(w)
        with pytest.raises(NotFound):
            await w.admin.get(PODS, "pod", "default")
        status = (await w.admin.get(PODDISRUPTIONBUDGETS, "b", "default")).status
        assert (status.disruptions_allowed, set(status.disrupted_pods or ())) == (0, {"pod"})


@virtual
async def test_an_eviction_of_another_pod_costs_the_budget_nothing() -> None:
    async with world() as w:
        await running(w, disruptions_allowed=1)
        with pytest.raises(Conflict, match="does not match the UID"):
            await evict(w, preconditions={"uid": "another"})
        assert (await w.admin.get(PODDISRUPTIONBUDGETS, "b", "default")).status.disruptions_allowed == 1


@virtual
async def test_a_pod_that_serves_nobody_needs_no_disruption() -> None:
    async with world() as w:
        await running(w, ready=False, desired_healthy=1, current_healthy=1)
        with pytest.raises(Conflict):
            await evict(w, preconditions={"resourceVersion": "1"})
        await evict(w)
        with pytest.raises(NotFound):
            await w.admin.get(PODS, "pod", "default")


@virtual
async def test_a_pending_pod_goes_whatever_the_budget_says() -> None:
    async with world() as w:
        await w.admin.create(PODS, new_pod(labels={"app": "web"}))
        await w.admin.create(
            PODDISRUPTIONBUDGETS, replace(budget(), metadata=ObjectMeta(name="b", namespace="default"))
        )
        await evict(w)
        with pytest.raises(NotFound):
            await w.admin.get(PODS, "pod", "default")
