"""`orch delete`: by name, by file, by label, or all of a type; waits until the objects are gone."""

import argparse
import sys
from typing import Any

from orch.cli import manifests, selection, session
from orch.cli.apply import naming, object_namespace
from orch.cli.durations import seconds
from orch.cli.failures import CliError, Exit, exit_code, one_line
from orch.cli.selection import Located
from orch.cli.session import Session, in_session
from orch.cli.targets import Target
from orch.cli.waiting import until
from orch.errors import NotFound

WAIT_DEFAULT_S = 600.0
PROPAGATION = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    selection.add_arguments(parser)
    parser.add_argument("-f", "--filename", action="append", default=[], help="file, folder, or - for stdin")
    parser.add_argument("-R", "--recursive", action="store_true", help="look into folders of folders")
    parser.add_argument("--ignore-not-found", action="store_true", help="a missing object is no error")
    parser.add_argument("--cascade", choices=sorted(PROPAGATION), default="background", help="what dependents get")
    parser.add_argument("--grace-period", type=int, default=-1, metavar="SECONDS", help="-1: the object's own")
    parser.add_argument("--force", action="store_true", help="grace period 0: do not wait for the node's word")
    parser.add_argument("--now", action="store_true", help="grace period 1")
    parser.add_argument(
        "--wait", type=_switch, nargs="?", const=True, default=True, metavar="true|false", help="until all is gone"
    )
    parser.add_argument("--timeout", type=seconds, default=WAIT_DEFAULT_S, help="how long to wait (default 10m)")
    parser.add_argument("-o", "--output", default="", choices=("", "name"))


def _switch(text: str) -> bool:
    """As kubectl's flags take them. Raises ValueError."""
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    options = delete_options(args)
    victims = _from_files(current, args) if args.filename else selection.select(current, args)
    if not victims and not args.ignore_not_found:
        print("No resources found.", file=sys.stderr)
    code: int = Exit.OK
    deleted: list[tuple[Located, str]] = []
    for victim in victims:
        try:
            deleted.append((victim, _delete(current, victim, options)))
        except NotFound as error:
            if not args.ignore_not_found:
                print(f"orch: {one_line(error)}", file=sys.stderr)
                code = exit_code(error)
            continue
        _report(victim, args)
    for victim, uid in deleted if args.wait else ():
        _wait_until_gone(current, victim, uid, args.timeout)
    return code


def delete_options(args: argparse.Namespace) -> dict[str, Any]:
    """The body of the request (meta/v1 DeleteOptions)."""
    if args.force and args.grace_period > 0:
        raise CliError("--force means a grace period of 0: drop --grace-period", Exit.USAGE)
    grace_s = 0 if args.force else 1 if args.now else args.grace_period
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": PROPAGATION[args.cascade]}
    return options | ({"gracePeriodSeconds": grace_s} if grace_s >= 0 else {})


def _from_files(current: Session, args: argparse.Namespace) -> list[Located]:
    """In reverse order, since what stands first is often needed by the rest; namespaces last of all."""
    if args.what:
        raise CliError("name objects or give files, not both", Exit.USAGE)
    victims = []
    for document in manifests.load(args.filename, recursive=args.recursive):
        with naming(document):
            target = Target(current.discovery.of_kind(document.api_version, document.kind), document.name)
            victims.append(Located(target, object_namespace(current, document, target, args.namespace)))
    victims.reverse()
    return sorted(victims, key=lambda victim: victim.target.resource.kind == "Namespace")


def _delete(current: Session, victim: Located, options: dict[str, Any]) -> str:
    """The uid of what was deleted. A server answers with the object, or with a Status that names the uid."""
    answer = current.api.request("DELETE", victim.path(), body=options)
    uid = answer.get("metadata", {}).get("uid") or (answer.get("details") or {}).get("uid") or ""
    return str(uid)


def _report(victim: Located, args: argparse.Namespace) -> None:
    if args.output == "name":
        print(victim.target)
    else:
        forced = "force deleted" if args.force else "deleted"
        print(f'{victim.target.resource.qualified} "{victim.target.name}" {forced}')
    sys.stdout.flush()


def _wait_until_gone(current: Session, victim: Located, uid: str, timeout_s: float) -> None:
    """Gone, or another object of the same name has taken its place."""

    def gone() -> bool | None:
        try:
            obj = current.api.get(victim.path())
        except NotFound:
            return True
        return True if uid and obj["metadata"]["uid"] != uid else None

    until(gone, timeout_s=timeout_s, what=f"{victim.target} is deleted but still stopping")
