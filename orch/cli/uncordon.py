"""`orch uncordon`: new pods may come to a node again."""

import argparse

from orch.cli import cordon
from orch.cli.session import Session, in_session

add_arguments = cordon.add_arguments


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    return cordon.mark(current, args.nodes, unschedulable=False)
