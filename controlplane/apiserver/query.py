"""Query parameters as the API's options (meta/v1 ListOptions, CreateOptions, ..., core/v1 PodLogOptions). Pure.

A value that cannot be understood is a BadRequest that names the parameter; unknown parameters are ignored, as
Kubernetes does, since clients add their own (`pretty`, cache busters).
"""

from urllib.parse import parse_qs

import msgspec

from controlplane.registry.interface import ListOptions, WatchOptions, WriteOptions
from orch.api.meta import DeleteOptions
from orch.errors import BadRequest

FIELD_VALIDATIONS = ("Strict", "Warn", "Ignore")
PARAMETERS_MAX = 1000


class Query:
    """Parsed query string; the last of repeated values does not win, the first does (as in Kubernetes)."""

    __slots__ = ("_values",)

    def __init__(self, text: str) -> None:
        try:
            self._values = parse_qs(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX) if text else {}
        except ValueError as error:
            raise BadRequest(f"invalid query string: {error}") from error

    def text(self, name: str) -> str:
        values = self._values.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def flag(self, name: str, default: bool = False) -> bool:
        values = self._values.get(name)
        return values[0].lower() not in ("false", "0") if values else default

    def integer(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise BadRequest(f'invalid value "{text}" for query parameter "{name}": an integer is needed') from None


NO_QUERY = Query("")


def list_options(query: Query) -> ListOptions:
    if query is NO_QUERY:
        return ListOptions()
    limit = query.integer("limit") or 0
    if limit < 0:
        raise BadRequest(f'invalid value "{limit}" for query parameter "limit": must not be negative')
    return ListOptions(
        label_selector=query.text("labelSelector"),
        field_selector=query.text("fieldSelector"),
        resource_version=query.text("resourceVersion"),
        resource_version_match=query.text("resourceVersionMatch"),
        limit=limit,
        continue_token=query.text("continue"),
    )


def watch_options(query: Query, name: str = "") -> WatchOptions:
    """`name`: the watch was asked for on one object's path; it becomes a field selector."""
    field_selector = query.text("fieldSelector")
    if name:
        field_selector = f"metadata.name={name}" + (f",{field_selector}" if field_selector else "")
    return WatchOptions(
        label_selector=query.text("labelSelector"),
        field_selector=field_selector,
        resource_version=query.text("resourceVersion"),
        bookmarks=query.flag("allowWatchBookmarks"),
        send_initial_events=query.flag("sendInitialEvents"),
    )


def write_options(query: Query, user_agent: str) -> WriteOptions:
    """`user_agent`: without a fieldManager its first word names the manager, as in Kubernetes."""
    validation = query.text("fieldValidation") or "Warn"
    if validation not in FIELD_VALIDATIONS:
        raise BadRequest(
            f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Warn", "Strict"'
        )
    return WriteOptions(
        dry_run=bool(dry_run(query.all("dryRun"))),
        field_manager=query.text("fieldManager") or user_agent.partition("/")[0],
        field_validation=validation,
    )


def dry_run(values: tuple[str, ...]) -> tuple[str, ...]:
    """`All` is the only value; the empty string means no dry run."""
    named = tuple(value for value in values if value)
    for value in named:
        if value != "All":
            raise BadRequest(f'dryRun: Unsupported value: "{value}": supported values: "All"')
    return named


def delete_options(query: Query, body: DeleteOptions) -> DeleteOptions:
    """The body's options, completed from the query."""
    orphan = query.flag("orphanDependents") if query.text("orphanDependents") else None
    return msgspec.structs.replace(
        body,
        dry_run=dry_run((body.dry_run or ()) + query.all("dryRun")) or None,
        grace_period_seconds=(
            query.integer("gracePeriodSeconds") if body.grace_period_seconds is None else body.grace_period_seconds
        ),
        orphan_dependents=orphan if body.orphan_dependents is None else body.orphan_dependents,
        propagation_policy=body.propagation_policy or query.text("propagationPolicy") or None,
    )
