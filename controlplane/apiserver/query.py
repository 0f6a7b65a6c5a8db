"""Query parameters as the API's options (meta/v1 ListOptions, CreateOptions, ..., core/v1 PodLogOptions). Pure.

A value that cannot be understood is a BadRequest that names the parameter; unknown parameters are ignored, as
Kubernetes does, since clients add their own (`pretty`, cache busters).
"""

import dataclasses
import re
from urllib.parse import parse_qs

import msgspec

from controlplane.registry.interface import ListOptions, WatchOptions, WriteOptions
from orch.api.meta import DeleteOptions
from orch.errors import BadRequest, Cause, Invalid
from orch.kit import durations

FIELD_VALIDATIONS = ("Strict", "Warn", "Ignore")
PROPAGATION_POLICIES = ("Foreground", "Background", "Orphan")
PARAMETERS_MAX = 1000
_INT64 = re.compile(r"[+-]?[0-9]{1,19}")
FIELD_MANAGER_MAX_BYTES = 128
UNKNOWN_MANAGER = "unknown"
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

    def has(self, name: str) -> bool:
        return name in self._values

    def flag(self, name: str, default: bool = False) -> bool:
        values = self._values.get(name)
        return values[0].lower() not in ("false", "0") if values else default

    def integer(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        if not _INT64.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
            raise BadRequest(f'invalid value "{text}" for query parameter "{name}": an integer of 64 bits is needed')
        return int(text)

    def timeout_s(self) -> float | None:
        """How long the client waits for its answer; None: it does not say (apiserver's filters/request_deadline.go)."""
        text = self.text("timeout")
        if not text:
            return None
        try:
            asked_s = durations.seconds(text)
        except ValueError as error:
            raise BadRequest(f"invalid timeout specified in the request URL - time: {error}") from None
        return asked_s if asked_s > 0 else None


NO_QUERY = Query("")


def list_options(query: Query) -> ListOptions:
    """Raises BadRequest, Invalid."""
    if query is NO_QUERY:
        return ListOptions()
    if query.has("sendInitialEvents"):
        why = "Forbidden: sendInitialEvents is forbidden for list"
        raise _invalid_option("ListOptions", "sendInitialEvents", why, "FieldValueForbidden")
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
        send_initial_events=query.flag("sendInitialEvents") if query.has("sendInitialEvents") else None,
    )


def _check_watch_match(query: Query) -> None:
    """As validateWatchOptions of apimachinery: sendInitialEvents (even false) and resourceVersionMatch go together."""
    match, initial = query.text("resourceVersionMatch"), query.has("sendInitialEvents")
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


def write_options(query: Query, method: str, user_agent: str) -> WriteOptions:
    """Raises BadRequest, Invalid. Without a fieldManager the client's name stands for it."""
    kind = _OPTIONS_OF_METHOD[method]
    if method == "PATCH" and query.text("force"):
        why = "Forbidden: may not be specified for non-apply patch"
        raise _invalid_option(kind, "force", why, "FieldValueForbidden")
    return _write_options(query, kind, query.text("fieldManager") or manager_of(user_agent))


def apply_options(query: Query) -> WriteOptions:
    """Raises BadRequest, Invalid."""
    kind, manager = _OPTIONS_OF_METHOD["PATCH"], query.text("fieldManager")
    if not manager:
        why = "Required value: is required for apply patch"
        raise _invalid_option(kind, "fieldManager", why, "FieldValueRequired")
    return dataclasses.replace(_write_options(query, kind, manager), force=query.flag("force"))


def manager_of(user_agent: str) -> str:
    """`kubectl/v1.33.0 (linux/amd64)` is `kubectl` (`prefixFromUserAgent` of apiserver)."""
    name = "".join(char for char in user_agent.partition("/")[0] if char.isprintable())
    return name.encode()[:FIELD_MANAGER_MAX_BYTES].decode(errors="ignore") or UNKNOWN_MANAGER


def _write_options(query: Query, kind: str, manager: str) -> WriteOptions:
    _check_field_manager(manager, kind)
    validation = query.text("fieldValidation") or "Warn"
    if validation not in FIELD_VALIDATIONS:
        raise _unsupported_option(kind, "fieldValidation", validation, FIELD_VALIDATIONS)
    return WriteOptions(
        dry_run=bool(dry_run(query.all("dryRun"), kind)),
        field_validation=validation,
        field_manager=manager,
    )


def _check_field_manager(manager: str, kind: str) -> None:
    """As ValidateFieldManager of apimachinery."""
    if len(manager.encode()) > FIELD_MANAGER_MAX_BYTES:
        why = f"Too long: may not be more than {FIELD_MANAGER_MAX_BYTES} bytes"
        raise _invalid_option(kind, "fieldManager", why, "FieldValueTooLong")
    if not manager.isprintable():
        why = f"Invalid value: {manager!r}: should only contain printable characters"
        raise _invalid_option(kind, "fieldManager", why, "FieldValueInvalid")


def dry_run(values: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """`All` is the only value; the empty string means no dry run. Raises Invalid."""
    named = tuple(value for value in values if value)
    for value in named:
        if value != "All":
            raise _unsupported_option(kind, "dryRun", value, ("All",))
    return named


def _unsupported_option(kind: str, field: str, value: str, supported: tuple[str, ...]) -> Invalid:
    names = ", ".join(f'"{known}"' for known in supported)
    why = f'Unsupported value: "{value}": supported values: {names}'
    return _invalid_option(kind, field, why, "FieldValueNotSupported")


def delete_options(query: Query, body: DeleteOptions) -> DeleteOptions:
    """The body's options, completed from the query. Raises BadRequest, Invalid."""
    orphan = query.flag("orphanDependents") if query.text("orphanDependents") else None
    options = msgspec.structs.replace(
        body,
        dry_run=dry_run((body.dry_run or ()) + query.all("dryRun"), "DeleteOptions") or None,
        grace_period_seconds=(
            query.integer("gracePeriodSeconds") if body.grace_period_seconds is None else body.grace_period_seconds
        ),
        orphan_dependents=orphan if body.orphan_dependents is None else body.orphan_dependents,
        propagation_policy=body.propagation_policy or query.text("propagationPolicy") or None,
    )
    _check_deletion(options)
    return options


def _check_deletion(options: DeleteOptions) -> None:
    """As ValidateDeleteOptions of apimachinery."""
    policy = options.propagation_policy
    if policy is not None and policy not in PROPAGATION_POLICIES:
        raise _unsupported_option("DeleteOptions", "propagationPolicy", policy, PROPAGATION_POLICIES)
    if policy is not None and options.orphan_dependents is not None:
        why = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        raise _invalid_option("DeleteOptions", "propagationPolicy", why, "FieldValueInvalid")
