"""How the CLI fails: exit codes that scripts can trust, and one line per error: what, where, what to do.

`orch exec` passes the command's own exit code through; every other verb ends with one of `Exit`.
"""

from enum import IntEnum

from orch.errors import ApiError, Cause, NotFound, OrchError

CAUSES_SHOWN_MAX = 5


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    """Refused, failed, or not finished as asked (a rollout past its deadline)."""
    USAGE = 2
    """The command line is wrong (argparse's own code)."""
    NOT_FOUND = 3
    """An object that was named does not exist."""
    TIMEOUT = 4
    """--timeout ran out before what was waited for happened."""
    UNREACHABLE = 5
    """No answer from the server: connection refused, TLS failure, no such host."""
    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT, as shells report it."""


class CliError(OrchError):
    """An error that is shown as it is."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: OrchError) -> Exit:
    if isinstance(error, CliError):
        return error.code
    return Exit.NOT_FOUND if isinstance(error, NotFound) else Exit.ERROR


def one_line(error: OrchError) -> str:
    """The message without line breaks. A refused object is named by its fields, since the message repeats them."""
    if isinstance(error, ApiError) and error.causes:
        what = f'{error.kind} "{error.name}"' if error.kind and error.name else error.kind or "the object"
        return f"{what}: {causes_line(error)}"
    return " ".join(str(error).split()) or type(error).__name__


def causes_line(error: ApiError) -> str:
    """Field by field what is wrong, for where the object has been named already; else the whole message."""
    if not error.causes:
        return one_line(error)
    shown = "; ".join(_cause(cause) for cause in error.causes[:CAUSES_SHOWN_MAX])
    more = len(error.causes) - CAUSES_SHOWN_MAX
    return " ".join(f"{shown}{f' (and {more} more)' if more > 0 else ''}".split())


def _cause(cause: Cause) -> str:
    return f"{cause.field}: {cause.message}" if cause.field and cause.field not in cause.message else cause.message
