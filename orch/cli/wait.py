"""`orch wait`: until objects have a condition, are created, or are gone."""

import argparse
from dataclasses import dataclass
from typing import Any

from orch.cli import selection, session
from orch.cli.durations import seconds
from orch.cli.failures import CliError, Exit
from orch.cli.session import Session, in_session
from orch.cli.waiting import until
from orch.errors import NotFound

TIMEOUT_DEFAULT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    selection.add_arguments(parser)
    parser.add_argument("--for", dest="goal", required=True, metavar="condition=NAME[=VALUE] | create | delete")
    parser.add_argument("--timeout", type=seconds, default=TIMEOUT_DEFAULT_S, help="how long (default 30s)")


@dataclass(frozen=True, slots=True)
class Goal:
    """`verb` is condition, create or delete; the other two are of a condition."""

    verb: str
    condition: str = ""
    value: str = ""

    def reached(self, obj: dict[str, Any] | None) -> bool:
        """`obj` is None when there is none."""
        if obj is None:
            return self.verb == "delete"
        return self.verb == "create" or (self.verb == "condition" and has_condition(obj, self.condition, self.value))

    @property
    def done(self) -> str:
        return {"delete": "deleted", "create": "created", "condition": "condition met"}[self.verb]


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    goal = parse_goal(args.goal)
    chosen = selection.select(current, args)
    if not chosen and goal.verb != "delete":
        raise CliError("no matching objects", Exit.NOT_FOUND)
    for located in chosen:

        def probe(path: str = located.path()) -> bool | None:
            return True if goal.reached(_object(current, path, goal)) else None

        until(probe, timeout_s=args.timeout, what=f"{located.target}: {args.goal}")
        print(f"{located.target} {goal.done}")
    return Exit.OK


def _object(current: Session, path: str, goal: Goal) -> dict[str, Any] | None:
    """Raises NotFound where a missing object can never reach the goal."""
    try:
        obj: dict[str, Any] = current.api.get(path)
        return obj
    except NotFound:
        if goal.verb == "condition":
            raise
        return None


def parse_goal(text: str) -> Goal:
    """Raises CliError."""
    if text in ("delete", "create"):
        return Goal(text)
    verb, _, rest = text.partition("=")
    condition, _, value = rest.partition("=")
    if verb != "condition" or not condition:
        raise CliError(f"--for={text}: must be condition=NAME, condition=NAME=VALUE, create or delete", Exit.USAGE)
    return Goal(verb, condition, value or "True")


def has_condition(obj: dict[str, Any], condition: str, value: str) -> bool:
    """A condition counts only if it speaks of the object's present generation."""
    generation = obj["metadata"].get("generation", 0)
    for found in obj.get("status", {}).get("conditions") or ():
        if found["type"].lower() == condition.lower():
            current = found.get("observedGeneration", generation) >= generation
            return current and str(found["status"]).lower() == value.lower()
    return False
