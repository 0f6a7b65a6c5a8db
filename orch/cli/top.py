"""`orch top`: what nodes or pods use now, from metrics.k8s.io, in kubectl's columns."""

import argparse
import sys
from typing import Any

from orch.api import quantity
from orch.cli import session, tables
from orch.cli.failures import CliError, Exit
from orch.cli.session import Session, in_session
from orch.errors import NotFound

GROUP = "/apis/metrics.k8s.io/v1beta1"
MEBIBYTE = 1024**2

Used = tuple[int, int]
"""(millicores, bytes)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("what", choices=("node", "nodes", "no", "pod", "pods", "po"), metavar="node | pod")
    parser.add_argument("name", nargs="?", default="", help="this one only")
    parser.add_argument("-l", "--selector", default="", help="those with these labels")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="pods of every namespace")
    parser.add_argument("--containers", action="store_true", help="each container of a pod by itself")
    parser.add_argument("--sort-by", choices=("cpu", "memory"), default="", help="largest first")
    parser.add_argument("--no-headers", action="store_true", help="leave the header line out")


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    if args.name and args.selector:
        raise CliError("a name together with -l: choose one", Exit.USAGE)
    lines = _nodes(current, args) if args.what.startswith("no") else _pods(current, args)
    if len(lines) == 1:
        print("No metrics yet: nodes tell what they use every 15 seconds.", file=sys.stderr)
        return Exit.OK
    sys.stdout.write(tables.align(lines[1:] if args.no_headers else lines))
    return Exit.OK


def _nodes(current: Session, args: argparse.Namespace) -> list[list[str]]:
    allocatable = {
        node["metadata"]["name"]: node.get("status", {}).get("allocatable") or {}
        for node in current.api.get("/api/v1/nodes").get("items") or ()
    }
    lines = [["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]]
    for metrics in _sorted(_metrics(current, f"{GROUP}/nodes", args), args.sort_by):
        name, (millicores, held) = metrics["metadata"]["name"], _used(metrics)
        total = allocatable.get(name, {})
        cpu_share = _share(millicores, quantity.milli(total.get("cpu", "0")))
        memory_share = _share(held, quantity.value(total.get("memory", "0")))
        lines.append([name, f"{millicores}m", cpu_share, f"{held // MEBIBYTE}Mi", memory_share])
    return lines


def _pods(current: Session, args: argparse.Namespace) -> list[list[str]]:
    path = f"{GROUP}/pods" if args.all_namespaces else f"{GROUP}/namespaces/{current.namespace}/pods"
    lead = ["NAMESPACE"] if args.all_namespaces else []
    lines = [[*lead, *(("POD",) if args.containers else ()), "NAME", "CPU(cores)", "MEMORY(bytes)"]]
    for metrics in _sorted(_metrics(current, path, args), args.sort_by):
        metadata = metrics["metadata"]
        first = [metadata["namespace"]] if args.all_namespaces else []
        if args.containers:
            lines += [[*first, metadata["name"], one["name"], *_cells(_used(one))] for one in metrics["containers"]]
        else:
            lines.append([*first, metadata["name"], *_cells(_used(metrics))])
    return lines


def _metrics(current: Session, path: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.name:
        try:
            return [current.api.get(f"{path}/{args.name}")]
        except NotFound:
            raise CliError(f"there are no metrics of {args.what} {args.name!r}") from None
    query = {"labelSelector": args.selector} if args.selector else {}
    return current.api.get(path, query).get("items") or []


def _used(metrics: dict[str, Any]) -> Used:
    """Of a node or container; of a pod, its containers together."""
    usages = [one["usage"] for one in metrics["containers"]] if "containers" in metrics else [metrics["usage"]]
    return (
        sum(quantity.milli(usage.get("cpu", "0")) for usage in usages),
        sum(quantity.value(usage.get("memory", "0")) for usage in usages),
    )


def _sorted(found: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    if not by:
        return found
    column = ("cpu", "memory").index(by)
    return sorted(found, key=lambda metrics: -_used(metrics)[column])


def _cells(used: Used) -> list[str]:
    return [f"{used[0]}m", f"{used[1] // MEBIBYTE}Mi"]


def _share(part: int, whole: int) -> str:
    return f"{100 * part // whole}%" if whole else "<unknown>"
