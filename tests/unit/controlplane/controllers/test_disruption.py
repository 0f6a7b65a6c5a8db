"""Disruption budgets: how many pods may go, by the numbers of what keeps them."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from controlplane.controllers.disruption import DELETION_TIMEOUT, Uncountable, reconcile
from orch.api.base import IntOrString
from orch.api.kinds import DEPLOYMENTS, PODDISRUPTIONBUDGETS, PODS
from orch.api.meta import LabelSelector
from orch.api.pod.spec import Pod
from orch.api.pod.status import PodStatus
from orch.api.poddisruptionbudget import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from orch.errors import TooManyRequests
from tests.builders import NOW, deleting, deployment, meta, ready_condition, running_pod
from tests.sim.virtual_loop import virtual
from tests.world import World, world


def budget(
    *, min_available: IntOrString | None = None, max_unavailable: IntOrString | None = None, **status: object
) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=meta("web", generation=3),
        spec=PodDisruptionBudgetSpec(
            min_available=min_available,
            max_unavailable=max_unavailable,
            selector=LabelSelector(match_labels={"app": "web"}),
        ),
        status=PodDisruptionBudgetStatus(**status),  # type: ignore[arg-type]
    )


def pods(count: int, *, ready: int) -> list[Pod]:
    return [running_pod(f"p{number}", ready=number < ready) for number in range(count)]


def of_ten(pod: Pod) -> tuple[str, int]:
    return "owner", 10


def decided(wanted: PodDisruptionBudget, covered: Sequence[Pod]) -> PodDisruptionBudgetStatus:
    status = reconcile(wanted, covered, of_ten, NOW).status
    assert isinstance(status, PodDisruptionBudget)
    return status.status


@pytest.mark.parametrize(
    ("wanted", "ready", "expected", "desired", "allowed"),
    [
        pytest.param(budget(min_available=3), 5, 5, 3, 2, id="a number counts among the pods that there are"),
        pytest.param(budget(min_available=5), 4, 5, 5, 0, id="fewer are healthy than must be"),
        pytest.param(budget(min_available="35%"), 5, 10, 4, 1, id="a percentage is of what is wanted, rounded up"),
        pytest.param(budget(max_unavailable=6), 5, 10, 4, 1, id="unavailable is counted from what is wanted"),
        pytest.param(budget(max_unavailable="25%"), 5, 10, 7, 0, id="unavailable percentages round up too"),
        pytest.param(budget(max_unavailable="200%"), 5, 10, 0, 5, id="never less than none"),
        pytest.param(budget(), 5, 5, 0, 5, id="a budget that demands nothing"),
    ],
)
def test_the_numbers(wanted: PodDisruptionBudget, ready: int, expected: int, desired: int, allowed: int) -> None:
    status = decided(wanted, pods(5, ready=ready))
    assert (status.expected_pods, status.desired_healthy) == (expected, desired)
    assert (status.current_healthy, status.disruptions_allowed) == (ready, allowed)
    assert status.observed_generation == 3
    (condition,) = status.conditions or ()
    assert (condition.type, condition.status) == ("DisruptionAllowed", "True" if allowed else "False")


def test_without_pods_nothing_is_allowed_and_a_true_status_is_left_alone() -> None:
    first = reconcile(budget(min_available=0), (), of_ten, NOW).status
    assert isinstance(first, PodDisruptionBudget)
    assert (first.status.disruptions_allowed, first.status.expected_pods) == (0, 0)
    assert reconcile(first, (), of_ten, NOW + timedelta(hours=1)).status is None


def test_pods_that_are_on_their_way_out_are_not_healthy() -> None:
    covered = [*pods(3, ready=3), deleting(running_pod("p3"))]
    noted = {"p0": NOW - timedelta(seconds=30), "p1": NOW - DELETION_TIMEOUT, "p3": NOW, "gone": NOW}
    decision = reconcile(budget(min_available=1, disrupted_pods=noted), covered, of_ten, NOW)
    assert isinstance(decision.status, PodDisruptionBudget)
    status = decision.status.status
    assert status.disrupted_pods == {"p0": noted["p0"]}
    assert (status.current_healthy, status.disruptions_allowed) == (2, 1)
    assert decision.requeue_after_s == 90


def test_an_owner_without_a_number_allows_nothing_and_says_why() -> None:
    def nobody(pod: Pod) -> tuple[str, int]:
        raise Uncountable("found no scale")

    before = budget(max_unavailable=1, disruptions_allowed=4)
    decision = reconcile(before, pods(2, ready=2), nobody, NOW)
    assert isinstance(decision.status, PodDisruptionBudget)
    status = decision.status.status
    assert status.disruptions_allowed == 0
    assert [(each.reason, each.message) for each in status.conditions or ()] == [("SyncFailed", "found no scale")]
    assert [each.reason for each in decision.events] == ["CalculateExpectedPodCountFailed"]
    assert reconcile(decision.status, pods(2, ready=2), nobody, NOW).status is None


async def make_ready(w: World, name: str) -> None:
    pod = await w.client.get(PODS, name, "default")
    status = PodStatus(phase="Running", conditions=ready_condition(True))
    await w.node_side.update(PODS, replace(pod, status=status), subresource="status")


@virtual
async def test_evictions_stop_where_the_budget_ends() -> None:
    async with world("controllers") as w:
        await w.make(DEPLOYMENTS, deployment("web", replicas=2))
        while len(names := await w.names(PODS)) < 2:
            await w.until(DEPLOYMENTS, "web", "default", lambda each: each.status.replicas is not None)
        for name in names:
            await make_ready(w, name)
        await w.make(PODDISRUPTIONBUDGETS, budget(max_unavailable=1))
        await w.until(PODDISRUPTIONBUDGETS, "web", "default", lambda each: each.status.disruptions_allowed == 1)
        await w.client.create_subresource(PODS, names[0], "default", "eviction", {"metadata": {"name": names[0]}})
        with pytest.raises(TooManyRequests) as refused:
            await w.client.create_subresource(PODS, names[1], "default", "eviction", {"metadata": {"name": names[1]}})
        assert [cause.reason for cause in refused.value.causes] == ["DisruptionBudget"]
        after = await w.until(PODDISRUPTIONBUDGETS, "web", "default", lambda each: not each.status.disrupted_pods)
        assert (after.status.expected_pods, after.status.current_healthy) == (2, 1)
