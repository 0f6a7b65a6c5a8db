"""Runs system commands to their end. A failure becomes one line that names the command and what it said."""

import subprocess
from collections.abc import Sequence

from deploy.local.spec import ClusterError

COMMAND_TIMEOUT_S = 30


def run(command: Sequence[str], *, stdin: str = "") -> str:
    """What it printed. Raises ClusterError."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not installed: 'make up' installs what is needed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command)}: did not end within {COMMAND_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {_said(done)}")
    return done.stdout


def succeeds(command: Sequence[str], *, stdin: str = "") -> bool:
    try:
        run(command, stdin=stdin)
    except ClusterError:
        return False
    return True


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"
