from typing import Any

import pytest

from orch.api.kind import Kind
from orch.api.kinds import ALL_KINDS, PODS, builtin_kinds, untyped_kind


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
def test_a_kind_is_complete(kind: Kind[Any]) -> None:
    obj = kind.codec.decode(b'{"metadata":{"name":"x"}}')
    assert (obj.api_version, obj.kind) == (kind.api_version, kind.kind)
    defaulted = kind.set_defaults(obj)
    assert kind.set_defaults(defaulted) is defaulted
    assert kind.codec.decode(kind.codec.encode(defaulted)) == defaulted
    assert all(isinstance(getter(defaulted), str) for getter in kind.fields.values())
    stored = kind.to_stored(defaulted)
    assert ("metadata.namespace" in [cause.field for cause in kind.stored.validate(stored)]) is kind.namespaced
    assert not kind.validate_update(defaulted, defaulted)


def test_names_are_unique() -> None:
    stored = tuple(builtin_kinds().stored())
    names = [name for kind in stored for name in (kind.plural, *{kind.singular, *kind.short_names} - {kind.plural})]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind.stored_as], ids=lambda kind: kind.kind)
def test_another_form_has_the_names_and_the_scope_of_the_stored_kind(kind: Kind[Any]) -> None:
    stored = kind.stored
    assert stored.stored_as is None
    for name in ("kind", "plural", "singular", "namespaced", "short_names", "categories", "subresources"):
        assert getattr(kind, name) == getattr(stored, name)
    empty = kind.codec.from_plain({})
    assert kind.from_stored(kind.to_stored(empty)) == empty


def test_a_table_is_looked_up_and_grows() -> None:
    kinds = builtin_kinds()
    assert kinds.by_resource("", "v1", "pods") is PODS
    assert kinds.by_kind("v1", "Pod") is PODS
    widgets = untyped_kind("example.com", "v1", "Widget", "widgets")
    kinds.register(widgets)
    assert kinds.by_kind("example.com/v1", "Widget") is widgets
    assert builtin_kinds().by_kind("example.com/v1", "Widget") is None


def test_of_an_untyped_kind_the_metadata_is_checked() -> None:
    widgets = untyped_kind("example.com", "v1", "Widget", "widgets", namespaced=False)
    bad = widgets.codec.from_plain({"metadata": {"name": "A", "namespace": "x"}, "spec": {"any": "thing"}})
    assert [cause.field for cause in widgets.validate(bad)] == ["metadata.name", "metadata.namespace"]
