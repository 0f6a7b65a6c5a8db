"""`orch patch`: changes objects by a strategic-merge, merge or JSON patch given as JSON or YAML."""

import argparse
from typing import Any

from orch.cli import patching, session, targets
from orch.cli.failures import CliError, Exit
from orch.cli.session import Session, in_session

TYPES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": patching.MERGE,
    "json": "application/json-patch+json",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("what", nargs="+", metavar="TYPE/NAME | TYPE NAME")
    parser.add_argument("-p", "--patch", required=True, help="the patch, as JSON or YAML")
    parser.add_argument("--type", choices=sorted(TYPES), default="strategic", help="how it is read")
    parser.add_argument("--subresource", choices=("status", "scale"), default="", help="the part that it changes")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    patch = parse(args.patch)
    for target in targets.parse_named(args.what, current.discovery):
        patching.send(current, target.path(current.namespace, args.subresource), patch, TYPES[args.type])
        print(f"{target} patched")
    return Exit.OK


def parse(text: str) -> Any:
    """Raises CliError for text that is no YAML (of which JSON is a part) or says nothing."""
    import yaml  # only who patches pays for it

    try:
        patch = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CliError(f"--patch: is no JSON or YAML: {error}", Exit.USAGE) from error
    if not isinstance(patch, dict | list):
        raise CliError("--patch: must be an object, or a list for --type json", Exit.USAGE)
    return patch
