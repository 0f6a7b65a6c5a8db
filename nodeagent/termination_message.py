"""What a container says when it ends: the file at its terminationMessagePath or, if asked for, the end of its log.

The limits are kubelet's (pkg/kubelet/container/runtime.go): 4,096 bytes of the file, 2,048 bytes and 80 lines of the
log. Each attempt has a file of its own beside its log; the container writes into it through a bind mount.
"""

from pathlib import Path

import structlog

from nodeagent.log_reader import log_files, parse_entry
from nodeagent.runtime.interface import ContainerState, ContainerStatus, Mount
from orch.api.pod.container import Container

log = structlog.get_logger(__name__)

MESSAGE_BYTES_MAX = 4_096
LOG_BYTES_MAX, LOG_LINES_MAX = 2_048, 80
LOG_READ_BYTES_MAX = 64 * 1_024
"""The end of the log file, in which the last lines are looked for: the format adds to each."""
FILE_MODE = 0o666
"""Whatever user the container runs as."""


def message_file(folder: Path, attempt: int) -> Path:
    """`folder` is the container's log folder."""
    return folder / f"{attempt}.message"


def message_mount(folder: Path, container: Container, attempt: int) -> tuple[Mount, ...]:
    """Makes the file, empty. Raises OSError."""
    if not container.termination_message_path:
        return ()
    path = message_file(folder, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(FILE_MODE)
    return (Mount(str(path), container.termination_message_path),)


def termination_message(folder: Path, container: Container, status: ContainerStatus) -> str:
    """Of a container that has ended; what cannot be read is no message."""
    if status.state is not ContainerState.EXITED:
        return ""
    try:
        text = _end_of(message_file(folder, status.attempt), MESSAGE_BYTES_MAX).decode(errors="replace")
        falls_back = container.termination_message_policy == "FallbackToLogsOnError" and status.exit_code != 0
        return _end_of_log(folder, status.attempt) if falls_back and not text else text
    except OSError as error:
        log.warning("termination_message_unreadable", container=status.id, error=str(error))
        return ""


def _end_of(path: Path, length: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - length, 0))
        return file.read(length)


def _end_of_log(folder: Path, attempt: int) -> str:
    files = log_files(folder, attempt)
    if not files:
        return ""
    entries = [parse_entry(line) for line in _end_of(files[-1], LOG_READ_BYTES_MAX).splitlines()]
    lines = b"".join(entry.text for entry in entries if entry is not None).splitlines(keepends=True)
    return b"".join(lines[-LOG_LINES_MAX:])[-LOG_BYTES_MAX:].decode(errors="replace")
