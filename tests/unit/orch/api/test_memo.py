from orch.api.memo import ARGUMENT_MAX_BYTES, remembered
from orch.api.meta import ObjectMeta

calls: list[tuple[str, str]] = []


@remembered
def described(meta: ObjectMeta, how: str) -> list[str]:
    calls.append((meta.name, how))
    return [meta.name, how]


def test_equal_arguments_give_the_same_result_and_others_their_own() -> None:
    calls.clear()
    first = described(ObjectMeta(name="a", labels={"x": "1"}), "short")
    assert described(ObjectMeta(name="a", labels={"x": "1"}), "short") is first
    assert described(ObjectMeta(name="a", labels={"x": "2"}), "short") == first
    assert described(ObjectMeta(name="a", labels={"x": "1"}), "long") == ["a", "long"]
    assert calls == [("a", "short"), ("a", "short"), ("a", "long")]


def test_large_arguments_are_not_kept() -> None:
    calls.clear()
    large = ObjectMeta(name="b", annotations={"text": "x" * ARGUMENT_MAX_BYTES})
    assert described(large, "short") is not described(large, "short")
    assert len(calls) == 2
