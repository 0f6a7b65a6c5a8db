"""Brings a local cluster up, takes it down, and tells how it is.

`up` is level-triggered: it looks at each part and makes what is missing, so that it serves as first start, repair, and
start after a reboot. A start that fails leaves nothing behind but the data that was there. `down` removes what the
cluster's name owns.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.local import access, cgroups, control_plane, network, nodes, preflight, processes
from deploy.local import spec as specs
from deploy.local.commands import run
from deploy.local.control_plane import Part
from deploy.local.spec import ClusterError, ClusterSpec, Paths
from orch.kit.files import write_atomic

READY_WAIT_S = 60.0
MEMORY_FOR_NODES = 0.9
"""Of the machine's memory; the rest is for the control plane and the machine itself."""
MEMORY_ALIGN_BYTES = 1024**2

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
SIGNAL_EXIT_BASE = 128

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for; None leaves it to the existing cluster, else to a default."""

    name: str
    node_count: int | None = None
    port: int | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    outbound: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `status`."""

    part: str
    running: bool
    pid: int
    address: str
    log: Path


def up(wanted: Wanted, say: Say) -> bool:
    """Whether anything had to be done. `say` gets one line per step. Raises ClusterError, SystemExit for a signal."""
    specs.check_name(wanted.name)
    preflight.check_machine()
    with _lock(say), _signals_raised():
        known = specs.load(wanted.name)
        spec = _same(known, wanted) if known else _new_spec(wanted)
        ran = known is not None and any(row.running for row in _rows(known))
        try:
            return _bring_up(spec, say)
        except BaseException:
            if not ran:
                _take_down(spec, keep_data=known is not None, say=lambda line: None)
            raise


