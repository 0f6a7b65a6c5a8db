from collections.abc import Callable

import pytest

from orch.api import formats


@pytest.mark.parametrize(
    ("problem", "good", "bad"),
    [
        (formats.dns_label_problem, ["a", "a-1", "1a", "x" * 63], ["", "A", "-a", "a-", "a.b", "x" * 64, "a\n"]),
        (formats.dns_1035_label_problem, ["a", "a-1"], ["1a", "", "a_b"]),
        (formats.dns_subdomain_problem, ["a", "a.b-c", "1.2", "x" * 253], ["", "a..b", ".a", "A", "x" * 254]),
        (formats.label_key_problem, ["a", "A_b.c", "example.com/a"], ["", "/a", "a/", "a/b/c", "-a", "E.com/a"]),
        (formats.label_value_problem, ["", "a", "A_b.c", "1"], ["-a", "a b", "x" * 64]),
        (formats.config_key_problem, ["a", ".a", "A_b-c.d"], ["", ".", "..", "..a", "a/b", "a b"]),
        (formats.env_name_problem, ["A", "a.b", "1", "a b", "http_proxy"], ["", "a=b", "ä"]),
        (formats.port_name_problem, ["http", "a1", "8a"], ["", "80", "-a", "a-", "a--b", "HTTP", "x" * 16]),
        (formats.ip_problem, ["10.0.0.1", "::1"], ["", "10.0.0", "300.1.1.1"]),
        (formats.cidr_problem, ["10.0.0.0/8", "::/0"], ["10.0.0.1", "10.0.0.0/33", "x/8"]),
        (formats.http_header_problem, ["X-A"], ["", "X A", "X:"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_formats(problem: Callable[[str], str], good: list[str], bad: list[str]) -> None:
    assert {text: problem(text) for text in good} == dict.fromkeys(good, "")
    assert [text for text in bad if not problem(text)] == []


def test_ports() -> None:
    assert [port for port in (0, 1, 65535, 65536) if formats.port_problem(port)] == [0, 65536]
