"""The kinds of the group networking.k8s.io."""

from orch.api.codec import StructCodec
from orch.api.ingress import (
    Ingress,
    IngressClass,
    ingressclass_defaults,
    validate_ingress,
    validate_ingress_update,
    validate_ingressclass,
    validate_ingressclass_update,
)
from orch.api.kind import Kind
from orch.api.networkpolicy import (
    NetworkPolicy,
    networkpolicy_defaults,
    validate_networkpolicy,
    validate_networkpolicy_update,
)

INGRESSES: Kind[Ingress] = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    singular="ingress",
    codec=StructCodec(Ingress),
    validate=validate_ingress,
    validate_update=validate_ingress_update,
    short_names=("ing",),
    subresources=frozenset({"status"}),
)

INGRESSCLASSES: Kind[IngressClass] = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    singular="ingressclass",
    codec=StructCodec(IngressClass),
    set_defaults=ingressclass_defaults,
    validate=validate_ingressclass,
    validate_update=validate_ingressclass_update,
    namespaced=False,
)

NETWORKPOLICIES: Kind[NetworkPolicy] = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    singular="networkpolicy",
    codec=StructCodec(NetworkPolicy),
    set_defaults=networkpolicy_defaults,
    validate=validate_networkpolicy,
    validate_update=validate_networkpolicy_update,
    short_names=("netpol",),
)
