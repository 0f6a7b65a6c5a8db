"""`orch describe`: an object for reading: its fields in order, what belongs to it, its events.

One file per kind that has more to tell than its fields (`pod`, `deployment`, `service`, `node`); every other kind is
shown by `generic`. A describer is pure: it gets plain data and writes into a Sheet.
"""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orch.cli import session, targets
from orch.cli.describe import deployment, generic, node, pod, service
from orch.cli.describe.sheet import Sheet
from orch.cli.events import by_time, since
from orch.cli.failures import CliError, Exit
from orch.cli.get import fetch_objects
from orch.cli.pods import selector_text
from orch.cli.session import Session, in_session
from orch.cli.targets import Target

Plain = dict[str, Any]

_SIMPLE: dict[str, Callable[[Plain, Sheet], None]] = {
    "Pod": pod.describe,
    "ReplicaSet": deployment.describe_replica_set,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("what", nargs="+", metavar="TYPE [NAME ...] | TYPE/NAME ...")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="in every namespace")
    parser.add_argument("-l", "--selector", default="", help="objects with these labels")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    query = {"labelSelector": args.selector} if args.selector else {}
    blank = False
    for target in targets.parse(args.what, current.discovery):
        for obj in fetch_objects(current, target, query):
            sys.stdout.write(("\n\n" if blank else "") + _text(current, target, obj))
            blank = True
    if not blank:
        raise CliError("no matching objects", Exit.NOT_FOUND)
    return Exit.OK


def _text(current: Session, target: Target, obj: Plain) -> str:
    sheet = Sheet()
    generic.metadata(obj, sheet, target.resource.namespaced)
    _body(current, obj, sheet)
    _events(current, obj, sheet)
    return sheet.text()


def _body(current: Session, obj: Plain, sheet: Sheet) -> None:
    kind, group = obj["kind"], obj["apiVersion"].rpartition("/")[0]
    if (kind, group) == ("Deployment", "apps"):
        deployment.describe(obj, _related(current, "replicasets.apps", obj), sheet)
    elif (kind, group) == ("Service", ""):
        service.describe(obj, _slices(current, obj), sheet)
    elif (kind, group) == ("Node", ""):
        query = {"fieldSelector": f"spec.nodeName={obj['metadata']['name']}"}
        pods = current.api.get(current.discovery.named("pods")[0].path(), query)["items"] or []
        node.describe(obj, pods, sheet)
    elif kind in _SIMPLE and group in ("", "apps"):
        _SIMPLE[kind](obj, sheet)
    else:
        generic.describe(obj, sheet)


def _related(current: Session, resource: str, owner: Plain) -> list[Plain]:
    """Objects of the owner's selector that name it as an owner."""
    path = current.discovery.named(resource)[0].path(owner["metadata"]["namespace"])
    items = current.api.get(path, {"labelSelector": selector_text(owner["spec"].get("selector"))})["items"] or ()
    uid = owner["metadata"]["uid"]
    return [i for i in items if any(ref["uid"] == uid for ref in i["metadata"].get("ownerReferences") or ())]


def _slices(current: Session, obj: Plain) -> list[Plain]:
    path = current.discovery.named("endpointslices")[0].path(obj["metadata"]["namespace"])
    query = {"labelSelector": f"kubernetes.io/service-name={obj['metadata']['name']}"}
    items: list[Plain] = current.api.get(path, query)["items"] or []
    return items


def _events(current: Session, obj: Plain, sheet: Sheet) -> None:
    metadata = obj["metadata"]
    selector = {
        "involvedObject.kind": obj["kind"],
        "involvedObject.name": metadata["name"],
        "involvedObject.uid": metadata["uid"],
    }
    path = current.discovery.named("events")[0].path(metadata.get("namespace", ""))
    query = {"fieldSelector": ",".join(f"{key}={value}" for key, value in selector.items())}
    found = by_time(current.api.get(path, query)["items"] or [])
    now = datetime.now(UTC)
    rows = [
        [
            event.get("type") or "",
            event.get("reason") or "",
            since(event, now),
            _source(event),
            event.get("message") or "",
        ]
        for event in found
    ]
    sheet.table("Events", ["Type", "Reason", "Age", "From", "Message"], rows)


def _source(event: Plain) -> str:
    return (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
