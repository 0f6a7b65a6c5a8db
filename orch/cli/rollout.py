"""`orch rollout`: follows, pauses, restarts and takes back the changes of a deployment."""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from orch.cli import session, tables, targets
from orch.cli.durations import seconds
from orch.cli.failures import CliError, Exit
from orch.cli.pods import selector_text
from orch.cli.session import Session, in_session
from orch.cli.targets import Target
from orch.cli.waiting import until

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
TEMPLATE_HASH = "pod-template-hash"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FOREVER_S = 10 * 365 * 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("action", choices=sorted(_ACTIONS))
    parser.add_argument("what", nargs="+", metavar="deployment/NAME")
    parser.add_argument("--to-revision", type=int, default=0, metavar="N", help="undo: back to this one")
    parser.add_argument(
        "--revision", type=int, default=0, metavar="N", help="history: show this one; status: wait for it"
    )
    parser.add_argument(
        "-w", "--watch", action=argparse.BooleanOptionalAction, default=True, help="status: until it is done"
    )
    parser.add_argument("--timeout", type=seconds, default=FOREVER_S, help="status: how long (default: no limit)")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    for target in targets.parse_named(args.what, current.discovery):
        if target.resource.kind != "Deployment":
            raise CliError(f"{target}: only deployments have rollouts")
        _ACTIONS[args.action](current, target, args)
    return Exit.OK


def progress(deployment: dict[str, Any], revision: int = 0) -> tuple[str, bool]:
    """(what to say, done), as kubectl's DeploymentStatusViewer says it. Raises CliError past the progress deadline."""
    name, spec, status = deployment["metadata"]["name"], deployment["spec"], deployment.get("status", {})
    if revision and revision != _revision(deployment):
        raise CliError(f"deployment {name}: is at revision {_revision(deployment)}, not {revision}")
    if deployment["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise CliError(f'deployment "{name}" exceeded its progress deadline: {condition.get("message", "")}')
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    total, available = status.get("replicas", 0), status.get("availableReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{waiting}{total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _status(current: Session, target: Target, args: argparse.Namespace) -> None:
    """One line per change of progress."""
    said = ""

    def probe() -> bool | None:
        nonlocal said
        text, done = progress(current.api.get(target.path(current.namespace)), args.revision)
        if text != said:
            print(text)
            sys.stdout.flush()
            said = text
        return True if done or not args.watch else None

    until(probe, timeout_s=args.timeout, what=f"{target}: rollout")


def _history(current: Session, target: Target, args: argparse.Namespace) -> None:
    deployment = current.api.get(target.path(current.namespace))
    revisions = _revisions(current, deployment)
    if args.revision:
        chosen = _choose(target, revisions, args.revision)
        print(f"{target} with revision #{args.revision}\nPod Template:")
        print(json.dumps(_template(chosen), indent=2))
        return
    lines = [["REVISION", "CHANGE-CAUSE"]]
    for revision, replica_set in sorted(revisions.items()):
        lines.append([str(revision), (replica_set["metadata"].get("annotations") or {}).get(CHANGE_CAUSE) or "<none>"])
    print(target)
    sys.stdout.write(tables.align(lines))


def _undo(current: Session, target: Target, args: argparse.Namespace) -> None:
    """Puts an older ReplicaSet's template back; the compare-and-swap is on what was read."""
    path = target.path(current.namespace)
    deployment = current.api.get(path)
    if deployment["spec"].get("paused"):
        raise CliError(f"{target}: is paused: 'orch rollout resume {target}' first")
    revisions = _revisions(current, deployment)
    present = _revision(deployment)
    wanted = args.to_revision or max((revision for revision in revisions if revision < present), default=0)
    template = _template(_choose(target, revisions, wanted))
    if template == deployment["spec"]["template"]:
        print(f"{target} skipped rollback (current template already matches revision {wanted})")
        return
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": deployment["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]
    current.api.request("PATCH", path, body=patch, content_type=JSON_PATCH)
    print(f"{target} rolled back")


def _revisions(current: Session, deployment: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Revision -> the ReplicaSet of it, of those that the deployment owns."""
    path = current.discovery.named("replicasets.apps")[0].path(current.namespace)
    found = current.api.get(path, {"labelSelector": selector_text(deployment["spec"]["selector"])})["items"] or ()
    uid = deployment["metadata"]["uid"]
    owned = [rs for rs in found if any(owner["uid"] == uid for owner in rs["metadata"].get("ownerReferences") or ())]
    return {revision: rs for rs in owned if (revision := _revision(rs))}


def _revision(obj: dict[str, Any]) -> int:
    return int((obj["metadata"].get("annotations") or {}).get(REVISION) or 0)


def _choose(target: Target, revisions: dict[int, dict[str, Any]], wanted: int) -> dict[str, Any]:
    if wanted not in revisions:
        known = ", ".join(str(revision) for revision in sorted(revisions)) or "none"
        what = f"revision {wanted}" if wanted else "an earlier revision"
        raise CliError(f"{target}: {what} is not kept: there are {known}", Exit.NOT_FOUND)
    return revisions[wanted]


def _template(replica_set: dict[str, Any]) -> dict[str, Any]:
    """Without the label that the controller adds."""
    template: dict[str, Any] = json.loads(json.dumps(replica_set["spec"]["template"]))
    (template.get("metadata", {}).get("labels") or {}).pop(TEMPLATE_HASH, None)
    return template


def _pause(current: Session, target: Target, args: argparse.Namespace) -> None:
    _set_paused(current, target, True)
    print(f"{target} paused")


def _resume(current: Session, target: Target, args: argparse.Namespace) -> None:
    _set_paused(current, target, False)
    print(f"{target} resumed")


def _set_paused(current: Session, target: Target, paused: bool) -> None:
    path = target.path(current.namespace)
    if bool(current.api.get(path)["spec"].get("paused")) == paused:
        raise CliError(f"{target}: is {'already' if paused else 'not'} paused")
    current.api.request("PATCH", path, body={"spec": {"paused": paused or None}}, content_type=STRATEGIC)


def _restart(current: Session, target: Target, args: argparse.Namespace) -> None:
    path = target.path(current.namespace)
    if current.api.get(path)["spec"].get("paused"):
        raise CliError(f"{target}: is paused: 'orch rollout resume {target}' first")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}}
    current.api.request("PATCH", path, body=body, content_type=STRATEGIC)
    print(f"{target} restarted")


_ACTIONS = {
    "status": _status,
    "history": _history,
    "undo": _undo,
    "pause": _pause,
    "resume": _resume,
    "restart": _restart,
}
