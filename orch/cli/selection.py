"""The objects that a command line of delete or wait selects: by name, by labels (-l), or --all of a type."""

import argparse
from dataclasses import dataclass

from orch.cli import targets
from orch.cli.failures import CliError, Exit
from orch.cli.get import fetch_objects
from orch.cli.session import Session
from orch.cli.targets import Target


@dataclass(frozen=True, slots=True)
class Located:
    """A named object and the namespace it is in (empty for cluster-scoped types)."""

    target: Target
    namespace: str

    def path(self) -> str:
        return self.target.path(self.namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", metavar="TYPE NAME ... | TYPE/NAME ... | TYPE")
    parser.add_argument("-l", "--selector", default="", help="objects with these labels")
    parser.add_argument("--all", action="store_true", help="every object of the type in the namespace")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="with -l or --all: in every namespace")


def select(current: Session, args: argparse.Namespace) -> list[Located]:
    """Raises CliError when the words say neither names nor a rule."""
    wanted = targets.parse(args.what, current.discovery)
    if all(target.name for target in wanted):
        if args.selector or args.all:
            raise CliError("names together with -l or --all: choose one", Exit.USAGE)
        return [Located(target, current.namespace) for target in wanted]
    if not args.selector and not args.all:
        raise CliError(f"which {args.what[0]}? Give names, -l LABELS or --all", Exit.USAGE)
    query = {"labelSelector": args.selector} if args.selector else {}
    return [
        Located(Target(target.resource, obj["metadata"]["name"]), obj["metadata"].get("namespace", ""))
        for target in wanted
        for obj in fetch_objects(current, target, query)
    ]
