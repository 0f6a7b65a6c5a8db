import pytest

from controlplane.store.etcd_upkeep import Step, Usage, decide_upkeep

MIB = 1024 * 1024
QUOTA = 2048 * MIB


@pytest.mark.parametrize(
    ("usage", "steps"),
    [
        pytest.param(Usage(100 * MIB, 90 * MIB), [], id="small"),
        pytest.param(Usage(50 * MIB, 10 * MIB), [], id="a small file is not worth it"),
        pytest.param(Usage(200 * MIB, 60 * MIB), [Step.DEFRAGMENT], id="mostly free"),
        pytest.param(Usage(1700 * MIB, 1500 * MIB), [Step.DEFRAGMENT], id="the file nears the quota"),
        pytest.param(Usage(1800 * MIB, 1700 * MIB), [Step.WARN], id="the data near the quota"),
        pytest.param(Usage(2048 * MIB, 2000 * MIB, (1,)), [Step.WARN, Step.DEFRAGMENT], id="full"),
        pytest.param(Usage(900 * MIB, 900 * MIB, (1,)), [Step.DISARM], id="room was made"),
    ],
)
def test_upkeep(usage: Usage, steps: list[Step]) -> None:
    assert decide_upkeep(usage, QUOTA) == steps
