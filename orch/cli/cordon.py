"""`orch cordon`: no new pods come to a node (spec.unschedulable)."""

import argparse

from orch.cli import patching, session, targets
from orch.cli.failures import Exit
from orch.cli.session import Session, in_session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("nodes", nargs="+", metavar="NODE")


def mark(current: Session, nodes: list[str], *, unschedulable: bool) -> int:
    done = "cordoned" if unschedulable else "uncordoned"
    for target in targets.parse_named(["nodes", *nodes], current.discovery):
        was = current.api.get(target.path(current.namespace))["spec"].get("unschedulable", False)
        if was != unschedulable:
            patching.send(current, target.path(current.namespace), {"spec": {"unschedulable": unschedulable or None}})
        print(f"{target} {'already ' if was == unschedulable else ''}{done}")
    return Exit.OK


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    return mark(current, args.nodes, unschedulable=True)
