"""`orch scale`: sets the number of replicas through the scale subresource (autoscaling/v1 Scale)."""

import argparse

from orch.cli import session, targets
from orch.cli.failures import CliError, Exit
from orch.cli.session import Session, in_session

MERGE = "application/merge-patch+json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("what", nargs="+", metavar="TYPE/NAME | TYPE NAME")
    parser.add_argument("--replicas", type=int, required=True, metavar="N", help="how many there shall be")
    parser.add_argument("--current-replicas", type=int, default=-1, metavar="N", help="only if there are N now")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    if args.replicas < 0:
        raise CliError(f"--replicas={args.replicas}: must not be negative", Exit.USAGE)
    for target in targets.parse_named(args.what, current.discovery):
        path = target.path(current.namespace, "scale")
        body: dict[str, object] = {"spec": {"replicas": args.replicas}}
        if args.current_replicas >= 0:
            scale = current.api.get(path)
            found = scale["spec"].get("replicas", 0)
            if found != args.current_replicas:
                raise CliError(f"{target}: there are {found} replicas, not {args.current_replicas}: left as it is")
            body["metadata"] = {"resourceVersion": scale["metadata"]["resourceVersion"]}
        current.api.request("PATCH", path, body=body, content_type=MERGE)
        print(f"{target} scaled")
    return Exit.OK
