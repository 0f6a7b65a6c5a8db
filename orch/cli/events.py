"""`orch events`: what happened, oldest first; of everything, or --for one object; with -w as it happens."""

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from orch.cli import session, tables, targets
from orch.cli.durations import age
from orch.cli.failures import Exit
from orch.cli.get import watch
from orch.cli.session import Session, in_session

JSON = "application/json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="in every namespace")
    parser.add_argument("--for", dest="about", default="", metavar="TYPE/NAME", help="only events of this object")
    parser.add_argument("--types", default="", help="Normal, Warning, or both with a comma")
    parser.add_argument("-w", "--watch", action="store_true", help="go on printing new events")
    parser.add_argument("--no-headers", action="store_true", help="leave the header line out")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    events_path = current.discovery.named("events")[0].path(current.scope)
    selector = _selector(current, args.about)
    answer = current.api.get(events_path, selector)
    types = {name.strip().lower() for name in args.types.split(",") if name.strip()}
    found = [event for event in by_time(answer.get("items") or []) if _wanted(event, types)]
    if not found and not args.watch:
        print(f"No events found{f' in {current.scope} namespace' if current.scope else ''}.", file=sys.stderr)
        return Exit.OK
    measured = _print(found, args)
    if args.watch:
        revision = answer["metadata"]["resourceVersion"]
        for change in watch(current, events_path, selector, revision, accept=JSON):
            if change["type"] != "DELETED" and _wanted(change["object"], types):
                sys.stdout.write(tables.align([_row(change["object"], args.all_namespaces)], measured))
                sys.stdout.flush()
    return Exit.OK


def by_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(events, key=last_seen)


def last_seen(event: dict[str, Any]) -> str:
    """RFC 3339 text; both old (lastTimestamp) and new (eventTime, series) events."""
    series = event.get("series") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((moment for moment in moments if moment), event["metadata"].get("creationTimestamp") or "")


def count(event: dict[str, Any]) -> int:
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)


def since(event: dict[str, Any], now: datetime) -> str:
    """`5s`, or `5s (x3 over 2m)` for one that repeats."""
    last = age(last_seen(event), now)
    if count(event) <= 1:
        return last
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{last} (x{count(event)} over {age(first, now)})"


def _selector(current: Session, about: str) -> dict[str, str]:
    if not about:
        return {}
    target = targets.parse_named([about], current.discovery)[0]
    return {"fieldSelector": f"involvedObject.kind={target.resource.kind},involvedObject.name={target.name}"}


def _wanted(event: dict[str, Any], types: set[str]) -> bool:
    return not types or event.get("type", "").lower() in types


def _print(found: list[dict[str, Any]], args: argparse.Namespace) -> list[int]:
    title = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    lines = [[*(["NAMESPACE"] if args.all_namespaces else []), *title]] if not args.no_headers else []
    lines += [_row(event, args.all_namespaces) for event in found]
    sys.stdout.write(tables.align(lines))
    sys.stdout.flush()
    return tables.widths(lines)


def _row(event: dict[str, Any], with_namespace: bool) -> tables.Row:
    about = event.get("involvedObject") or {}
    cells = [
        since(event, datetime.now(UTC)),
        event.get("type") or "",
        event.get("reason") or "",
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        (event.get("message") or "").strip().replace("\n", " "),
    ]
    return [event["metadata"].get("namespace", ""), *cells] if with_namespace else cells
