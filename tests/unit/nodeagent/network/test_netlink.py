from ipaddress import IPv4Address

import pytest

from nodeagent.network.errors import NetlinkError
from nodeagent.network.netlink import Netlink, attribute, attributes, nested, text, u32
from nodeagent.network.pod import host_link_name, pod_mac
from nodeagent.network.rtnetlink import RtNetlink


def test_attributes_are_padded_and_read_back() -> None:
    data = text(3, "lo") + u32(4, 1500) + nested(18, attribute(1, b"x"), attribute(2, b""))
    assert len(data) % 4 == 0
    found = attributes(data)
    assert found[3] == b"lo\0"
    assert found[4] == (1500).to_bytes(4, "little")
    assert attributes(found[18]) == {1: b"x", 2: b""}


def test_an_attribute_without_length_does_not_loop_for_ever() -> None:
    assert attributes(b"\0\0\0\0\0\0\0\0") == {0: b""}


def test_the_loopback_is_seen() -> None:
    with RtNetlink() as node:
        loopback = node.link("lo")
        assert loopback == node.links()["lo"]
        assert node.link("no-such-link") is None


def test_a_refusal_says_what_was_tried_and_what_the_kernel_said() -> None:
    with RtNetlink() as node, pytest.raises(NetlinkError, match=r"set link 999999 up: No such device") as caught:
        node.set_up(999_999)
    assert caught.value.errno == 19


def test_names_fit_the_kernel_and_differ() -> None:
    assert len(host_link_name("a" * 36)) <= 15
    assert host_link_name("a") != host_link_name("b")


def test_a_pods_link_address_follows_from_its_address() -> None:
    assert pod_mac(IPv4Address("10.244.1.5")) == "0a:58:0a:f4:01:05"


def test_a_socket_that_fails_is_a_refusal() -> None:
    node = Netlink()
    node.close()
    with pytest.raises(NetlinkError, match=r"look: .*Bad file descriptor"):
        node.dump("look", 18, b"")
