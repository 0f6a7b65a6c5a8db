"""RuntimeClasses: overhead, node selector and tolerations of their pods."""

from typing import Any

import pytest

from controlplane.apiserver.admission.runtime_class import with_runtime_class
from orch.api.kinds import PODS, RUNTIMECLASSES
from orch.api.shared import Toleration
from orch.errors import Forbidden
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import new_pod, world
from tests.unit.orch.api.objects import made

SANDBOX = made(
    RUNTIMECLASSES,
    {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"memory": "64Mi"}},
        "scheduling": {"nodeSelector": {"kvm": "yes"}, "tolerations": [{"key": "kvm", "operator": "Exists"}]},
    },
)
KVM = Toleration(key="kvm", operator="Exists")


def pod(**spec: Any) -> Any:
    return new_pod(spec={"runtime_class_name": "vm", **spec})


@virtual
async def test_a_pod_takes_over_what_its_class_says() -> None:
    async with world() as w:
        with pytest.raises(Forbidden, match='pods "pod" is forbidden: pod rejected: RuntimeClass "vm" not found'):
            await w.admin.create(PODS, pod())
        await w.admin.create(RUNTIMECLASSES, SANDBOX)
        spec = (await w.admin.create(PODS, pod(node_selector={"zone": "a"}))).spec
        assert (spec.overhead, spec.node_selector) == ({"memory": "64Mi"}, {"zone": "a", "kvm": "yes"})
        assert KVM in (spec.tolerations or ())


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"node_selector": {"kvm": "no"}}, r"conflict: runtimeClass.scheduling.nodeSelector\[kvm\] = yes; pod"),
        ({"overhead": {"memory": "1Mi"}}, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
    ],
)
def test_what_contradicts_the_class_is_refused(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        with_runtime_class(pod(**spec), SANDBOX)


def test_what_the_pod_says_itself_is_not_repeated() -> None:
    same = pod(tolerations=(KVM,), overhead={"memory": "65536Ki"}, node_selector={"kvm": "yes"})
    spec = with_runtime_class(same, SANDBOX).spec
    assert (spec.tolerations, spec.overhead, spec.node_selector) == ((KVM,), {"memory": "64Mi"}, {"kvm": "yes"})


@virtual
async def test_overhead_without_a_class_is_refused() -> None:
    async with world() as w:
        with pytest.raises(Forbidden, match="Pod Overhead set without corresponding RuntimeClass defined Overhead"):
            await w.admin.create(PODS, new_pod(spec={"overhead": {"cpu": "1m"}}))
