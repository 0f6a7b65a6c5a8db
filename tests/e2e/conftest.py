"""One three-node cluster for all end-to-end tests: brought up once, with the quick start's image in its registry."""

from collections.abc import Iterator

import pytest

from tests import quickstart
from tests.e2e.cluster import ORCH, Cluster

NAME = "e2e"
PORT = 26443


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(NAME, tmp_path_factory.mktemp("home"))
    cluster.run([ORCH, "cluster", "down", "--name", NAME], check=False)
    try:
        cluster.orch("cluster", "up", "--name", NAME, "--nodes", "3", "--port", str(PORT))
        cluster.orch("image", "build", "-t", "quickstart:1", "--push", str(quickstart.context(cluster.home)))
        yield cluster
    finally:
        cluster.orch("cluster", "down", "--name", NAME)
