from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from nodeagent.network.addresses import PodAddresses
from nodeagent.network.errors import NetworkFault

NETWORK = IPv4Network("10.244.3.0/29")
"""Six usable addresses: .1 to .6."""


@pytest.fixture
def addresses(tmp_path: Path) -> PodAddresses:
    return PodAddresses(tmp_path, NETWORK)


def test_a_pod_keeps_its_address(addresses: PodAddresses) -> None:
    assert addresses.allocate("a") == addresses.allocate("a") == IPv4Address("10.244.3.1")


def test_the_first_and_the_last_address_are_not_given_out(addresses: PodAddresses) -> None:
    given = {addresses.allocate(f"pod-{n}") for n in range(6)}
    assert given == {NETWORK[n] for n in range(1, 7)}


def test_a_full_range_is_refused(addresses: PodAddresses) -> None:
    for n in range(6):
        addresses.allocate(f"pod-{n}")
    with pytest.raises(NetworkFault, match=r"no pod address is left in 10\.244\.3\.0/29: 6 are in use"):
        addresses.allocate("one-more")


def test_a_released_address_is_reused_last(addresses: PodAddresses) -> None:
    first = addresses.allocate("a")
    addresses.release("a")
    later = [addresses.allocate(f"pod-{n}") for n in range(6)]
    assert later[-1] == first


def test_a_new_process_finds_the_addresses_and_goes_on_behind_them(tmp_path: Path) -> None:
    before = PodAddresses(tmp_path, NETWORK)
    held, released = before.allocate("a"), before.allocate("b")
    before.release("b")
    after = PodAddresses(tmp_path, NETWORK)
    assert after.get("a") == held
    assert after.get("b") is None
    assert after.allocate("c") not in (held, released)


def test_release_of_an_unknown_pod_is_no_error(addresses: PodAddresses) -> None:
    addresses.release("nobody")


def test_a_full_disk_is_a_fault_of_the_network(addresses: PodAddresses, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        with pytest.raises(NetworkFault, match="No space left"):
            addresses.allocate("a")
    assert addresses.allocate("a") == IPv4Address("10.244.3.1")
