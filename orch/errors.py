"""The one error tree. Every failure that a client of the API can see is an `ApiError`.

An error carries what the Status body of the Kubernetes API carries (meta/v1 Status): code, reason, message, details.
The HTTP layer turns it into a response in one place and `HttpClient` turns a response back in one place; nothing else
knows status codes. Errors that are not `ApiError` are faults of the program or of a part below it.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

INTERNAL_ERROR = "Internal error occurred: "
"""How Kubernetes begins the message of many an InternalError."""


class OrchError(Exception):
    """Base of all errors that the project raises on purpose."""


class Cause(NamedTuple):
    """One reason why an object was refused: a StatusCause. `field` is a path such as `spec.containers[0].name`.

    A NamedTuple, since the command line starts faster without `dataclasses`.
    """

    reason: str
    message: str
    field: str = ""

    def to_plain(self) -> dict[str, str]:
        plain = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in plain.items() if value}


class ApiError(OrchError):
    """An error with a Status body. `reason` is a metav1.StatusReason, `code` the HTTP status."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        kind: str = "",
        name: str = "",
        uid: str = "",
        causes: Sequence[Cause] = (),
        retry_after_s: int = 0,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.group, self.kind, self.name, self.uid = group, kind, name, uid
        self.causes = tuple(causes)
        self.retry_after_s = retry_after_s
        self.continue_token = continue_token

    def to_status(self) -> dict[str, Any]:
        """The Status object of this error, as plain data. Fields stand in the order of Kubernetes: there are programs
        that compare the text."""
        details: dict[str, Any] = {
            key: value
            for key, value in (("name", self.name), ("group", self.group), ("kind", self.kind), ("uid", self.uid))
            if value
        }
        if self.causes:
            details["causes"] = [cause.to_plain() for cause in self.causes]
        if self.retry_after_s:
            details["retryAfterSeconds"] = self.retry_after_s
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": details} if details else {}),
            "code": self.code,
        }


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """A compare-and-swap lost: the object changed since it was read, or a precondition does not hold."""

    code, reason = 409, "Conflict"


class Expired(ApiError):
    """The resourceVersion or continue token is older than the history that is kept: list again.

    `continue_token`, where there is one, gives the rest of a list as it is now."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object was understood and refused; `causes` names every field that is wrong."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """A fault of the server or of a part below it. The failure is a cause too, as Kubernetes' NewInternalError has it:
    clients that ask how a command ended read `details.causes` of whatever failure they get."""

    code, reason = 500, "InternalError"

    def __init__(self, message: str, *, causes: Sequence[Cause] = (), **details: Any) -> None:
        failure = Cause("", message.removeprefix(INTERNAL_ERROR))
        super().__init__(message, causes=causes or (failure,), **details)


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """Not answered in time; with cause ResourceVersionTooLarge: the revision lies in the future."""

    code, reason = 504, "Timeout"


_BY_REASON: dict[str, type[ApiError]] = {
    error.reason: error
    for error in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict,
        Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
        ServiceUnavailable, Timeout,
    )
}  # fmt: skip


def from_status(status: dict[str, Any]) -> ApiError:
    """The error that a Status body describes; an unknown reason becomes an InternalError with the same message."""
    details = status.get("details") or {}
    error = _BY_REASON.get(status.get("reason", ""), InternalError)
    return error(
        status.get("message", ""),
        group=details.get("group", ""),
        kind=details.get("kind", ""),
        name=details.get("name", ""),
        uid=details.get("uid", ""),
        causes=[
            Cause(c.get("reason", ""), c.get("message", ""), c.get("field", "")) for c in details.get("causes", ())
        ],
        retry_after_s=details.get("retryAfterSeconds", 0),
        continue_token=(status.get("metadata") or {}).get("continue", ""),
    )
