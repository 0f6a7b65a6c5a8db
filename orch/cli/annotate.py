"""`orch annotate`: sets annotations of objects (KEY=VALUE) and takes them away (KEY-)."""

import argparse

from orch.cli import patching, selection, session
from orch.cli.session import Session, in_session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    selection.add_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace values that are there")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    return patching.change_metadata(current, args, "annotations", "annotated")
