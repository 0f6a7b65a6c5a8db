"""How long `orch get pods` takes on 1,000 pods, process start included, and beside it an empty Python process.

    .venv/bin/python -m benchmarks.get_pods [--kubeconfig FILE] [--pods 1000] [--runs 20]

The pods ask for a node that does not exist: they are objects only, and nothing runs while the time is taken.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import NAMESPACE, cluster_client, pod, row
from orch import kubeconfig
from orch.api.kinds import PODS

IN_FLIGHT = 32


async def main(config: Path, pods: int, runs: int) -> None:
    async with cluster_client(config) as client:
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def create(index: int) -> None:
            async with slots:
                await client.create(PODS, pod(f"pod-{index:04}", "none:1", {"no-such-label": ""}))

        async with asyncio.TaskGroup() as group:
            for index in range(pods):
                group.create_task(create(index))
        await asyncio.sleep(5)  # the scheduler says of each that it fits nowhere; take no time while it does
        get = [str(Path(sys.executable).with_name("orch")), "get", "pods", "-n", NAMESPACE, "--kubeconfig", str(config)]
        figures: dict[str, list[float]] = {"get": [], "python": []}
        for _ in range(runs):  # in turn, so that a change of the machine's speed meets both alike
            figures["get"].append(await asyncio.to_thread(_timed, get))
            figures["python"].append(await asyncio.to_thread(_timed, [sys.executable, "-c", "pass"]))
        print(row(f"orch get pods, {pods} pods", figures["get"]))
        print(row("python -c pass", figures["python"]))


def _timed(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    asyncio.run(main(kubeconfig.find(args.kubeconfig, os.environ)[0], args.pods, args.runs))
