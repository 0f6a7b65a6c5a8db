"""What the agent's own rights allow."""

import resource

import pytest

from nodeagent.runtime import host
from nodeagent.runtime.cgroups import Cgroups, detect_here

CAPABLE, PLAIN = f"{1 << host.CAP_SYS_RESOURCE:x}", "0"


@pytest.mark.parametrize(
    ("capabilities", "limit", "files"),
    [
        pytest.param(PLAIN, 20_000, 20_000, id="its own limit"),
        pytest.param(PLAIN, 1 << 40, host.OPEN_FILES_MAX, id="never more than all runtimes give"),
        pytest.param(CAPABLE, 20_000, host.OPEN_FILES_MAX, id="above its own limit"),
    ],
)
def test_limits_are_clamped_to_what_the_agent_may_set(
    monkeypatch: pytest.MonkeyPatch, capabilities: str, limit: int, files: int
) -> None:
    monkeypatch.setattr(host, "_mask", lambda name: int(capabilities, 16))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1_024, limit))
    found = host.facts(Cgroups(detect_here()))
    assert found.open_files_max == files
    with open("/proc/self/oom_score_adj") as file:
        own_score = int(file.read())
    assert found.oom_score_adj_min == (host.OOM_SCORE_ADJ_MIN if capabilities == CAPABLE else own_score)
