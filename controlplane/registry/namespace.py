"""Namespaces: the finalizer `kubernetes` in their spec keeps them until their content is gone.

The namespace controller empties spec.finalizers through the finalize subresource; then the namespace goes.
"""

from msgspec.structs import replace

from controlplane.registry.quota import charge_key
from controlplane.registry.strategy import Plan, Strategy
from controlplane.store.backend import Delete
from orch.api.namespace import FINALIZER, Namespace, NamespaceSpec, NamespaceStatus

ACTIVE = "Active"
TERMINATING = "Terminating"


class NamespaceStrategy(Strategy[Namespace]):
    @property
    def counts_generations(self) -> bool:
        return False

    def prepare_create(self, obj: Namespace) -> Namespace:
        finalizers = obj.spec.finalizers or ()
        if FINALIZER not in finalizers:
            finalizers = (*finalizers, FINALIZER)
        return replace(obj, spec=NamespaceSpec(finalizers=finalizers), status=NamespaceStatus(phase=ACTIVE))

    def prepare_update(self, new: Namespace, old: Namespace) -> Namespace:
        """spec.finalizers change through the finalize subresource only."""
        return replace(new, spec=old.spec, status=old.status)

    def plan(self, new: Namespace | None, old: Namespace | None) -> Plan[Namespace]:
        """What the server keeps for a namespace goes with it."""
        return Plan(new) if new is not None or old is None else self.plan_forget(old)

    def plan_forget(self, named: Namespace) -> Plan[Namespace]:
        return Plan(None, writes=(Delete(charge_key(named.metadata.name)),))

    def is_held(self, obj: Namespace) -> bool:
        return bool(obj.spec.finalizers)

    def mark_deleting(self, obj: Namespace) -> Namespace:
        return replace(obj, status=replace(obj.status, phase=TERMINATING))


def finalized(new: Namespace, old: Namespace) -> Namespace:
    """What a write of the finalize subresource makes of a namespace."""
    return replace(new, spec=NamespaceSpec(finalizers=new.spec.finalizers), status=old.status)
