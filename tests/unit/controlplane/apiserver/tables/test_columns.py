from controlplane.apiserver.tables.columns import age, labels, selector
from orch.api.meta import LabelSelector, LabelSelectorRequirement
from tests.builders import NOW, ago


def test_age_without_a_time() -> None:
    assert (age(None, NOW), age(ago(30), NOW)) == ("<unknown>", "30s")


def test_labels_and_selectors() -> None:
    assert (labels(None), labels({"b": "1", "a": "2"})) == ("<none>", "a=2,b=1")
    expressions = (
        LabelSelectorRequirement(key="c", operator="DoesNotExist"),
        LabelSelectorRequirement(key="b", operator="NotIn", values=("y", "x")),
        LabelSelectorRequirement(key="d", operator="Exists"),
        LabelSelectorRequirement(key="e", operator="In", values=("z",)),
    )
    text = selector(LabelSelector(match_labels={"a": "1"}, match_expressions=expressions))
    assert text == "a=1,b notin (x,y),!c,d,e in (z)"
