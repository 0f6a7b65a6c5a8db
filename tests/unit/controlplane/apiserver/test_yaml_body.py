import pytest

from controlplane.apiserver.yaml_body import yaml_to_json
from orch.errors import BadRequest


def test_values_are_as_json_sees_them() -> None:
    assert yaml_to_json(b"{a: 1, b: yes, c: 2026-01-01, d: 0x10, e: 'x'}") == (
        b'{"a":1,"b":true,"c":"2026-01-01","d":16,"e":"x"}'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"[" * 100_000, "nested", id="deep"),
        pytest.param(b"a: &x [1]\nb: [*x, *x]", "aliases", id="aliases"),
        pytest.param(b"a: 1\n---\nb: 2", "single document", id="two documents"),
        pytest.param(b"a: [", "must be YAML", id="unfinished"),
        pytest.param(b"!!python/object:os.system {}", "must be YAML", id="tag"),
        pytest.param(b"? [a]\n: 1", "must be YAML", id="list as key"),
        pytest.param(b"\xff\xfe\x00", "must be YAML", id="no text"),
        pytest.param(b"a: .nan", "", id="not a number"),
    ],
)
def test_what_is_refused(text: bytes, message: str) -> None:
    if not message:
        assert yaml_to_json(text) == b'{"a":null}'
        return
    with pytest.raises(BadRequest, match=message):
        yaml_to_json(text)
