"""The limit of every test, seen in a run of its own."""

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import asyncio, threading

def test_that_hangs():
    try:
        threading.Event().wait()
    except Exception:
        pass

async def test_that_hangs_in_a_loop():
    await asyncio.Event().wait()

def test_after_it():
    pass
"""


def test_one_that_hangs_fails_and_the_next_runs(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text().replace("TEST_LIMIT_S = 120", "TEST_LIMIT_S = 1"))
    (tmp_path / "test_x.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert "2 failed, 1 passed" in done.stdout
    assert "TookTooLong: test_x.py::test_that_hangs: not done within 1 s" in done.stdout