@contextmanager
def _signals_raised() -> Iterator[None]:
    """The first one ends what we do by SystemExit (as a shell reports it); later ones do not disturb cleaning up."""

    def end(number: int, frame: object) -> None:
        for signal_number in ENDING_SIGNALS:
            signal.signal(signal_number, signal.SIG_IGN)
        raise SystemExit(SIGNAL_EXIT_BASE + number)

    before = {number: signal.signal(number, end) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def down(name: str, *, keep_data: bool, say: Say) -> bool:
    """Whether there was such a cluster. Raises ClusterError."""
    specs.check_name(name)
    if os.geteuid() != 0:
        raise ClusterError("taking a local cluster down needs root: run it with sudo")
    with _lock(say):
        try:
            spec = specs.load(name)
        except ClusterError:
            spec = _any_spec(name)
        if spec is None:
            return False
        _take_down(spec, keep_data=keep_data, say=say)
        return True


def status(name: str) -> list[Row]:
    """Every process that the cluster should have. Raises ClusterError when there is no such cluster."""
    return _rows(existing(name))


def _rows(spec: ClusterSpec) -> list[Row]:
    rows = []
    for part in control_plane.parts(spec):
        rows.append(_row(part.name, processes.read(_pidfile(spec, part.name)), part.address, _log(spec, part.name)))
    for node in spec.nodes:
        rows.append(_row(node.name, nodes.find(spec, node).agent, node.address, nodes.log_of(spec, node)))
    return rows


def existing(name: str) -> ClusterSpec:
    """Raises ClusterError when there is no such cluster."""
    spec = specs.load(name)
    if spec is None:
        known = ", ".join(specs.names()) or "none"
        raise ClusterError(f"no cluster named {name}: there are {known}")
    return spec


def _row(name: str, process: processes.Process | None, address: str, log: Path) -> Row:
    return Row(name, process is not None, process.pid if process else 0, address, log)


def _new_spec(wanted: Wanted) -> ClusterSpec:
    count = wanted.node_count or 1
    memory = Path("/proc/meminfo").read_text().split()[1]
    share = int(int(memory) * 1024 * MEMORY_FOR_NODES / count)
    return ClusterSpec(
        name=wanted.name,
        node_count=count,
        subnet=network.choose_subnet(),
        cpus=wanted.cpus or round((os.cpu_count() or 1) / count, 3),
        memory_bytes=wanted.memory_bytes or share - share % MEMORY_ALIGN_BYTES,
        port=wanted.port or specs.DEFAULT_PORT,
        outbound=True if wanted.outbound is None else wanted.outbound,
    )


def _any_spec(name: str) -> ClusterSpec:
    """For a cluster whose own file is broken: covers every name that one could own. Good for removal only."""
    return ClusterSpec(name, specs.NODES_MAX, str(network.SUBNET_POOL), 1.0, 1)


def _same(known: ClusterSpec, wanted: Wanted) -> ClusterSpec:
    """The existing cluster, if what is asked for does not differ from it."""
    for field in ("node_count", "port", "cpus", "memory_bytes", "outbound"):
        asked, has = getattr(wanted, field), getattr(known, field)
        if asked is not None and asked != has:
            raise ClusterError(
                f"cluster {known.name} exists already, with {field.replace('_', ' ')} {has}, not {asked}: "
                f"choose another --name, or 'orch cluster down --name {known.name}' first"
            )
    return known


@contextmanager
def _lock(say: Say) -> Iterator[None]:
    """One `up` or `down` at a time on a machine: they choose subnets and count clusters."""
    descriptor = _locked_folder(say)
    try:
        yield
    finally:
        _remove_if_empty(specs.RUN_ROOT)
        os.close(descriptor)


def _locked_folder(say: Say) -> int:
    """The run folder itself is the lock. Whoever held it before may have removed the folder: then it is a new one."""
    while True:
        specs.RUN_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(specs.RUN_ROOT, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting: another 'orch cluster up' or 'down' is at work")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if specs.RUN_ROOT.exists() and os.path.samestat(os.fstat(descriptor), specs.RUN_ROOT.stat()):
            return descriptor
        os.close(descriptor)


def _bring_up(spec: ClusterSpec, say: Say) -> bool:
    parts = control_plane.parts(spec)
    missing = [part for part in parts if processes.read(_pidfile(spec, part.name)) is None]
    preflight.check_ports(spec, tuple(port for part in missing for port in part.ports))
    specs.save(spec)
    spec.paths.run.mkdir(mode=0o755, exist_ok=True)
    done = _step(say, f"network {spec.bridge} ({spec.subnet})", network.ensure_bridge(spec), "set up", "is there")
    done |= _step(say, "way out by NAT", network.ensure_outbound(spec), "made") if spec.outbound else False
    if missing:
        _initialize(spec)
        cgroups.create(cgroups.of_this_machine(), f"{spec.paths.cgroup}/{cgroups.CONTROL_PLANE}")
    for part in parts:
        done |= _step(say, f"{part.name} on {part.address}", _ensure_part(spec, part), "started", "is running")
    access.write(spec)
    began = datetime.now(UTC)
    heard_after = {node.name: began for node in spec.nodes} if missing else {}
    for node in spec.nodes:
        powered = nodes.ensure_machine(spec, node)
        started = nodes.ensure_agent(spec, node) or powered
        heard_after |= {node.name: began} if started else {}
        done |= _step(say, f"{node.name} on {node.address}", started, "started", "is running")
    access.wait_for_nodes(spec, heard_after, READY_WAIT_S, say)
    return done


def _step(say: Say, what: str, done: bool, verb: str, otherwise: str = "") -> bool:
    if done or otherwise:
        say(f"{what}: {verb if done else otherwise}")
    return done


def _initialize(spec: ClusterSpec) -> None:
    run([
        preflight.own_executable("orch-server"), "init",
        "--state-dir", str(spec.paths.server),
        "--cluster-name", spec.name,
        "--advertise-address", spec.gateway,
        "--port", str(spec.ports.api),
    ])  # fmt: skip


def _ensure_part(spec: ClusterSpec, part: Part) -> bool:
    """Whether it had to be started. A part that does not become ready is stopped again."""
    if processes.read(_pidfile(spec, part.name)) is not None:
        return False
    for path, text in part.files.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    log = _log(spec, part.name)
    group = f"{spec.paths.cgroup}/{cgroups.CONTROL_PLANE}"
    process = processes.spawn(cgroups.inside(cgroups.of_this_machine(), group, part.command), log)
    processes.write(_pidfile(spec, part.name), process)
    processes.wait_for(lambda: not process.alive or part.ready(), READY_WAIT_S)
    if not process.alive:
        raise ClusterError(f"{part.name} does not start: {processes.last_line(log)}")
    if not part.ready():
        processes.stop(process, grace_s=part.stop_grace_s)
        raise ClusterError(f"{part.name} is not ready after {READY_WAIT_S:g} s: {processes.last_line(log)}")
    return True


def _take_down(spec: ClusterSpec, *, keep_data: bool, say: Say) -> None:
    for node in spec.nodes:
        nodes.power_off(spec, node)
    say("nodes: stopped")
    for part in reversed(control_plane.parts(spec)):
        process = processes.read(_pidfile(spec, part.name))
        if process is not None:
            processes.stop(process, grace_s=part.stop_grace_s)
            say(f"{part.name}: stopped")
    cgroups.remove(cgroups.of_this_machine(), spec.paths.cgroup)
    network.remove(spec)
    shutil.rmtree(spec.paths.run, ignore_errors=True)
    if not any(path.is_dir() for path in specs.RUN_ROOT.iterdir()):
        network.restore_forwarding()
    if not keep_data:
        _remove_data(spec.paths)
    say("network, cgroups and run folder: removed" + ("; data kept" if keep_data else ", data too"))


def _remove_data(paths: Paths) -> None:
    """The spec goes last: as long as it is there, `down` can be called again."""
    for path in (paths.home, *(child for child in paths.state.glob("*") if child != paths.spec_file), paths.state):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in (paths.home.parent, paths.state.parent, paths.state.parent.parent):
        _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _pidfile(spec: ClusterSpec, part: str) -> Path:
    return spec.paths.run / f"{part}.pid"


def _log(spec: ClusterSpec, part: str) -> Path:
    return spec.paths.logs / f"{part}.log"
