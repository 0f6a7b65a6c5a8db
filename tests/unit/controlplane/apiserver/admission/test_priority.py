"""Priority classes: what they make of a pod."""

from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.kinds import PODS, PRIORITYCLASSES
from orch.api.meta import ObjectMeta
from orch.api.priorityclass import PriorityClass
from orch.errors import Forbidden
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import World, new_pod, world


async def priority_of(w: World, **spec: Any) -> tuple[str | None, int | None, str | None]:
    pod = new_pod(spec=spec, generate_name="p-")
    created = (await w.admin.create(PODS, replace(pod, metadata=replace(pod.metadata, name="")))).spec
    return created.priority_class_name, created.priority, created.preemption_policy


def high(**fields: Any) -> PriorityClass:
    return PriorityClass(metadata=ObjectMeta(name=fields.pop("name", "high")), **{"value": 1000, **fields})


@virtual
async def test_the_number_comes_from_the_class() -> None:
    async with world() as w:
        await w.admin.create(PRIORITYCLASSES, high(preemption_policy="Never"))
        assert await priority_of(w) == (None, 0, "PreemptLowerPriority")
        assert await priority_of(w, priority_class_name="high") == ("high", 1000, "Never")
        system = ("system-node-critical", 2_000_001_000, "PreemptLowerPriority")
        assert await priority_of(w, priority_class_name="system-node-critical") == system


@virtual
async def test_the_default_class_is_for_pods_without_one() -> None:
    async with world() as w:
        await w.admin.create(PRIORITYCLASSES, high(global_default=True))
        assert await priority_of(w) == ("high", 1000, "PreemptLowerPriority")
        with pytest.raises(Forbidden, match=r"PriorityClass high is already marked as default. Only one default can"):
            await w.admin.create(PRIORITYCLASSES, high(name="other", global_default=True))


@virtual
async def test_what_contradicts_the_class_is_refused() -> None:
    async with world() as w:
        await w.admin.create(PRIORITYCLASSES, high())
        with pytest.raises(Forbidden, match="no PriorityClass with name low was found"):
            await priority_of(w, priority_class_name="low")
        with pytest.raises(Forbidden, match=r"the integer value of priority \(5\) must not be provided in pod spec"):
            await priority_of(w, priority_class_name="high", priority=5)
        with pytest.raises(Forbidden, match=r"the string value of PreemptionPolicy \(Never\) must not be provided"):
            await priority_of(w, preemption_policy="Never")
