"""Pods by way of other names: of a workload, of a Service, of labels; and the container that is meant."""

from typing import Any

from orch.cli.failures import CliError, Exit
from orch.cli.session import Session
from orch.cli.targets import Target

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def pods_with(current: Session, selector: str) -> list[dict[str, Any]]:
    path = current.discovery.named("pods")[0].path(current.namespace)
    items: list[dict[str, Any]] = current.api.get(path, {"labelSelector": selector})["items"] or []
    return items


def pod_of(current: Session, target: Target) -> dict[str, Any]:
    """The pod itself, or a running pod of what selects pods (a Deployment, ReplicaSet, Service)."""
    obj: dict[str, Any] = current.api.get(target.path(current.namespace))
    if target.resource.kind == "Pod":
        return obj
    selector = selector_text(obj.get("spec", {}).get("selector"))
    if not selector:
        raise CliError(f"{target}: selects no pods: name a pod")
    found = sorted(pods_with(current, selector), key=_least_ready)
    if not found:
        raise CliError(f"{target}: has no pods in namespace {current.namespace}", Exit.NOT_FOUND)
    return found[0]


def selector_text(selector: dict[str, Any] | None) -> str:
    """Of a LabelSelector (matchLabels, matchExpressions) or a Service's plain map."""
    if not selector:
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{key}={value}" for key, value in selector.items())
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], ",".join(rule.get("values") or ())
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        terms.append(forms[rule["operator"]])
    return ",".join(terms)


def _least_ready(pod: dict[str, Any]) -> tuple[bool, bool, str]:
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or ()}
    running = pod.get("status", {}).get("phase") == "Running"
    return not running, conditions.get("Ready") != "True", pod["metadata"]["name"]


def container_of(pod: dict[str, Any], asked: str) -> str:
    """The asked one, else the annotated default, else the first. Raises CliError, which lists what there is."""
    spec = pod["spec"]
    known = [c["name"] for key in ("containers", "initContainers", "ephemeralContainers") for c in spec.get(key) or ()]
    if asked and asked not in known:
        name = pod["metadata"]["name"]
        raise CliError(f"pod/{name}: has no container {asked!r}: it has {', '.join(known)}", Exit.NOT_FOUND)
    annotated = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    return asked or (annotated if annotated in known else "") or str(known[0])
