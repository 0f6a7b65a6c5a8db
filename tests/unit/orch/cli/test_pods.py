"""Selectors as the text that the API takes."""

from typing import Any

import pytest

from orch.cli.pods import selector_text


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, ""),
        ({"app": "web", "tier": "front"}, "app=web,tier=front"),
        ({"matchLabels": {"app": "web"}}, "app=web"),
        (
            {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["x", "y"]},
                    {"key": "b", "operator": "NotIn", "values": ["z"]},
                    {"key": "c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                ]
            },
            "a in (x,y),b notin (z),c,!d",
        ),
    ],
)
def test_selector_text(selector: dict[str, Any] | None, text: str) -> None:
    assert selector_text(selector) == text
