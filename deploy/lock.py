"""Writes the lock files: the versions of all Python packages that this .venv has and the project needs.

requirements.lock is what running needs, requirements-dev.lock adds what tests and checks need. pyproject.toml pins what
we name ourselves; the locks pin what those bring along.
"""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

FOLDER = Path(__file__).parent
PROJECT = "orch"
BUILD_TOOLS = ("setuptools",)
"""Needed to install the project itself without a download."""


def closure(extra: str) -> dict[str, str]:
    """Normalised name -> version of everything that the project needs with that extra."""
    found: dict[str, str] = {}
    pending = [(PROJECT, {extra}), *((tool, {""}) for tool in BUILD_TOOLS)]
    seen: set[tuple[str, str]] = set()
    while pending:
        name, extras = pending.pop()
        package = distribution(name)
        if name != PROJECT:
            found[re.sub(r"[-_.]+", "-", name).lower()] = package.version
        for text in package.requires or ():
            requirement = Requirement(text)
            key = (requirement.name, ",".join(sorted(requirement.extras)))
            wanted = any(not requirement.marker or requirement.marker.evaluate({"extra": e}) for e in {"", *extras})
            if wanted and key not in seen:
                seen.add(key)
                pending.append((requirement.name, set(requirement.extras)))
    return found


def write(name: str, extra: str) -> None:
    packages = closure(extra)
    header = "# Written by 'make lock'.\n"
    lines = [f"{package}=={packages[package]}\n" for package in sorted(packages)]
    (FOLDER / name).write_text(header + "".join(lines))


def main() -> int:
    write("requirements.lock", "")
    write("requirements-dev.lock", "dev")
    return 0


if __name__ == "__main__":
    sys.exit(main())
