"""What the API server does per second and how long an answer takes, over TLS with 32 keep-alive connections.

    .venv/bin/python -m benchmarks.api [--pods 2000] [--requests 5000] [--watchers 100,1000] [--memory-objects 6000]

Starts a server and an etcd of its own; no agents. The load runs in this process, so on two cores it competes with
etcd, not with the server. "cpu" is the server's processor time per request: it hardly changes with what else runs.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator

import uvloop

from benchmarks.api.load import Connection, Request, connections, drive, watchers
from benchmarks.api.objects import node, pod
from benchmarks.api.server import Server, running_server
from benchmarks.figures import quantile

CONNECTIONS = 32
PODS_PATH = "/api/v1/namespaces/default/pods"
MERGE_PATCH = "application/merge-patch+json"
SETTLE_S = 2.0
"""Between measurements: what the last one left to do gets done."""


async def main(args: argparse.Namespace) -> None:
    with running_server() as server:
        async with connections(server, CONNECTIONS) as opened:
            print(f"memory, idle: {server.resident_bytes() / 1e6:.0f} MB")
            await _requests(server, opened, args.pods, args.requests)
            for count in args.watchers:
                await _fan_out(server, opened, count, args.pods)
            await _memory(server, opened, args.memory_objects)


async def _requests(server: Server, opened: list[Connection], pods: int, count: int) -> None:
    names = [f"pod-{index}" for index in range(pods)]
    await _measure("create pod", server, opened, (Request("POST", PODS_PATH, pod(name)) for name in names))
    await _measure("GET pod", server, opened, (Request("GET", f"{PODS_PATH}/{_pick(names, i)}") for i in range(count)))
    await _measure("patch pod", server, opened, (_patch(_pick(names, i), i) for i in range(min(count, 2 * pods))))
    listing = Request("GET", PODS_PATH, gzip=True)
    size = len(await opened[0].ask(Request("GET", PODS_PATH)))
    await _measure(f"LIST {pods} pods, {size / 1e6:.1f} MB, gzip", server, opened, (listing for _ in range(200)))
    await _measure("LIST, a change before each", server, opened[:1], _alternating(listing, names, 40), share=0.5)


def _alternating(listing: Request, names: list[str], count: int) -> Iterator[Request]:
    for index in range(count):
        yield _patch(names[index % len(names)], 1_000_000 + index)
        yield listing


def _patch(name: str, index: int) -> Request:
    labels = {"metadata": {"labels": {"touched": str(index)}}}
    return Request("PATCH", f"{PODS_PATH}/{name}", json.dumps(labels).encode(), MERGE_PATCH)


def _pick(names: list[str], index: int) -> str:
    """Spread over all names, so that neighbours in time are not neighbours in the store."""
    return names[index * 7919 % len(names)]


async def _measure(
    what: str, server: Server, opened: list[Connection], requests: Iterator[Request], *, share: float = 1.0
) -> None:
    """`share`: how many of the requests count, for the rate and the processor time per request."""
    await asyncio.sleep(SETTLE_S)
    cpu, begin = server.cpu_s(), time.perf_counter()
    seconds = await drive(opened, requests)
    elapsed, cpu = time.perf_counter() - begin, server.cpu_s() - cpu
    counted = len(seconds) * share
    print(
        f"{what:<36} {counted / elapsed:8.0f}/s  p50 {quantile(seconds, 0.5):7.1f} ms  "
        f"p99 {quantile(seconds, 0.99):7.1f} ms  cpu {1e6 * cpu / counted:7.0f} us"
    )


async def _fan_out(server: Server, opened: list[Connection], count: int, pods: int) -> None:
    """Events per second that reach all watchers together; changes come from all connections at once."""
    changes = max(200, 200_000 // count)
    names, first = [f"pod-{index}" for index in range(pods)], 1_000_000 * (1 + count)
    # Values that no earlier round wrote: a patch that changes nothing makes no event to wait for.
    patches = (_patch(_pick(names, i), first + i) for i in range(changes))
    listing = await opened[0].ask(Request("GET", PODS_PATH + "?limit=1"))
    revision = json.loads(listing.partition(b"\r\n\r\n")[2])["metadata"]["resourceVersion"]
    path = f"{PODS_PATH}?watch=true&allowWatchBookmarks=true&resourceVersion={revision}"
    async with watchers(server, path, count, changes) as done:
        await asyncio.sleep(SETTLE_S)
        cpu, begin = server.cpu_s(), time.perf_counter()
        await drive(opened, patches)
        await done.wait()
        elapsed, cpu = time.perf_counter() - begin, server.cpu_s() - cpu
    events = count * changes
    print(
        f"{f'watch, {count} watchers':<36} {events / elapsed:8.0f} events/s  cpu {1e6 * cpu / events:5.1f} us an event"
    )


async def _memory(server: Server, opened: list[Connection], count: int) -> None:
    await drive(opened, (Request("POST", "/api/v1/nodes", node(f"node-{i}")) for i in range(count)))
    existing = json.loads((await opened[0].ask(Request("GET", PODS_PATH + "?limit=1"))).partition(b"\r\n\r\n")[2])
    have = 1 + existing["metadata"].get("remainingItemCount", 0)
    await drive(opened, (Request("POST", PODS_PATH, pod(f"more-{i}", f"node-{i}")) for i in range(count - have)))
    await asyncio.sleep(SETTLE_S)
    print(f"memory, {count} nodes and {count} pods: {server.resident_bytes() / 1e6:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--watchers", type=lambda text: [int(count) for count in text.split(",")], default=[100, 1000])
    parser.add_argument("--memory-objects", type=int, default=6000)
    uvloop.run(main(parser.parse_args()))
