"""`orch api-resources`: the types that the server has, with the short names that every verb understands."""

import argparse
import sys

from orch.cli import session, tables
from orch.cli.failures import Exit
from orch.cli.session import Session, in_session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    resources = sorted(current.discovery.all(), key=lambda r: (r.group, r.plural))
    lines = [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    lines += [
        [r.plural, ",".join(r.short_names), r.api_version, "true" if r.namespaced else "false", r.kind]
        for r in resources
    ]
    sys.stdout.write(tables.align(lines))
    return Exit.OK
