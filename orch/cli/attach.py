"""`orch attach`: our standard streams become those of a container's first process, until it ends or we leave."""

import argparse
import sys
from typing import Any

from orch.cli import session, targets
from orch.cli.failures import CliError, Exit
from orch.cli.pods import container_of, pod_of
from orch.cli.remote import run_remote
from orch.cli.session import Session, in_session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("-c", "--container", default="", help="which container (default: the first)")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass stdin on")
    parser.add_argument("-t", "--tty", action="store_true", help="stdin is a terminal")
    parser.add_argument("what", metavar="POD|TYPE/NAME")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    pod = pod_of(current, targets.parse_named([args.what], current.discovery, "pods")[0])
    container = container_of(pod, args.container)
    own = _container(pod, container)
    if args.stdin and not own.get("stdin"):
        raise CliError(f"container {container}: has no stdin: its spec must say stdin: true", Exit.USAGE)
    terminal = bool(own.get("tty")) and (args.tty or not args.stdin)
    if args.tty and not own.get("tty"):
        print(f"orch: container {container} has no terminal (tty: true): going on without", file=sys.stderr)
    flags = {"stdin": args.stdin, "stdout": True, "stderr": not terminal, "tty": terminal}
    query = [("container", container), *((name, "true") for name, wanted in flags.items() if wanted)]
    path = current.discovery.named("pods")[0].path(pod["metadata"]["namespace"], pod["metadata"]["name"], "attach")
    return run_remote(current, current.api.target(path, query), stdin=args.stdin, terminal=terminal)


def _container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    spec = pod["spec"]
    every = [c for key in ("containers", "initContainers", "ephemeralContainers") for c in spec.get(key) or ()]
    found: dict[str, Any] = next(c for c in every if c["name"] == name)
    return found
