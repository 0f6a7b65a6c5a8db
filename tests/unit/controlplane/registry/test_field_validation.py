"""What each of fieldValidation makes of odd fields."""

import pytest

from controlplane.registry.field_validation import validated
from orch.api.configmap import ConfigMap
from orch.api.kind import Decoded
from orch.errors import BadRequest

ODD = Decoded(ConfigMap(), ('unknown field "a"', 'duplicate field "b"'))


@pytest.mark.parametrize(("validation", "told"), [("Ignore", ()), ("", ()), ("Warn", ODD.problems)])
def test_lenient_ones_take_the_object(validation: str, told: tuple[str, ...]) -> None:
    warnings: list[str] = []
    assert validated(ODD, validation, warnings.append, BadRequest) is ODD.obj
    assert tuple(warnings) == told


def test_strict_refuses_all_of_them_at_once() -> None:
    with pytest.raises(BadRequest, match='strict decoding error: unknown field "a", duplicate field "b"'):
        validated(ODD, "Strict", [].append, BadRequest)
