"""orch-agent: reads the command line and becomes the supervisor or, with `--inherited`, the agent proper.

Imports nothing of the agent before it is known which of the two this process is: the supervisor stays small.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import structlog

from nodeagent.supervisor import EX_CONFIG, Inherited, Supervisor, own_command
from orch.errors import OrchError
from orch.kit.logs import configure_logs

log = structlog.get_logger(__name__)

DNS_ADDRESS_INDEX = 10
"""The cluster's DNS server has the tenth address of the service range."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("orch-agent", description="The agent of one node of an Orch cluster.")
    add = parser.add_argument
    add("--node-name", required=True)
    add("--server", required=True, help="address:port of the node sessions; joining uses the next port")
    add("--join-token-file", required=True, type=Path)
    add("--ca-file", required=True, type=Path)
    add("--state-dir", required=True, type=Path, help="on disk: desired state, images, writable layers, logs")
    add("--run-dir", required=True, type=Path, help="on a tmpfs: bundles, pids, Secrets")
    add("--node-ip", required=True, type=IPv4Address)
    add("--cgroup-root", required=True, help="below the cgroup mounts, such as orch/local/node-1")
    add("--registry", default="", help="the cluster's image registry, address:port")
    add(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="a registry that speaks plain HTTP",
    )
    add("--registries-dir", type=Path, default=Path("/etc/orch/registries.d"), help="HOST:PORT/ca.crt and the like")
    add("--cpus", type=float, help="this node's share of the machine; default: all")
    add("--memory", type=int, help="in bytes; default: all")
    add("--cluster-cidr", type=IPv4Network, default=IPv4Network("10.244.0.0/16"))
    add("--service-cidr", type=IPv4Network, default=IPv4Network("10.96.0.0/16"))
    add("--cluster-domain", default="cluster.local")
    add("--overlay", choices=("vxlan", "host-gw"), default="vxlan", help="how pods reach other nodes")
    add("--static-pods", type=Path, metavar="DIR", help="a folder of Pod manifests that this node runs by itself")
    sysctls = "beside the safe ones; a name or a beginning such as kernel.msg*; unsafe means just that"
    add("--allowed-unsafe-sysctls", type=_names, default=(), metavar="NAME,...", help=sysctls)
    period = "seconds that pods get to end when SIGPWR says that the machine goes down; 0: they are left alone"
    add("--shutdown-grace-period", type=float, default=0.0, metavar="S", help=period)
    add("--shutdown-grace-period-critical", type=float, default=0.0, metavar="S", help="the part for critical pods")
    reserved = "cpu=500m,memory=1Gi,ephemeral-storage=1Gi: kept from pods for the system"
    add("--system-reserved", default="", metavar="NAME=AMOUNT,...", help=reserved)
    add("--pod-pids-limit", type=int, default=-1, metavar="N", help="processes of a pod; -1: what is usual here")
    add("--memory-qos", action="store_true", help="promise memory requests, slow down use beyond (cgroup v2)")
    add("--eviction-hard", metavar="SIGNAL<AMOUNT,...", help="what a node must have left, else a pod is ended at once")
    add("--eviction-soft", default="", metavar="SIGNAL<AMOUNT,...", help="the same, after a grace period")
    add("--eviction-soft-grace-period", default="", metavar="SIGNAL=DURATION,...")
    add("--eviction-minimum-reclaim", default="", metavar="SIGNAL=AMOUNT,...", help="to be won beyond a threshold")
    add("--eviction-max-pod-grace-period", type=float, default=0.0, metavar="S", help="for soft thresholds")
    add("--eviction-pressure-transition-period", default="5m", help="how long a condition outlasts its cause")
    add(
        "--image-gc-high-threshold",
        type=int,
        default=85,
        metavar="PERCENT",
        help="disk use at which images go; 100: never",
    )
    add("--image-gc-low-threshold", type=int, default=80, metavar="PERCENT", help="disk use at which the rest may stay")
    add("--minimum-image-ttl-duration", default="2m", help="images younger than this stay")
    add("--log-format", choices=("text", "json"), default="text")
    add("--debug", action="store_true")
    add("--inherited", type=Inherited.parse, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.dns_address = options.service_cidr[DNS_ADDRESS_INDEX]
    return options


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def main() -> None:
    arguments = sys.argv[1:]
    options = parse(arguments)
    configure_logs(json=options.log_format == "json", debug=options.debug)
    try:
        sys.exit(_supervise(options, arguments) if options.inherited is None else _run(options))
    except (OrchError, OSError) as error:
        log.error("agent_failed", error=str(error))
        sys.exit(EX_CONFIG if options.inherited is None else 1)


def _supervise(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    return Supervisor(partial(own_command, arguments), str(options.dns_address)).run()


def _run(options: argparse.Namespace) -> int:
    from nodeagent.node import run_node

    return run_node(options)


if __name__ == "__main__":
    main()
