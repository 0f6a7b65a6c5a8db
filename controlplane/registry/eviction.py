"""Whether a pod may be evicted: what its disruption budget says. Pure; the chain carries it out.

As the eviction subresource of kube-apiserver: a pod that does not serve goes at once, a healthy one takes one of the
disruptions that its budget allows. The disruption controller keeps the budget's numbers.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from controlplane.registry import failures
from orch.api.kinds import PODDISRUPTIONBUDGETS
from orch.api.pod.spec import Pod
from orch.api.pod.status import is_finished, is_ready
from orch.api.poddisruptionbudget import ALWAYS_ALLOW, PodDisruptionBudget, covers
from orch.errors import Cause, InternalError, TooManyRequests
from orch.kit.clock import whole_seconds

DISRUPTED_PODS_MAX = 2000
"""Evictions that the disruption controller has not looked at yet; with more of them nobody can tell what is allowed."""
RETRY_UNPROCESSED_S = 10
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."


def has_ended(pod: Pod) -> bool:
    """It disrupts nobody any more."""
    return is_finished(pod.status) or pod.metadata.deletion_timestamp is not None


def has_not_begun(pod: Pod) -> bool:
    return pod.status.phase == "Pending"


def budget_of(pod: Pod, budgets: Sequence[PodDisruptionBudget]) -> PodDisruptionBudget | None:
    """`budgets` are those of the pod's namespace. Raises InternalError when several cover the pod."""
    covering = [budget for budget in budgets if covers(budget, pod.metadata.labels)]
    if len(covering) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return covering[0] if covering else None


def spares_budget(pod: Pod, budget: PodDisruptionBudget) -> bool:
    """Whether the pod is not among the healthy ones, and may go without touching them."""
    if is_ready(pod.status):
        return False
    status = budget.status
    enough = status.current_healthy >= status.desired_healthy > 0
    return enough or budget.spec.unhealthy_pod_eviction_policy == ALWAYS_ALLOW


def with_disruption(budget: PodDisruptionBudget, pod_name: str, now: datetime) -> PodDisruptionBudget:
    """The budget with one allowed disruption taken. Raises TooManyRequests, Forbidden."""
    status, name = budget.status, budget.metadata.name
    if (status.observed_generation or 0) < (budget.metadata.generation or 0):
        raise unprocessed(name)
    noted = status.disrupted_pods or {}
    if len(noted) > DISRUPTED_PODS_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise failures.forbidden(PODDISRUPTIONBUDGETS, name, why)
    if status.disruptions_allowed < 1:
        needs = f"needs {status.desired_healthy} healthy pods and has {status.current_healthy} currently"
        raise TooManyRequests(VIOLATES, causes=[Cause("DisruptionBudget", f"The disruption budget {name} {needs}")])
    changed = replace(
        status,
        disruptions_allowed=status.disruptions_allowed - 1,
        disrupted_pods={**noted, pod_name: whole_seconds(now)},
    )
    return replace(budget, status=changed)


def unprocessed(budget: str) -> TooManyRequests:
    """The numbers are of an older state: soon they won't be."""
    cause = Cause("DisruptionBudget", f"The disruption budget {budget} is still being processed by the server.")
    return TooManyRequests(VIOLATES, causes=[cause], retry_after_s=RETRY_UNPROCESSED_S)
