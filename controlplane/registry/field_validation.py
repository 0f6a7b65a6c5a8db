"""What becomes of fields that a body has and its type has not (meta/v1 FieldValidation)."""

from collections.abc import Callable
from typing import TypeVar

from orch.api.kind import Decoded
from orch.api.meta import Object
from orch.errors import ApiError

T = TypeVar("T", bound=Object)


def validated(
    decoded: Decoded[T], validation: str, warn: Callable[[str], None], refusal: Callable[[str], ApiError]
) -> T:
    """Unknown and duplicate fields are refused (Strict), warned about (Warn) or dropped (Ignore). Raises `refusal`."""
    if decoded.problems and validation == "Strict":
        raise refusal(f"strict decoding error: {', '.join(decoded.problems)}")
    if validation == "Warn":
        for problem in decoded.problems:
            warn(problem)
    return decoded.obj
