from ipaddress import IPv4Address, IPv4Network

from nodeagent.network.services.compile import Backend
from nodeagent.network.services.ruleset import RulesetConfig, chain_names, full_load, incremental
from nodeagent.network.services.table import Change, Drop, ElementKey, Pick, Remember

CONFIG = RulesetConfig(
    IPv4Address("192.168.77.1"),
    IPv4Network("10.244.0.0/16"),
    IPv4Network("10.96.0.0/16"),
    IPv4Address("10.96.0.10"),
    IPv4Network("10.244.1.0/30"),
    ipv6=True,
)
VERDICT = ElementKey("services", "10.96.0.20 . tcp . 80")
ENDPOINT = ElementKey("endpoints_tcp", "10.96.0.20 . 80 . 2")


def test_a_change_names_only_its_elements_and_new_chains() -> None:
    change = Change(
        deleted={VERDICT: Pick("tcp", 2)},
        added={
            VERDICT: Pick("tcp", 3),
            ElementKey("endpoints_tcp", "10.96.0.20 . 80 . 2"): Backend("10.244.1.7", 8080),
        },
    )
    assert incremental(change, {"pick_tcp_2"}).splitlines() == [
        "add chain ip orch pick_tcp_3",
        "flush chain ip orch pick_tcp_3",
        "add rule ip orch pick_tcp_3 dnat ip to ip daddr . tcp dport . numgen random mod 3 offset 0 map @endpoints_tcp",
        "delete element ip orch services { 10.96.0.20 . tcp . 80 : goto pick_tcp_2 }",
        "add element ip orch endpoints_tcp { 10.96.0.20 . 80 . 2 : 10.244.1.7 . 8080 }",
        "add element ip orch services { 10.96.0.20 . tcp . 80 : goto pick_tcp_3 }",
    ]


def test_known_chains_are_not_made_again() -> None:
    assert incremental(Change(added={VERDICT: Pick("tcp", 3)}), {"pick_tcp_3"}).splitlines() == [
        "add element ip orch services { 10.96.0.20 . tcp . 80 : goto pick_tcp_3 }"
    ]
    assert incremental(Change(), set()) == ""


def test_every_kind_of_value_has_its_text() -> None:
    change = Change(
        added={
            ElementKey("node_ports", "tcp . 1"): Drop(),
            ElementKey("refused", "192.0.2.7 . tcp . 80"): None,
            ElementKey("affinity_timeouts", "10.96.0.20 . udp . 53"): Remember(60),
            ElementKey("node_ports_inside", "tcp . 2"): Pick("tcp", 4, 32_768, sticky=True, node_port=True),
        }
    )
    text = incremental(change, set())
    assert "node_ports { tcp . 1 : drop }" in text
    assert "refused { 192.0.2.7 . tcp . 80 }" in text
    assert "goto remember_60 }" in text
    assert "goto sticky_node_inside_pick_tcp_4 }" in text
    assert chain_names(change.added.values()) == {"remember_60", "sticky_node_inside_pick_tcp_4"}


def test_a_full_load_keeps_remembered_clients_unless_made_anew() -> None:
    kept = full_load(CONFIG, {}, anew=False)
    assert "flush map ip orch services\n" in kept
    assert "flush map ip orch affinity\n" not in kept
    assert "delete table" not in kept
    assert full_load(CONFIG, {}, anew=True).startswith("table ip orch\ndelete table ip orch\n")


def test_hairpins_are_the_addresses_of_the_nodes_range() -> None:
    assert "hairpins { 10.244.1.1 . 10.244.1.1, 10.244.1.2 . 10.244.1.2 }" in full_load(CONFIG, {}, anew=True)
