"""`orch apply`: makes objects as files say. Checks all of them before it changes the first.

Three-way, as kubectl does it: what the file said last time (kept in an annotation), what it says now, what the server
has. So fields that others set stay, and fields that left the file go. Works on plain data; the server validates.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from orch.cli import manifests, output, session
from orch.cli.failures import CliError, Exit, causes_line
from orch.cli.manifests import Document
from orch.cli.session import Session, in_session
from orch.cli.targets import Target
from orch.errors import AlreadyExists, ApiError, Forbidden, NotFound

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own key, so that both tools can be used on one object."""
FIELD_MANAGER = "orch-client-side-apply"
ADMISSION_KINDS = ("PriorityClass", "RuntimeClass", "ServiceAccount")
"""What admission looks up for a pod."""
FIRST_KINDS = ("Namespace", "CustomResourceDefinition", *ADMISSION_KINDS)
"""Made before everything else, wherever they stand in the files: others need them."""
EXISTING_NAMESPACE = "default"
"""Where objects are checked whose own namespace is only about to be made."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("-f", "--filename", action="append", required=True, help="file, folder, or - for stdin")
    parser.add_argument("-R", "--recursive", action="store_true", help="look into folders of folders")
    parser.add_argument("--dry-run", choices=("none", "server"), default="none", help="server: check, change nothing")
    parser.add_argument("-o", "--output", default="", choices=("", "json", "yaml", "name"))


@dataclass(frozen=True, slots=True)
class Change:
    """What one document needs. `method` is POST, PATCH, or empty when the server has it so already."""

    document: Document
    target: Target
    namespace: str
    live: dict[str, Any]
    method: str = ""
    body: dict[str, Any] | None = None
    content_type: str = "application/json"

    @property
    def verb(self) -> str:
        return {"POST": "created", "PATCH": "configured"}.get(self.method, "unchanged")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    documents = sorted(manifests.load(args.filename, recursive=args.recursive), key=_rank)
    changes = []
    for document in documents:
        with naming(document):
            changes.append(_plan(current, document, args.namespace))
    new = [change.document for change in changes if change.method == "POST"]
    to_come = {document.name for document in new if document.kind == "Namespace"}
    needs_to_come = any(document.kind in ADMISSION_KINDS for document in new)
    for change in changes:
        # Admission may refuse what names an object of these very files: that is decided when the object is there.
        with naming(change.document), suppress(*([Forbidden] if needs_to_come else [])):
            _check(current, change, to_come)
    results = []
    for change in changes:
        with naming(change.document):
            results.append(change.live if args.dry_run == "server" else _carry_out(current, change))
        _report(change, args)
    if args.output in ("json", "yaml"):
        output.write_objects(args.output, results, as_list=len(results) > 1)
    return Exit.OK


@contextmanager
def naming(document: Document) -> Iterator[None]:
    """Names the document in errors of the step inside."""
    try:
        yield
    except CliError as error:
        raise CliError(f"{document.place}: {error}", error.code) from error
    except ApiError as error:
        raise CliError(f"{document.place}: {causes_line(error)}") from error


def _rank(document: Document) -> int:
    return FIRST_KINDS.index(document.kind) if document.kind in FIRST_KINDS else len(FIRST_KINDS)


def object_namespace(current: Session, document: Document, target: Target, asked: str) -> str:
    """The object's own, else the session's. Raises CliError when -n says otherwise than the file."""
    if not target.resource.namespaced:
        return ""
    if asked and document.namespace not in ("", asked):
        raise CliError(f"metadata.namespace: is {document.namespace!r}, but -n says {asked!r}: drop one of the two")
    return document.namespace or current.namespace


def _plan(current: Session, document: Document, asked: str) -> Change:
    target = Target(current.discovery.of_kind(document.api_version, document.kind), document.name)
    namespace = object_namespace(current, document, target, asked)
    modified = annotated(document.plain, namespace)
    try:
        live = current.api.get(target.path(namespace))
    except NotFound:
        return Change(document, target, namespace, {}, "POST", modified)
    content_type, patch = three_way(target, modified, live)
    if not patch:
        return Change(document, target, namespace, live)
    return Change(document, target, namespace, live, "PATCH", patch, content_type)


def annotated(plain: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The object with its own text in the annotation that the next apply compares with."""
    obj = copy.deepcopy(plain)
    if namespace:
        obj["metadata"]["namespace"] = namespace
    annotations = obj["metadata"].get("annotations")
    if annotations is not None and not isinstance(annotations, dict):
        raise CliError("metadata.annotations: must be a mapping")
    kept = {key: value for key, value in (annotations or {}).items() if key != LAST_APPLIED}
    obj["metadata"]["annotations"] = kept
    text = json.dumps(obj, separators=(",", ":"), sort_keys=True) + "\n"
    obj["metadata"]["annotations"] = kept | {LAST_APPLIED: text}
    return obj


def three_way(target: Target, modified: dict[str, Any], live: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(Content-Type, patch). Lists merge by key for kinds whose types we know, else they are replaced whole."""
    from orch.api.kinds import builtin_kinds
    from orch.patch import merge_patch, patches

    original = json.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED) or "{}")
    kind = builtin_kinds().by_kind(target.resource.api_version, target.resource.kind)
    if kind is None:
        return "application/merge-patch+json", merge_patch.three_way(original, modified, live)
    return patches.three_way_patch(kind, original, modified, live)


def _check(current: Session, change: Change, to_come: set[str]) -> None:
    """Raises ApiError for what the server would refuse. Objects of a namespace to come are checked in another."""
    if change.namespace not in to_come:
        _send(current, change, dry_run=True)
        return
    body = copy.deepcopy(change.body or {})
    body["metadata"]["namespace"] = EXISTING_NAMESPACE
    elsewhere = Change(change.document, change.target, EXISTING_NAMESPACE, {}, change.method, body)
    try:
        _send(current, elsewhere, dry_run=True)
    except AlreadyExists:
        return  # found good before the name was looked at


def _carry_out(current: Session, change: Change) -> dict[str, Any]:
    return _send(current, change, dry_run=False)


def _send(current: Session, change: Change, *, dry_run: bool) -> dict[str, Any]:
    if not change.method:
        return change.live
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    path = (
        change.target.resource.path(change.namespace)
        if change.method == "POST"
        else change.target.path(change.namespace)
    )
    answer: dict[str, Any] = current.api.request(
        change.method, path, query, change.body, content_type=change.content_type
    )
    return answer


def _report(change: Change, args: argparse.Namespace) -> None:
    if args.output in ("json", "yaml"):
        return
    suffix = " (server dry run)" if args.dry_run == "server" else ""
    print(change.target if args.output == "name" else f"{change.target} {change.verb}{suffix}")
    sys.stdout.flush()
