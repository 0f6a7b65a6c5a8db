"""`orch cluster`: starts, stops and shows a cluster on this machine (see deploy/local)."""

import argparse
import os
import re
import sys

from deploy.local import cluster, nodes
from deploy.local import spec as specs
from orch.cli import tables
from orch.cli.failures import CliError, Exit

SHELL = "/bin/sh"
CPUS_MIN, CPUS_MAX = 0.05, 1024
MEMORY_MIN_BYTES, MEMORY_MAX_BYTES = 128 * 1024**2, 16 * 1024**4
"""An agent alone takes some 60 MB; the upper bounds keep the kernel from being asked for what it refuses."""
_MEMORY_UNITS = {"": 1, "Mi": 1024**2, "Gi": 1024**3, "M": 10**6, "G": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("up", "start a cluster, or what is missing of it"),
        ("down", "stop a cluster and remove all that it made"),
        ("status", "show the cluster's processes"),
        ("enter", "run a command, or a shell, inside a node"),
    ):
        action = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        action.add_argument("--name", default="local", help="the cluster's name (default: local)")
        if name == "enter":
            action.add_argument("node", metavar="NODE")
            action.add_argument("command", nargs="*", metavar="COMMAND", help="default: a shell")
        if name == "up":
            _add_up_arguments(action)
        if name == "down":
            action.add_argument("--keep-data", action="store_true", help="so that the next up brings everything back")


def _add_up_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=_count, default=None, metavar="N", help="how many nodes (default: 1)")
    parser.add_argument("--port", type=_port, default=None, help="first of its ports (default: 6443)")
    parser.add_argument(
        "--cpus", type=_cpus, default=None, metavar="N", help="of each node (default: its share of the machine)"
    )
    parser.add_argument("--memory", type=_memory, default=None, metavar="SIZE", help="of each node, such as 2Gi")
    parser.add_argument(
        "--outbound", action=argparse.BooleanOptionalAction, default=None, help="nodes reach the world by NAT (default)"
    )


def run(args: argparse.Namespace) -> int:
    return {"up": _up, "down": _down, "status": _status, "enter": _enter}[args.action](args)


def _up(args: argparse.Namespace) -> int:
    wanted = cluster.Wanted(args.name, args.nodes, args.port, args.cpus, args.memory, args.outbound)
    changed = cluster.up(wanted, _say)
    _say(f"cluster {args.name} is up" if changed else f"cluster {args.name} is up: nothing changed")
    if changed:
        _say(f"kubeconfig: {specs.Paths(args.name).kubeconfig}")
    return Exit.OK


def _down(args: argparse.Namespace) -> int:
    if cluster.down(args.name, keep_data=args.keep_data, say=_say):
        _say(f"cluster {args.name} is down")
    else:
        _say(f"there is no cluster {args.name}: nothing to take down")
    return Exit.OK


def _status(args: argparse.Namespace) -> int:
    """Exit code 1 when a part does not run."""
    rows = cluster.status(args.name)
    lines = [["PART", "STATUS", "PID", "ADDRESS", "LOG"]]
    for row in rows:
        state = "Running" if row.running else "Stopped"
        lines.append([row.part, state, str(row.pid or "-"), row.address, str(row.log)])
    sys.stdout.write(tables.align(lines))
    return Exit.OK if all(row.running for row in rows) else Exit.ERROR


def _enter(args: argparse.Namespace) -> int:
    """Becomes the command, whose exit code is ours."""
    if os.geteuid() != 0:
        raise CliError("entering a node needs root: run it with sudo")
    command = nodes.enter_command(cluster.existing(args.name), args.node, args.command or [SHELL])
    os.execvp(command[0], command)


def _say(line: str) -> None:
    print(line, flush=True)


def _count(text: str) -> int:
    return _between(text, 1, specs.NODES_MAX)


def _port(text: str) -> int:
    return _between(text, 1024, 65536 - specs.PORTS_PER_CLUSTER)


def _between(text: str, low: int, high: int) -> int:
    if not text.isdigit() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
    return int(text)


def _cpus(text: str) -> float:
    """Plain decimals only: what float() takes besides (nan, inf, 1e3) is no number of CPUs."""
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not CPUS_MIN <= float(text) <= CPUS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {CPUS_MIN} to {CPUS_MAX}, such as 0.5 or 2")
    return float(text)


def _memory(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})(Mi|Gi|M|G|)", text)
    size = int(found[1]) * _MEMORY_UNITS[found[2]] if found else 0
    if not MEMORY_MIN_BYTES <= size <= MEMORY_MAX_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no size from 128Mi to 16384Gi: write 512Mi or 2Gi")
    return size
