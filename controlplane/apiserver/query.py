"""Query parameters as the API's options (meta/v1 ListOptions, CreateOptions, ..., core/v1 PodLogOptions). Pure.

A value that cannot be understood is a BadRequest that names the parameter; unknown parameters are ignored, as
Kubernetes does, since clients add their own (`pretty`, cache busters).
"""

from urllib.parse import parse_qs

import msgspec

from controlplane.registry.interface import ListOptions, WatchOptions, WriteOptions
from orch.api.meta import DeleteOptions
from orch.errors import BadRequest, Cause, Invalid

FIELD_VALIDATIONS = ("Strict", "Warn", "Ignore")
PARAMETERS_MAX = 1000
FIELD_MANAGER_MAX_BYTES = 128
NOT_OLDER_THAN = "NotOlderThan"
_OPTIONS_OF_METHOD = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}


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
    """`name`: the watch was asked for on one object's path; it becomes a field selector. Raises BadRequest, Invalid."""
    _check_watch_match(query)
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


def _check_watch_match(query: Query) -> None:
    """As validateWatchOptions of apimachinery: sendInitialEvents (even false) and resourceVersionMatch go together."""
    match, initial = query.text("resourceVersionMatch"), query.text("sendInitialEvents")
    why = ""
    if initial and match != NOT_OLDER_THAN:
        why = f"Forbidden: sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
    elif match and not initial:
        why = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    elif match and query.text("continue"):
        why = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    if why:
        raise _invalid_option("ListOptions", "resourceVersionMatch", why, "FieldValueForbidden")


def _invalid_option(kind: str, field: str, why: str, reason: str) -> Invalid:
    return Invalid(
        f'{kind}.meta.k8s.io "" is invalid: {field}: {why}',
        group="meta.k8s.io",
        kind=kind,
        causes=[Cause(reason, why, field)],
    )


def write_options(query: Query, method: str) -> WriteOptions:
    """Raises BadRequest, Invalid. A fieldManager is checked and no more: no write keeps who managed a field."""
    _check_field_manager(query.text("fieldManager"), _OPTIONS_OF_METHOD[method])
    validation = query.text("fieldValidation") or "Warn"
    if validation not in FIELD_VALIDATIONS:
        raise BadRequest(
            f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Warn", "Strict"'
        )
    return WriteOptions(
        dry_run=bool(dry_run(query.all("dryRun"))),
        field_validation=validation,
    )


def _check_field_manager(manager: str, kind: str) -> None:
    """As ValidateFieldManager of apimachinery."""
    if len(manager.encode()) > FIELD_MANAGER_MAX_BYTES:
        why = f"Too long: may not be more than {FIELD_MANAGER_MAX_BYTES} bytes"
        raise _invalid_option(kind, "fieldManager", why, "FieldValueTooLong")
    if not manager.isprintable():
        why = f"Invalid value: {manager!r}: should only contain printable characters"
        raise _invalid_option(kind, "fieldManager", why, "FieldValueInvalid")


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
