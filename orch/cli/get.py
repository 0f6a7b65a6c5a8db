"""`orch get`: lists or single objects as a table, JSON, YAML or names; with -w it goes on with every change."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from orch.cli import output, session, tables, targets
from orch.cli.failures import CliError, Exit, exit_code, one_line
from orch.cli.session import Session, in_session
from orch.cli.targets import Target
from orch.errors import ApiError, OrchError

FORMS = ("wide", "json", "yaml", "name")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("what", nargs="+", metavar="TYPE[,TYPE] [NAME ...] | TYPE/NAME ...")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="in every namespace")
    parser.add_argument("-l", "--selector", default="", help="labels, such as app=web,tier!=cache")
    parser.add_argument("--field-selector", default="", help="fields, such as spec.nodeName=node-1")
    parser.add_argument("-o", "--output", default="", choices=("", *FORMS), help="instead of the plain table")
    parser.add_argument("-L", "--label-columns", default="", help="labels to show as columns, comma separated")
    parser.add_argument("--show-labels", action="store_true", help="all labels in a last column")
    parser.add_argument("--show-managed-fields", action="store_true", help="in JSON and YAML: who manages which field")
    parser.add_argument("--no-headers", action="store_true", help="leave the header line out")
    parser.add_argument("--ignore-not-found", action="store_true", help="a missing object is no error")
    parser.add_argument("-w", "--watch", action="store_true", help="go on printing changes")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    wanted = targets.parse(args.what, current.discovery)
    if args.watch and len(wanted) > 1:
        raise CliError("--watch follows one type or one object at a time", Exit.USAGE)
    if args.output in ("", "wide"):
        return _Tables(current, args, wanted).run()
    return _print_objects(current, args, wanted)


def _query(args: argparse.Namespace, target: Target) -> dict[str, str]:
    """A single object that is watched is a list of one, so that its absence and return are seen."""
    if target.name and not args.watch:
        return {}
    fields = [args.field_selector, f"metadata.name={target.name}" if target.name else ""]
    query = {"labelSelector": args.selector, "fieldSelector": ",".join(part for part in fields if part)}
    return {key: value for key, value in query.items() if value}


def _path(current: Session, target: Target, watched: bool) -> str:
    if target.name and not watched:
        return target.resource.path(current.namespace, target.name)
    return target.resource.path(current.scope)


class _Tables:
    """Tables of several targets, errors of single ones told at the end of the line."""

    def __init__(self, current: Session, args: argparse.Namespace, wanted: list[Target]) -> None:
        self._current, self._args, self._wanted = current, args, wanted
        self._code: int = Exit.OK
        self._several = len({target.resource for target in wanted}) > 1

    def run(self) -> int:
        printed = False
        for group in self._groups():
            printed = self._print_group(group, blank_before=printed) or printed
        if self._args.watch:
            return self._code
        if not printed and self._code == Exit.OK and not self._args.ignore_not_found:
            where = f" in {self._current.scope} namespace" if self._is_namespaced() and self._current.scope else ""
            print(f"No resources found{where}.", file=sys.stderr)
        return self._code

    def _is_namespaced(self) -> bool:
        return all(target.resource.namespaced for target in self._wanted)

    def _groups(self) -> Iterator[list[Target]]:
        """Targets of one type stand in one table, in the order in which they were named."""
        by_resource: dict[Any, list[Target]] = {}
        for target in self._wanted:
            by_resource.setdefault(target.resource, []).append(target)
        yield from by_resource.values()

    def _style(self, target: Target) -> tables.Style:
        args = self._args
        return tables.Style(
            wide=args.output == "wide",
            with_namespace=args.all_namespaces and target.resource.namespaced,
            label_columns=tuple(key for key in args.label_columns.split(",") if key),
            show_labels=args.show_labels,
            headers=not args.no_headers,
            name_prefix=f"{target.resource.qualified}/" if self._several else "",
        )

    def _print_group(self, group: list[Target], *, blank_before: bool) -> bool:
        """Whether anything was printed."""
        style = self._style(group[0])
        fetched = [table for target in group if (table := self._fetch(target, style))]
        lines = [row for table in fetched for row in tables.rows(table, style)]
        if fetched and lines:
            title = [tables.header(fetched[0], style)] if style.headers else []
            sys.stdout.write(("\n" if blank_before and self._several else "") + tables.align([*title, *lines]))
        if self._args.watch and fetched:
            self._follow(group[0], fetched[0], style, lines)
        return bool(lines)

    def _fetch(self, target: Target, style: tables.Style) -> dict[str, Any] | None:
        query = _query(self._args, target) | {"includeObject": "Metadata" if style.needs_metadata else "None"}
        try:
            path = _path(self._current, target, self._args.watch)
            table: dict[str, Any] = self._current.api.get(path, query, accept=tables.ACCEPT)
            return table
        except ApiError as error:
            if not (error.code == 404 and self._args.ignore_not_found):
                self._code = exit_code(error)
                print(f"orch: {one_line(error)}", file=sys.stderr)
            return None

    def _follow(self, target: Target, table: dict[str, Any], style: tables.Style, lines: list[tables.Row]) -> None:
        """Rows of the watch, aligned with what stands above. Ends when the server ends the watch for good."""
        sys.stdout.flush()
        measured = tables.widths([tables.header(table, style), *lines])
        if not lines and style.headers:
            sys.stdout.write(tables.align([tables.header(table, style)], measured))
        revision = table["metadata"]["resourceVersion"]
        query = _query(self._args, target) | {"includeObject": "Metadata"}
        for event in watch(self._current, _path(self._current, target, True), query, revision, accept=tables.ACCEPT):
            sys.stdout.write(tables.align(tables.rows(event["object"], style, columns=table), measured))
            sys.stdout.flush()


def watch(
    current: Session, path: str, query: dict[str, str], revision: str, *, accept: str
) -> Iterator[dict[str, Any]]:
    """Watch events, resumed from the last seen revision when the server closes a watch. Raises ApiError (Expired)."""
    while True:
        request = query | {"watch": "1", "resourceVersion": revision, "allowWatchBookmarks": "true"}
        for line in current.api.lines(path, request, accept=accept):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise _watch_error(event["object"])
            revision = _revision(event["object"]) or revision
            if event["type"] != "BOOKMARK":
                yield event


def _revision(obj: dict[str, Any]) -> str:
    """Of an object, or of the one row of a Table."""
    rows = obj.get("rows")
    metadata = ((rows[0].get("object") or {}).get("metadata") if rows else None) or obj.get("metadata") or {}
    return str(metadata.get("resourceVersion") or "")


def _watch_error(status: dict[str, Any]) -> OrchError:
    from orch.errors import from_status

    return from_status(status)


def _print_objects(current: Session, args: argparse.Namespace, wanted: list[Target]) -> int:
    collected: list[dict[str, Any]] = []
    code: int = Exit.OK
    for target in wanted:
        try:
            found = fetch_objects(current, target, _query(args, target), args.watch)
        except ApiError as error:
            if error.code == 404 and args.ignore_not_found:
                continue
            print(f"orch: {one_line(error)}", file=sys.stderr)
            code = exit_code(error)
            continue
        collected += found
        if args.output == "name":
            sys.stdout.write(output.names(target.resource, found))
    as_list = not (len(wanted) == 1 and wanted[0].name)
    if args.output != "name" and (collected or as_list):
        output.write_objects(args.output, collected, as_list=as_list, managed_fields=args.show_managed_fields)
    if args.watch:
        _follow_objects(current, args, wanted[0])
    return code


def fetch_objects(
    current: Session, target: Target, query: dict[str, str], watched: bool = False
) -> list[dict[str, Any]]:
    """The object of a named target, else the list; items carry apiVersion and kind."""
    answer = current.api.get(_path(current, target, watched), query)
    if "items" not in answer:
        return [answer]
    identity = {"apiVersion": target.resource.api_version, "kind": target.resource.kind}
    return [identity | item for item in answer["items"] or ()]


def _follow_objects(current: Session, args: argparse.Namespace, target: Target) -> None:
    sys.stdout.flush()
    path, query = _path(current, target, True), _query(args, target)
    revision = current.api.get(path, query | {"limit": "1"})["metadata"]["resourceVersion"]
    for event in watch(current, path, query, revision, accept="application/json"):
        if args.output == "name":
            sys.stdout.write(output.names(target.resource, [event["object"]]))
        else:
            shown = [event["object"]]
            output.write_objects(args.output, shown, as_list=False, managed_fields=args.show_managed_fields)
        sys.stdout.flush()
