"""The kubectl versions that tests run: Debian's, unpacked beside `.venv`, and every one found on this machine.

kubectl is a test dependency and never skipped: without Debian's package the tests fail and say how to get it.
"""

import asyncio
import glob
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEBIAN_DIRECTORY = ROOT / ".cache" / "kubernetes-client"
BESIDE = ("kubectl", "kubectl.[0-9]*", "kubectl-[0-9]*")
"""Names under which several versions are installed side by side."""
RUN_TIMEOUT_S = 60


@dataclass(frozen=True)
class Kubectl:
    path: str
    version: tuple[int, int]

    @property
    def name(self) -> str:
        return f"kubectl-{self.version[0]}.{self.version[1]}"

    async def run(self, kubeconfig: Path, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Standard output; with `check` a failure is an AssertionError with all that kubectl said."""
        process = await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(kubeconfig),
        )
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError:
            process.kill()
            raise AssertionError(f"{self.name} {' '.join(arguments)}: no end after {RUN_TIMEOUT_S} s") from None
        failed = process.returncode != 0
        assert not (check and failed), f"{self.name} {' '.join(arguments)}: {err.decode()}{out.decode()}"
        return out.decode() + (err.decode() if failed else "")

    def _environment(self, kubeconfig: Path) -> dict[str, str]:
        """Discovery is cached below HOME by server address; each kubeconfig's folder is a HOME of its own."""
        return {"PATH": os.environ["PATH"], "HOME": str(kubeconfig.parent), "KUBECONFIG": str(kubeconfig)}


@cache
def installed() -> tuple[Kubectl, ...]:
    """One per minor version, oldest first; Debian's is always there."""
    paths = [debian(), *_found()]
    by_version = {version: path for path in reversed(paths) if (version := version_of(path)) is not None}
    return tuple(Kubectl(path, version) for version, path in sorted(by_version.items()))


def newest() -> Kubectl:
    return installed()[-1]


def spread() -> tuple[Kubectl, ...]:
    """The oldest, one in the middle and the newest: enough to see what changed between versions."""
    known = installed()
    return tuple(dict.fromkeys((known[0], known[len(known) // 2], known[-1])))


def debian() -> str:
    """Debian's kubectl, downloaded and unpacked once; not installed, since another package may own its path."""
    path = DEBIAN_DIRECTORY / "usr" / "bin" / "kubectl"
    if not path.exists():
        download = DEBIAN_DIRECTORY / "download"
        download.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", "kubernetes-client"], cwd=download, check=True, timeout=300)
        package = next(download.glob("kubernetes-client_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), str(DEBIAN_DIRECTORY)], check=True, timeout=120)
    return str(path)


def _found() -> list[str]:
    on_path = shutil.which("kubectl")
    folders = {Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder}
    if on_path:
        folders.add(Path(on_path).resolve().parent)
    folders |= {Path(found).parent for found in glob.glob("/usr/lib/*/bin/kubectl")}
    return sorted({str(path.resolve()) for folder in folders for name in BESIDE for path in folder.glob(name)})


def version_of(path: str) -> tuple[int, int] | None:
    """None for a file that does not run or is no kubectl."""
    try:
        done = subprocess.run(
            [path, "version", "--client", "-o", "json"], capture_output=True, text=True, timeout=30, check=False
        )
    except OSError:
        return None
    found = re.search(r'"gitVersion":\s*"v(\d+)\.(\d+)', done.stdout)
    return (int(found[1]), int(found[2])) if found else None
