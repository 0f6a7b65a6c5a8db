from pathlib import Path

from nodeagent.network.dns.resolv_conf import ResolvConf, parse_resolv_conf, read_resolv_conf, write_resolv_conf

TEXT = """# made by hand
nameserver 192.0.2.1 ; the first
domain old.example
search a.example b.example
nameserver 192.0.2.2
options ndots:2
options edns0
"""
PARSED = ResolvConf(("192.0.2.1", "192.0.2.2"), ("a.example", "b.example"), ("ndots:2", "edns0"))


def test_a_file_is_read_as_resolv_conf_says() -> None:
    assert parse_resolv_conf(TEXT) == PARSED


def test_what_is_written_reads_the_same() -> None:
    assert parse_resolv_conf(write_resolv_conf(PARSED)) == PARSED
    assert write_resolv_conf(ResolvConf()) == ""


def test_no_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_resolv_conf(tmp_path / "none") == ResolvConf()
