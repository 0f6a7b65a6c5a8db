"""`orch logs`: what containers wrote; of one pod, of a workload's pods, or of all pods with some labels."""

import argparse
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Queue
from typing import Any

from orch.cli import session, targets
from orch.cli.durations import seconds
from orch.cli.failures import CliError, Exit, one_line
from orch.cli.pods import container_of, pod_of, pods_with
from orch.cli.session import Session, in_session
from orch.errors import OrchError

FOLLOWED_MAX = 20
LINES_WAITING_MAX = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    session.add_arguments(parser)
    parser.add_argument("what", nargs="*", metavar="POD | TYPE/NAME")
    parser.add_argument("-c", "--container", default="", help="which container (default: the first)")
    parser.add_argument("--all-containers", action="store_true", help="every container of the pod")
    parser.add_argument("-l", "--selector", default="", help="of all pods with these labels")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as more is written")
    parser.add_argument("-p", "--previous", action="store_true", help="of the container's run before this one")
    parser.add_argument("--tail", type=int, default=-1, metavar="LINES", help="only the last lines")
    parser.add_argument("--since", type=seconds, default=None, help="only of the last 30s, 5m, 2h")
    parser.add_argument("--since-time", default="", metavar="RFC3339", help="only after this time")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    parser.add_argument("--limit-bytes", type=int, default=None, metavar="N", help="at most N bytes")
    parser.add_argument("--prefix", action="store_true", help="begin each line with pod and container")


@dataclass(frozen=True, slots=True)
class Source:
    """One container's log."""

    path: str
    query: dict[str, str]
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class Ended:
    """What follows a log's last line."""

    source: Source
    failure: str = ""


@in_session
def run(current: Session, args: argparse.Namespace) -> int:
    if args.since is not None and args.since_time:
        raise CliError("--since and --since-time: choose one", Exit.USAGE)
    pods = _pods(current, args)
    sources = [source for pod in pods for source in _sources(current, pod, args, several=len(pods) > 1)]
    if args.follow and len(sources) > 1:
        return _follow_all(current, sources)
    for source in sources:
        for line in current.api.lines(source.path, source.query):
            _write(source.prefix + line)
    return Exit.OK


def _pods(current: Session, args: argparse.Namespace) -> list[dict[str, Any]]:
    if bool(args.what) == bool(args.selector):
        raise CliError("name a pod or TYPE/NAME, or give labels with -l", Exit.USAGE)
    if args.selector:
        found = pods_with(current, args.selector)
        if not found:
            raise CliError(f"no pods with {args.selector} in namespace {current.namespace}", Exit.NOT_FOUND)
        return found
    return [pod_of(current, targets.parse_named(args.what, current.discovery, "pods")[0])]


def _sources(current: Session, pod: dict[str, Any], args: argparse.Namespace, *, several: bool) -> list[Source]:
    spec, name = pod["spec"], pod["metadata"]["name"]
    if args.all_containers:
        containers = [c["name"] for key in ("initContainers", "containers") for c in spec.get(key) or ()]
    else:
        containers = [container_of(pod, args.container)]
    path = current.discovery.named("pods")[0].path(pod["metadata"]["namespace"], name, "log")
    prefixed = args.prefix or several
    return [
        Source(path, _query(args, container), f"[pod/{name}/{container}] ".encode() if prefixed else b"")
        for container in containers
    ]


def _query(args: argparse.Namespace, container: str) -> dict[str, str]:
    """core/v1 PodLogOptions."""
    flags = {"follow": args.follow, "previous": args.previous, "timestamps": args.timestamps}
    query = {"container": container} | {name: "true" for name, wanted in flags.items() if wanted}
    if args.tail >= 0:
        query["tailLines"] = str(args.tail)
    if args.since is not None:
        query["sinceSeconds"] = str(max(1, round(args.since)))
    if args.since_time:
        query["sinceTime"] = args.since_time
    if args.limit_bytes is not None:
        query["limitBytes"] = str(args.limit_bytes)
    return query


def _follow_all(current: Session, sources: Sequence[Source]) -> int:
    """One thread per log reads; this one alone writes, so that lines of different logs are never mixed, and a reader of
    ours that has gone (BrokenPipeError) ends all."""
    if len(sources) > FOLLOWED_MAX:
        raise CliError(f"{len(sources)} logs to follow at once, at most {FOLLOWED_MAX}: choose fewer pods")
    heard: Queue[bytes | Ended] = Queue(LINES_WAITING_MAX)
    for source in sources:
        threading.Thread(target=_read, args=(current, source, heard), daemon=True).start()
    open_, code = len(sources), Exit.OK
    while open_:
        item = heard.get()
        if isinstance(item, bytes):
            _write(item)
            continue
        open_ -= 1
        if item.failure:
            print(f"orch: {item.source.path}: {item.failure}", file=sys.stderr)
            code = Exit.ERROR
    return code


def _read(current: Session, source: Source, heard: "Queue[bytes | Ended]") -> None:
    try:
        for line in current.api.lines(source.path, source.query):
            heard.put(source.prefix + line)
    except OrchError as error:
        heard.put(Ended(source, one_line(error)))
    except OSError as error:
        heard.put(Ended(source, str(error)))
    else:
        heard.put(Ended(source))


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
