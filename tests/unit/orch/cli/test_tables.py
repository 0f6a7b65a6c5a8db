"""Alignment of tables."""

from orch.cli.tables import align, widths


def test_columns_stand_three_spaces_apart() -> None:
    assert align([["NAME", "AGE"], ["longer", "1s"]]) == "NAME     AGE\nlonger   1s\n"


def test_a_cell_wider_than_measured_still_ends_before_the_next() -> None:
    measured = widths([["NAME", "STATUS", "AGE"]])
    assert align([["a", "ContainerCreating", "0s"]], measured) == "a      ContainerCreating   0s\n"
