"""Volumes of a real cluster: data outlives pods, goes with its claim; files follow their objects."""

import time
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.pods import Manifest, pod

UPDATE_MAX_S = 2.0


def claim(name: str, size: str = "32Mi") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def user(name: str, *command: str, claim: str = "data") -> Manifest:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    return pod(name, *(command or ("sleep", "1000")), container=mounts, volumes=volumes)


def phase(cluster: Cluster, name: str) -> Any:
    return cluster.get("pvc", name)["status"].get("phase")


def disks(cluster: Cluster, volume: str) -> list[Path]:
    return list(cluster.spec.paths.state.rglob(f"volumes/{volume}/disk.img"))


def test_data_of_a_claim_outlives_its_pods_and_goes_with_the_claim(cluster: Cluster) -> None:
    cluster.apply(claim("data"))
    assert phase(cluster, "data") == "Pending"
    cluster.apply(user("writer"))
    first = cluster.wait_ready("writer")["spec"]["nodeName"]
    assert phase(cluster, "data") == "Bound"
    volume = cluster.get("pvc", "data")["spec"]["volumeName"]
    cluster.exec("writer", "sh", "-c", "echo kept > /data/file")
    too_much = "dd if=/dev/zero of=/data/big bs=1M count=40 2>&1 || true"
    assert "No space left" in cluster.exec("writer", "sh", "-c", too_much)
    cluster.exec("writer", "rm", "/data/big")
    cluster.delete("pod", "writer")
    cluster.apply(user("reader"))
    assert cluster.wait_ready("reader")["spec"]["nodeName"] == first
    assert cluster.exec("reader", "cat", "/data/file").strip() == "kept"
    assert len(disks(cluster, volume)) == 1
    cluster.orch("delete", "pvc", "data", "--wait=false")
    assert cluster.get("pvc", "data")["metadata"]["deletionTimestamp"]
    cluster.delete("pod", "reader")
    wait_until("the claim goes", lambda: not [c for c in cluster.list("pvc") if c["metadata"]["name"] == "data"])
    wait_until("the volume goes", lambda: not [v for v in cluster.list("pv") if v["metadata"]["name"] == volume])
    assert disks(cluster, volume) == []


def test_a_claim_grows_and_its_next_pod_has_the_room(cluster: Cluster) -> None:
    cluster.apply(claim("growing", "16Mi"), user("small", claim="growing"))
    cluster.wait_ready("small")
    grown = '{"spec":{"resources":{"requests":{"storage":"64Mi"}}}}'
    cluster.kubectl("patch", "pvc", "growing", "-p", grown)
    wait_until(
        "the volume is to grow",
        lambda: (
            cluster.get("pv", cluster.get("pvc", "growing")["spec"]["volumeName"])["spec"]["capacity"]["storage"]
            == "64Mi"
        ),
    )
    cluster.delete("pod", "small")
    wait_until("the claim has grown", lambda: cluster.get("pvc", "growing")["status"]["capacity"]["storage"] == "64Mi")
    assert not cluster.get("pvc", "growing")["status"].get("conditions")
    cluster.apply(user("large", claim="growing"))
    cluster.wait_ready("large")
    cluster.exec("large", "sh", "-c", "head -c 50000000 /dev/zero > /data/big")
    cluster.delete("pod", "large")
    cluster.orch("delete", "pvc", "growing")


def test_an_ephemeral_volume_lives_as_long_as_its_pod(cluster: Cluster) -> None:
    template = {"spec": claim("x")["spec"]}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    cluster.apply(pod("scratchy", "sleep", "1000", container=mounts, volumes=volumes))
    cluster.wait_ready("scratchy")
    volume = cluster.get("pvc", "scratchy-v")["spec"]["volumeName"]
    cluster.exec("scratchy", "touch", "/data/file")
    cluster.delete("pod", "scratchy")
    wait_until("the volume goes", lambda: not [v for v in cluster.list("pv") if v["metadata"]["name"] == volume])
    assert disks(cluster, volume) == []


def test_files_follow_their_objects_within_two_seconds(cluster: Cluster) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "live"}, "data": {"a": "1", "b": "1"}}
    labels = {"fieldRef": {"fieldPath": "metadata.labels"}, "path": "labels"}
    volumes = [{"name": "c", "configMap": {"name": "live"}}, {"name": "d", "downwardAPI": {"items": [labels]}}]
    mounts = [
        {"name": "c", "mountPath": "/c"},
        {"name": "d", "mountPath": "/d"},
        {"name": "c", "mountPath": "/fixed", "subPath": "a"},
    ]
    cluster.apply(config, pod("live", "sleep", "1000", container={"volumeMounts": mounts}, volumes=volumes))
    cluster.wait_ready("live")
    cluster.apply(config | {"data": {"a": "2", "b": "2"}})
    began = time.monotonic()
    wait_until("the new data", lambda: cluster.exec("live", "cat", "/c/a", "/c/b") == "22", UPDATE_MAX_S)
    cluster.kubectl("label", "pod", "live", "tier=new")
    wait_until("the new label", lambda: 'tier="new"' in cluster.exec("live", "cat", "/d/labels"), UPDATE_MAX_S)
    assert time.monotonic() - began < 2 * UPDATE_MAX_S
    assert cluster.exec("live", "cat", "/fixed") == "1"
    cluster.orch("delete", "pod/live", "configmap/live")
