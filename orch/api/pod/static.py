"""Static pods, which a node runs by itself, and the mirrors that show them. Pure; control plane and agents go by it."""

from orch.api.pod.references import references
from orch.api.pod.spec import Pod

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
"""On what shows a static pod; its value is the uid that the node gave that pod."""
DEFAULT_ACCOUNT = "default"


def is_mirror(pod: Pod) -> bool:
    return MIRROR_ANNOTATION in (pod.metadata.annotations or {})


def forbidden_reference(pod: Pod) -> str:
    """The first object of the API that a static pod names, "<kind> <name>", else empty: it may name none, or a node
    could make itself a pod that has a right to them (as the NodeRestriction admission of kube-apiserver holds it)."""
    if named := references(pod):
        return f"{named[0].kind} {named[0].name}"
    spec = pod.spec
    for account in (spec.service_account_name, spec.service_account):
        if account and account != DEFAULT_ACCOUNT:
            return f"ServiceAccount {account}"
    for volume in spec.volumes or ():
        sources = (volume.projected.sources or ()) if volume.projected else ()
        if any(source.service_account_token for source in sources):
            return f"ServiceAccount {DEFAULT_ACCOUNT}"
    return ""
