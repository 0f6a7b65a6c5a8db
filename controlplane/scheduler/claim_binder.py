"""Sees to it that the claims of a pod are bound before the pod is. Carries out `volume_binding.choices`, then waits.

A volume is reserved by compare-and-swap; a node is written on the claim, and whoever provisions takes it from there.
"""

import asyncio

from msgspec.structs import replace

from controlplane.scheduler.demand import PodInfo
from controlplane.scheduler.plugins.volume_binding import Reserve, SelectNode, choices
from controlplane.scheduler.storage import Storage
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from orch.api.node import Node
from orch.api.persistentvolumeclaim import PersistentVolumeClaim
from orch.api.volume_binding import SELECTED_NODE, is_bound, reference_to
from orch.client.client import Client
from orch.errors import Conflict

BINDING_TIMEOUT_S = 10.0
"""For provisioners to answer; then the pod's turn comes again, and meanwhile others have theirs."""


class VolumesNotBound(Conflict):
    """The claims did not get their volumes in time. What was chosen for them stays chosen."""


class ClaimBinder:
    def __init__(self, client: Client, storage: Storage) -> None:
        self._client, self._storage = client, storage
        self._changed = asyncio.Event()

    def claim_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def bind(self, pod: PodInfo, node: Node) -> None:
        """Raises ApiError, VolumesNotBound among them."""
        if not pod.claims:
            return
        for choice in choices(pod, self._storage, node):
            await self._carry_out(choice)
        try:
            async with asyncio.timeout(BINDING_TIMEOUT_S):
                while not self._all_bound(pod):
                    await self._changed.wait()
        except TimeoutError:
            names = ", ".join(pod.claims)
            raise VolumesNotBound(f"binding volumes: {names} not bound after {BINDING_TIMEOUT_S:g} s") from None

    async def _carry_out(self, choice: Reserve | SelectNode) -> None:
        meta = choice.claim.metadata
        if isinstance(choice, Reserve):
            volume = choice.volume
            reserved = replace(volume, spec=replace(volume.spec, claim_ref=reference_to(choice.claim)))
            await self._client.update(PERSISTENTVOLUMES, reserved)
        else:
            patch = {"metadata": {"uid": meta.uid, "annotations": {SELECTED_NODE: choice.node}}}
            await self._client.patch(PERSISTENTVOLUMECLAIMS, meta.name, meta.namespace, patch)

    def _all_bound(self, pod: PodInfo) -> bool:
        return all(_is_bound(self._storage.claim(pod.pod.metadata.namespace, name)) for name in pod.claims)


def _is_bound(claim: PersistentVolumeClaim | None) -> bool:
    return claim is not None and is_bound(claim)
