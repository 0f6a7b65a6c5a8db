"""Defaults and rules of PersistentVolume, PersistentVolumeClaim and StorageClass."""

from typing import Any

import pytest
from msgspec.structs import replace

from orch.api.kind import Kind
from orch.api.kinds import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES
from orch.api.storageclass import default_class
from tests.unit.orch.api.objects import brief, made

VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
TERMS = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}

CASES: list[tuple[Kind[Any], dict[str, Any], list[tuple[str, str]]]] = [
    (PERSISTENTVOLUMES, VOLUME, []),
    (
        PERSISTENTVOLUMES,
        {},
        [("spec.accessModes", "Required"), ("spec.capacity", "Required"), ("spec", "Required")],
    ),
    (PERSISTENTVOLUMES, {**VOLUME, "capacity": {"cpu": 1}}, [("spec.capacity", "NotSupported")]),
    (PERSISTENTVOLUMES, {**VOLUME, "capacity": {"storage": 0}}, [("spec.capacity[storage]", "Invalid")]),
    (PERSISTENTVOLUMES, {**VOLUME, "nfs": {"server": "s", "path": "/"}}, [("spec.nfs", "Forbidden")]),
    (PERSISTENTVOLUMES, {**VOLUME, "hostPath": {}}, [("spec.hostPath.path", "Required")]),
    (PERSISTENTVOLUMES, {**VOLUME, "hostPath": {"path": "/a/../b"}}, [("spec.hostPath.path", "Invalid")]),
    (
        PERSISTENTVOLUMES,
        {**VOLUME, "hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
        [("spec.persistentVolumeReclaimPolicy", "Forbidden")],
    ),
    (
        PERSISTENTVOLUMES,
        {**VOLUME, "hostPath": None, "local": {"path": "/d"}},
        [("metadata.annotations", "Required")],
    ),
    (
        PERSISTENTVOLUMES,
        {**VOLUME, "hostPath": None, "local": {"path": "/d"}, "nodeAffinity": {"required": TERMS}},
        [],
    ),
    (PERSISTENTVOLUMES, {**VOLUME, "nodeAffinity": {}}, [("spec.nodeAffinity.required", "Required")]),
    (
        PERSISTENTVOLUMES,
        {**VOLUME, "nodeAffinity": {"required": {}}},
        [("spec.nodeAffinity.required.nodeSelectorTerms", "Required")],
    ),
    (
        PERSISTENTVOLUMES,
        {**VOLUME, "volumeMode": "Tape", "storageClassName": "A", "persistentVolumeReclaimPolicy": "Keep"},
        [
            ("spec.persistentVolumeReclaimPolicy", "NotSupported"),
            ("spec.volumeMode", "NotSupported"),
            ("spec.storageClassName", "Invalid"),
        ],
    ),
    (PERSISTENTVOLUMECLAIMS, CLAIM, []),
    (PERSISTENTVOLUMECLAIMS, {}, [("spec.accessModes", "Required"), ("spec.resources[storage]", "Required")]),
    (PERSISTENTVOLUMECLAIMS, {**CLAIM, "accessModes": ["Any"]}, [("spec.accessModes", "NotSupported")]),
    (
        PERSISTENTVOLUMECLAIMS,
        {**CLAIM, "accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
        [("spec.accessModes", "Forbidden")],
    ),
    (
        PERSISTENTVOLUMECLAIMS,
        {**CLAIM, "resources": {"requests": {"storage": 0}}},
        [("spec.resources[storage]", "Invalid")],
    ),
    (
        PERSISTENTVOLUMECLAIMS,
        {**CLAIM, "dataSourceRef": {"kind": "Thing", "name": "x", "namespace": "other"}},
        [("spec.dataSourceRef", "Invalid")],
    ),
    (
        PERSISTENTVOLUMECLAIMS,
        {**CLAIM, "dataSource": {"kind": "PersistentVolumeClaim", "name": "x"},
         "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "y"}},
        [("spec", "Invalid")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "spec", "causes"), CASES, ids=[f"{kind.kind}-{index}" for index, (kind, _, _) in enumerate(CASES)]
)
def test_rules(kind: Kind[Any], spec: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    assert brief(kind.validate(made(kind, {"spec": spec}))) == causes


CLASS_CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"provisioner": "orch.io/local", "parameters": {"a": "b"}}, []),
    ({}, [("provisioner", "Required")]),
    ({"provisioner": "a b", "parameters": {"": "b"}}, [("provisioner", "Invalid"), ("parameters", "Invalid")]),
    (
        {"provisioner": "a", "reclaimPolicy": "Recycle", "volumeBindingMode": "Later"},
        [("reclaimPolicy", "NotSupported"), ("volumeBindingMode", "NotSupported")],
    ),
    (
        {
            "provisioner": "a",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": ["b"]}, {"key": "a"}]}],
        },
        [
            ("allowedTopologies[0].matchLabelExpressions[1].values", "Required"),
            ("allowedTopologies[0].matchLabelExpressions[1].key", "Duplicate"),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "causes"), CLASS_CASES)
def test_rules_of_storage_classes(plain: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    assert brief(STORAGECLASSES.validate(made(STORAGECLASSES, plain))) == causes


def test_defaults() -> None:
    volume = made(PERSISTENTVOLUMES, {"spec": {**VOLUME, "capacity": {"storage": "1024Mi"}}})
    assert (volume.spec.persistent_volume_reclaim_policy, volume.spec.volume_mode) == ("Retain", "Filesystem")
    assert (volume.spec.capacity, volume.spec.host_path.type, volume.status.phase) == (
        {"storage": "1Gi"},
        "",
        "Pending",
    )
    source = {"kind": "PersistentVolumeClaim", "name": "x"}
    claim = made(PERSISTENTVOLUMECLAIMS, {"spec": {**CLAIM, "dataSource": source}})
    assert (claim.spec.volume_mode, claim.status.phase) == ("Filesystem", "Pending")
    assert (claim.spec.data_source_ref.kind, claim.spec.data_source_ref.name) == ("PersistentVolumeClaim", "x")
    storage_class = made(STORAGECLASSES, {"provisioner": "a"})
    assert (storage_class.reclaim_policy, storage_class.volume_binding_mode) == ("Delete", "Immediate")


def test_what_a_volume_is_made_of_stays() -> None:
    old = made(PERSISTENTVOLUMES, {"spec": {**VOLUME, "nodeAffinity": {"required": TERMS}}})
    new = made(PERSISTENTVOLUMES, {"spec": {**VOLUME, "hostPath": {"path": "/other"}, "volumeMode": "Block"}})
    assert brief(PERSISTENTVOLUMES.validate_update(new, old)) == [
        ("spec.persistentvolumesource", "Forbidden"),
        ("spec.volumeMode", "Invalid"),
        ("spec.nodeAffinity", "Invalid"),
    ]
    grown = made(PERSISTENTVOLUMES, {"spec": {**VOLUME, "capacity": {"storage": "2Gi"}}})
    assert PERSISTENTVOLUMES.validate_update(grown, made(PERSISTENTVOLUMES, {"spec": VOLUME})) == []


def claim(phase: str, storage: str = "1Gi", **spec: Any) -> Any:
    status = {"phase": phase, "capacity": {"storage": "1Gi"}}
    resources = {"requests": {"storage": storage}}
    return made(PERSISTENTVOLUMECLAIMS, {"spec": {**CLAIM, "resources": resources, **spec}, "status": status})


@pytest.mark.parametrize(
    ("new", "old", "causes"),
    [
        (claim("Pending", volumeName="v"), claim("Pending"), []),
        (claim("Bound", volumeName="w"), claim("Bound", volumeName="v"), [("spec", "Forbidden")]),
        (claim("Bound", "2Gi"), claim("Bound"), []),
        (claim("Pending", "2Gi"), claim("Pending"), [("spec", "Forbidden")]),
        (claim("Bound", "1Gi"), claim("Bound", "2Gi"), [("spec.resources.requests.storage", "Forbidden")]),
        (claim("Pending", storageClassName="a"), claim("Pending"), []),
        (claim("Pending", storageClassName="b"), claim("Pending", storageClassName="a"), [("spec", "Forbidden")]),
    ],
)
def test_a_claim_is_bound_once_and_may_grow(new: Any, old: Any, causes: list[tuple[str, str]]) -> None:
    assert brief(PERSISTENTVOLUMECLAIMS.validate_update(new, old)) == causes


def test_a_storage_class_stays_but_for_expansion() -> None:
    old = made(STORAGECLASSES, {"provisioner": "a"})
    changed = made(
        STORAGECLASSES,
        {"provisioner": "b", "parameters": {"a": "b"}, "reclaimPolicy": "Retain",
         "volumeBindingMode": "WaitForFirstConsumer"},
    )  # fmt: skip
    assert brief(STORAGECLASSES.validate_update(changed, old)) == [
        ("parameters", "Forbidden"),
        ("provisioner", "Forbidden"),
        ("reclaimPolicy", "Forbidden"),
        ("volumeBindingMode", "Invalid"),
    ]
    assert STORAGECLASSES.validate_update(replace(old, allow_volume_expansion=True), old) == []


def test_the_default_class_is_the_newest_marked() -> None:
    marked = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    classes = [
        made(STORAGECLASSES, {"metadata": {**meta, "name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}})
        for name, day, meta in (("a", 1, marked), ("c", 2, marked), ("b", 2, marked), ("d", 3, {}))
    ]
    chosen = default_class(classes)
    assert chosen is not None
    assert chosen.metadata.name == "b"
    assert default_class(classes[3:]) is None
