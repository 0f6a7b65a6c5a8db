from orch.api.causes import Causes, invalid
from orch.api.kinds import DEPLOYMENTS, PODS


def test_the_message_of_a_422_joins_its_causes() -> None:
    causes = Causes()
    causes.required("spec.selector")
    assert invalid(DEPLOYMENTS, "web", causes.found).message == (
        'Deployment.apps "web" is invalid: spec.selector: Required value'
    )
    causes.invalid("spec.replicas", -1, "must be greater than or equal to 0")
    error = invalid(PODS, "web", causes.found)
    assert error.message == (
        'Pod "web" is invalid: [spec.selector: Required value, '
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0]"
    )
    assert [cause["field"] for cause in error.to_status()["details"]["causes"]] == ["spec.selector", "spec.replicas"]


def test_values_are_shown_as_json() -> None:
    causes = Causes()
    causes.invalid("a", {"app": "ä"}, "x")
    causes.duplicate("a", "b")
    causes.not_found("a", None)
    causes.too_long("a", 5)
    causes.too_many("a", 3, 2)
    assert [cause.message for cause in causes.found] == [
        'Invalid value: {"app":"ä"}: x',
        'Duplicate value: "b"',
        "Not found: null",
        "Too long: may not be more than 5 bytes",
        "Too many: 3: must have at most 2 items",
    ]
