"""Jobs as the registry makes them: their selector and labels."""

from typing import Any

import pytest
from msgspec.structs import replace

from controlplane.registry.interface import WriteOptions
from orch.api.job import Job
from orch.api.kinds import JOBS
from orch.errors import Invalid
from tests.sim.virtual_loop import virtual
from tests.unit.controlplane.world import world

POD = {"containers": [{"name": "app", "image": "app:1"}], "restartPolicy": "Never"}


def job(labels: dict[str, str] | None = None, **spec: Any) -> Job:
    template = {"metadata": {"labels": labels or {}}, "spec": POD}
    return JOBS.codec.from_plain(
        {"metadata": {"name": "x", "namespace": "default"}, "spec": {"template": template, **spec}}
    )


@virtual
async def test_a_job_selects_its_own_pods_only() -> None:
    async with world() as w:
        made = await w.admin.create(JOBS, job({"app": "x"}))
        uid, labels = made.metadata.uid, made.spec.template.metadata.labels or {}
        assert made.spec.selector is not None
        assert made.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": uid}
        assert labels == {
            "app": "x",
            "controller-uid": uid,
            "job-name": "x",
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "x",
        }
        assert made.metadata.labels == {"app": "x"}
        again = await w.admin.update(JOBS, replace(made, spec=replace(made.spec, parallelism=2)))
        assert again.metadata.generation == 2


@virtual
async def test_labels_and_selectors_of_ones_own() -> None:
    async with world() as w:
        with pytest.raises(Invalid, match="expected label job-name"):
            await w.admin.create(JOBS, job({"job-name": "other"}))
        by_hand = job({"app": "x"}, manualSelector=True, selector={"matchLabels": {"app": "x"}})
        made = await w.admin.create(JOBS, by_hand)
        assert made.spec.template.metadata.labels == {"app": "x"}


@virtual
async def test_writes_of_kinds_without_a_controller_warn() -> None:
    async with world() as w:
        warnings: list[str] = []
        await w.parts.api.create(w.context(warnings=warnings), JOBS, "default", job(), WriteOptions())
        assert warnings == ["Job: objects of this kind are stored, but nothing acts on them yet"]
