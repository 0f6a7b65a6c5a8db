import pytest

from orch.api.kinds import EVENTS, PODS
from orch.api.meta import LabelSelector, LabelSelectorRequirement
from orch.api.selectors import (
    from_label_selector,
    from_labels,
    parse_field_selector,
    parse_label_selector,
)
from orch.errors import BadRequest
from tests.unit.orch.api.objects import pod

WEB = {"app": "web", "tier": "front", "rank": "7"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("app in (web, db)", True),
        ("app notin (web,db)", False),
        ("missing notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("rank>6", True),
        ("rank<7", False),
        ("app>1", False),
        ("app=", False),
        ("in in (in)", False),
        ("example.com/role=x", False),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    assert parse_label_selector(text).matches(WEB) is matches


@pytest.mark.parametrize(
    "text", ["a b", "a=b,", ",a", "a=b=c", "a in b", "a in (b", "(a)", "a=$", "a>x", "!", "=b", "-a", "a in (b c)"]
)
def test_bad_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="unable to parse requirement"):
        parse_label_selector(text)


@pytest.mark.parametrize("text", ["app=web", "app!=web", "app in (db,web)", "app notin (web)", "app", "!app", "rank>6"])
def test_text_of_a_selector_parses_to_the_same(text: str) -> None:
    assert str(parse_label_selector(text)) == text


def test_selector_objects() -> None:
    selector = LabelSelector(
        match_labels={"app": "web"},
        match_expressions=(LabelSelectorRequirement(key="tier", operator="In", values=("front", "back")),),
    )
    assert from_label_selector(selector).matches(WEB)
    assert not from_label_selector(selector).matches({"app": "web"})
    assert from_label_selector(LabelSelector()).matches(None)
    assert not from_label_selector(None).matches(WEB)
    assert from_labels({"app": "web"}).matches(WEB)


def test_field_selectors() -> None:
    on_n1 = pod(nodeName="n1")
    assert parse_field_selector("spec.nodeName=n1,metadata.name!=db").on(PODS)(on_n1)
    assert not parse_field_selector("spec.nodeName==n2").on(PODS)(on_n1)
    assert parse_field_selector("").on(PODS)(on_n1)
    assert parse_field_selector("spec.nodeName=n1").value_of("spec.nodeName") == "n1"
    assert parse_field_selector("spec.nodeName!=n1").value_of("spec.nodeName") is None


def test_escapes_in_field_selectors() -> None:
    selector = parse_field_selector(r"involvedObject.name=a\,b\=c,reason=x")
    assert [r.value for r in selector.requirements] == ["a,b=c", "x"]
    assert selector.on(EVENTS)


@pytest.mark.parametrize("text", ["a", "=x", "a=b=c", r"a=\x"])
def test_bad_field_selectors_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid selector"):
        parse_field_selector(text)


def test_a_field_that_is_not_selectable_is_refused() -> None:
    with pytest.raises(BadRequest, match="field label not supported"):
        parse_field_selector("spec.hostname=x").on(PODS)
