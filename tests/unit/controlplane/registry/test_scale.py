"""The scale subresource of kinds that say differently what they select."""

from typing import Any

from orch.api.kind import Kind
from orch.api.kinds import REPLICATIONCONTROLLERS, STATEFULSETS
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import world

POD = {"containers": [{"name": "app", "image": "app:1"}]}


def new(kind: Kind[Any], **fields: Any) -> Any:
    return kind.codec.from_plain({"metadata": {"name": "x", "namespace": "default"}, **fields})


@virtual
async def test_scale_of_kinds_with_either_selector() -> None:
    async with world() as w:
        template = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
        selectors: list[tuple[Kind[Any], Any]] = [
            (REPLICATIONCONTROLLERS, {"app": "x"}),
            (STATEFULSETS, {"matchLabels": {"app": "x"}}),
        ]
        for kind, selector in selectors:
            await w.admin.create(kind, new(kind, spec={"selector": selector, "template": template}))
            scale = (await w.parts.api.get(w.context(), kind, "default", "x", subresource="scale")).obj
            assert (scale.spec.replicas, scale.status.selector) == (1, "app=x")
            await w.admin.patch(kind, "x", "default", {"spec": {"replicas": 4}}, subresource="scale")
            assert (await w.admin.get(kind, "x", "default")).spec.replicas == 4
