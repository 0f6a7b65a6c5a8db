"""What a node's resolver file says."""

from deploy.local.nodes import resolv_conf


def test_servers_on_loopback_are_of_no_use_to_a_node() -> None:
    stub, real = "nameserver 127.0.0.53\nsearch lan\n", "nameserver 10.0.0.1\nnameserver 127.0.0.1\nsearch lan\n"
    assert resolv_conf([stub, real]) == "nameserver 10.0.0.1\nsearch lan\n"
    assert resolv_conf([stub]) == ""
    assert resolv_conf([]) == ""
