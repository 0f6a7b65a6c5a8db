"""Builds what keeps a node from running short, from the agent's options: the part of the composition root that is about
pressure and image garbage."""

import argparse
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from nodeagent.images.garbage import ImageGarbage, Policy
from nodeagent.images.service import NodeImages
from nodeagent.outbox import Outbox
from nodeagent.pressure import DEFAULT_HARD, Level, duration_s, thresholds
from nodeagent.pressure_alarm import MemoryAlarm
from nodeagent.pressure_relief import EvictionPolicy, NodeConditions, NodePods, PressureRelief
from nodeagent.pressure_signals import disk_levels, read_levels
from nodeagent.pressure_usage import EmptyDirs
from nodeagent.runtime.cgroups import Layout
from nodeagent.runtime.interface import Runtime
from orch.kit.clock import Clock

IMAGES_FOLDER = "images"


def eviction_policy(options: argparse.Namespace) -> EvictionPolicy:
    """Raises InvalidThresholds."""
    found = thresholds(
        DEFAULT_HARD if options.eviction_hard is None else options.eviction_hard,
        options.eviction_soft,
        options.eviction_soft_grace_period,
        options.eviction_minimum_reclaim,
    )
    transition_s = duration_s(options.eviction_pressure_transition_period)
    return EvictionPolicy(found, transition_s, options.eviction_max_pod_grace_period)


def image_policy(options: argparse.Namespace) -> Policy:
    """Raises InvalidPolicy, InvalidThresholds."""
    return Policy(
        options.image_gc_high_threshold, options.image_gc_low_threshold, duration_s(options.minimum_image_ttl_duration)
    )


def image_garbage(
    policy: Policy, state_dir: Path, images: NodeImages, runtime: Runtime, outbox: Outbox, clock: Clock
) -> ImageGarbage:
    async def in_use() -> Collection[str]:
        return {container.image_id for container in await runtime.list_containers()}

    disk = partial(_bytes_of, state_dir / IMAGES_FOLDER)
    return ImageGarbage(images, in_use, disk, policy, outbox.node_event, clock)


def pressure_relief(
    policy: EvictionPolicy,
    options: argparse.Namespace,
    layout: Layout,
    memory: Callable[[], Level],
    *,
    conditions: NodeConditions,
    runtime: Runtime,
    pods: NodePods,
    images: ImageGarbage,
    empty_dirs: EmptyDirs,
    outbox: Outbox,
    tell_node: Callable[[], None],
    clock: Clock,
) -> PressureRelief:
    return PressureRelief(
        policy=policy,
        conditions=conditions,
        levels=partial(read_levels, memory, options.state_dir, options.state_dir / IMAGES_FOLDER),
        alarm=MemoryAlarm(layout, options.cgroup_root),
        runtime=runtime,
        pods=pods,
        images=images,
        empty_dirs=empty_dirs,
        tell=outbox.node_event,
        tell_node=tell_node,
        clock=clock,
    )


def _bytes_of(folder: Path) -> Level:
    return disk_levels(folder)[0]
