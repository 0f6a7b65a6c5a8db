"""The OCI runtime's command line (runtime-spec, "Operations"): crun, or runc, which takes the same arguments.

`create` is not here: the monitor calls it (conmon.py). Containers' state folders lie below `root`, on tmpfs.
"""

import os
from collections.abc import Mapping

from nodeagent.runtime.interface import RuntimeFault
from nodeagent.runtime.process import run

COMMAND_TIMEOUT_S = 30
START_FIFO = "exec.fifo"
"""Both runtimes keep it in the state folder from create until start: the container's init waits on it."""
COMPILED_FILTER = "seccomp.bpf"
HANDLERS = {"crun": "/usr/bin/crun", "runc": "/usr/bin/runc"}
"""RuntimeClass handler -> binary."""
DEFAULT_HANDLER = "crun"


class OciRuntimes:
    """The node's handlers. Each has a state folder of its own below `run_dir`."""

    def __init__(self, binaries: Mapping[str, str], default: str, run_dir: str) -> None:
        self._handlers = {name: OciRuntime(binary, os.path.join(run_dir, name)) for name, binary in binaries.items()}
        self._default = default

    def named(self, handler: str) -> "OciRuntime":
        """Empty: the default. Raises RuntimeFault."""
        if (found := self._handlers.get(handler or self._default)) is None:
            known = ", ".join(sorted(self._handlers))
            raise RuntimeFault(f"this node has no runtime handler {handler!r}; it has {known}")
        return found


class OciRuntime:
    def __init__(self, binary: str, root: str) -> None:
        self.binary, self.root = binary, root
        os.makedirs(root, mode=0o700, exist_ok=True)

    @property
    def takes_compiled_filters(self) -> bool:
        """crun alone knows the annotation, and keeps the filter that it compiled."""
        return os.path.basename(self.binary) == "crun"

    @property
    def hands_over_terminals(self) -> bool:
        """Whether `exec` gives a terminal's master away and still waits for the command; runc does one or the other."""
        return os.path.basename(self.binary) != "runc"

    async def create(self, container_id: str, bundle: str, pid_file: str) -> None:
        """Without a monitor, for what has no output and no exit code to keep: a pod's pause. Raises RuntimeFault."""
        await self._run("create", "--bundle", bundle, "--pid-file", pid_file, container_id)

    async def start(self, container_id: str) -> None:
        """Raises RuntimeFault."""
        await self._run("start", container_id)

    async def delete(self, container_id: str) -> None:
        """Kills what runs; no error when there is nothing. Raises RuntimeFault."""
        try:
            if self.knows(container_id):
                await self._run("delete", "--force", container_id)
        except RuntimeFault:
            if self.knows(container_id):
                raise
            # else a `delete` begun by an agent that was killed since was faster

    def knows(self, container_id: str) -> bool:
        return os.path.isdir(self._state(container_id))

    def waits_for_start(self, container_id: str) -> bool:
        return os.path.exists(os.path.join(self._state(container_id), START_FIFO))

    def compiled_filter(self, container_id: str) -> str:
        """Where the compiled seccomp filter of a created container lies."""
        return os.path.join(self._state(container_id), COMPILED_FILTER)

    def _state(self, container_id: str) -> str:
        return os.path.join(self.root, container_id)

    async def _run(self, verb: str, *arguments: str) -> None:
        done = await run([self.binary, "--root", self.root, verb, *arguments], timeout_s=COMMAND_TIMEOUT_S)
        if done.exit_code != 0:
            raise RuntimeFault(f"{os.path.basename(self.binary)} {verb} {arguments[-1]}: {done.output}")
