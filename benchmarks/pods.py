"""How long from creating a pod (the API call begins) to seeing it Running (a watch), its image being on the node.

    make up; make down                                       # for the image's files
    .venv/bin/orch cluster up --nodes 1
    .venv/bin/orch image build -t quickstart:1 --push manifests/quickstart
    .venv/bin/python -m benchmarks.pods [--kubeconfig FILE] [--image quickstart:1] [--count 20] [--bursts 50 110]

A cluster of one node, because local nodes share the machine: each of three may use a third of its processors. One at a
time, then bursts on one node; and from deleting to gone, one second of which is the grace period (the API
makes 1 of 0, and `sleep` as a container's first process does not heed SIGTERM). With the first burst's pods at rest:
what they and the node's agent cost, for a cluster on this machine.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import node_processes as processes
from benchmarks.figures import NAMESPACE, cluster_client, pod, row
from orch import kubeconfig
from orch.api.kinds import NODES, PODS
from orch.api.pod.spec import Pod
from orch.client.client import Client, EventType, WatchEvent

TIMEOUT_S = 120.0
SETTLE_S = 5.0
"""For the last reports of pods that have just started."""
MEGABYTE = 1024 * 1024


async def main(config: Path, image: str, count: int, bursts: Sequence[int], node: str, idle_s: float) -> None:
    selector = {"kubernetes.io/hostname": node}
    agent = processes.agent_of(node, urlsplit(kubeconfig.load([config]).server).port or 443)
    async with cluster_client(config) as client:
        await _look_at_node(client, node, max(bursts))
        await _started(client, image, ["warm-up"], selector)
        started: list[float] = []
        gone: list[float] = []
        for index in range(count):
            started += await _started(client, image, [f"single-{index}"], selector)
            gone += await _gone(client, [f"single-{index}"])
        print(row("create -> seen Running, one at a time", started))
        print(row("delete -> gone, one at a time", gone))
        await _gone(client, ["warm-up"])
        for burst in bursts:
            names = [f"burst-{burst}-{index}" for index in range(burst)]
            print(row(f"create -> seen Running, {burst} at once", await _started(client, image, names, selector)))
            if burst == bursts[0]:
                print(await _idle_cost(agent, idle_s))
            print(row(f"delete -> gone, {burst} at once", await _gone(client, names)))


async def _look_at_node(client: Client, node: str, burst: int) -> None:
    """Says what share of the machine is measured. Raises SystemExit when the node has no room for the largest burst."""
    capacity = (await client.get(NODES, node)).status.capacity or {}
    there = [pod for pod in (await client.list(PODS)).items if pod.spec.node_name == node]
    if (room := int(str(capacity["pods"])) - len(there)) < burst:
        raise SystemExit(f"{node} has room for {room} pods more: give smaller --bursts, or delete what runs there")
    print(f"{node}: {capacity['cpu']} of this machine's {os.cpu_count()} CPUs")


async def _idle_cost(agent: int, seconds: float) -> str:
    await asyncio.sleep(SETTLE_S)
    monitors = processes.monitors_beside(agent)
    before_s = processes.cpu_s(agent)
    before_monitors_s = sum(map(processes.cpu_s, monitors))
    await asyncio.sleep(seconds)
    agent_share = (processes.cpu_s(agent) - before_s) / seconds
    monitors_share = (sum(map(processes.cpu_s, monitors)) - before_monitors_s) / seconds
    proportional = sum(map(processes.proportional_bytes, monitors)) / len(monitors)
    resident = processes.resident_bytes(agent)
    return (
        f"idle over {seconds:.0f} s: agent {resident / MEGABYTE:.1f} MB, {agent_share:.2%} of a core; "
        f"{len(monitors)} monitors {proportional / MEGABYTE:.2f} MB each (proportional), {monitors_share:.2%} of a core"
    )


async def _started(client: Client, image: str, names: Sequence[str], selector: dict[str, str]) -> list[float]:
    """Seconds of each pod until it is seen Running, from one common beginning."""
    requests = [client.create(PODS, pod(name, image, selector)) for name in names]
    return await _seconds(client, names, requests, lambda event: event.obj.status.phase == "Running")


async def _gone(client: Client, names: Sequence[str]) -> list[float]:
    requests = [client.delete(PODS, name, NAMESPACE) for name in names]
    return await _seconds(client, names, requests, lambda event: event.type is EventType.DELETED)


async def _seconds(
    client: Client,
    names: Sequence[str],
    requests: Sequence[Coroutine[Any, Any, object]],
    is_it: Callable[[WatchEvent[Pod]], bool],
) -> list[float]:
    """How long after the requests began the event came, pod by pod. Raises TimeoutError."""
    revision = (await client.list(PODS, NAMESPACE)).resource_version
    begin, waiting, seconds = time.perf_counter(), set(names), []
    async with (
        asyncio.timeout(TIMEOUT_S),
        client.watch(PODS, NAMESPACE, resource_version=revision) as events,
        asyncio.TaskGroup() as group,
    ):
        for request in requests:
            group.create_task(request)
        async for event in events:
            if is_it(event) and event.obj.metadata.name in waiting:
                waiting.remove(event.obj.metadata.name)
                seconds.append(time.perf_counter() - begin)
            if not waiting:
                break
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--image", default="quickstart:1")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--bursts", type=int, nargs="+", default=[50, 110])
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--node", default="node-1")
    args = parser.parse_args()
    path = kubeconfig.find(args.kubeconfig, os.environ)[0]
    asyncio.run(main(path, args.image, args.count, args.bursts, args.node, args.idle_seconds))
