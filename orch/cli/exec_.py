"""`orch exec`: runs a command in a container, with terminal and stdin if asked, and ends with its exit code."""

import argparse

from orch.cli import session, targets
from orch.cli.pods import container_of, pod_of
from orch.cli.remote import run_remote
from orch.cli.session import Session, in_session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.usage = "orch exec [-it] [-c CONTAINER] [-n NAMESPACE] POD|TYPE/NAME -- COMMAND [ARGUMENT ...]"
    parser.add_argument("-c", "--container", default="", help="which container (default: the first)")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass stdin on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    parser.add_argument("what", metavar="POD|TYPE/NAME")
    parser.add_argument("command", nargs="+", metavar="COMMAND")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    pod = pod_of(current, targets.parse_named([args.what], current.discovery, "pods")[0])
    container = container_of(pod, args.container)
    query = [("container", container), *(("command", word) for word in args.command)]
    query += [(name, "true") for name, wanted in (("stdin", args.stdin), ("tty", args.tty), ("stdout", True)) if wanted]
    query += [] if args.tty else [("stderr", "true")]
    path = current.discovery.named("pods")[0].path(pod["metadata"]["namespace"], pod["metadata"]["name"], "exec")
    return run_remote(current, current.api.target(path, query), stdin=args.stdin, terminal=args.tty)
