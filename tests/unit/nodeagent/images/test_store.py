"""The store on disk: what is in the index is complete, what is not needed goes."""

import os
from pathlib import Path

import pytest

from nodeagent.images.manifest import Platform
from nodeagent.images.service import NodeImages
from nodeagent.images.store import ImageStore
from tests.images import blobs, digest, image_config, layer
from tests.unit.orch.kit.test_trees import made_deep

BASE, TOP = layer({"base": b"1"}), layer({"top": b"2"})
TAG, OTHER_TAG = "docker.io/library/app:1", "docker.io/library/app:2"


def add(store: ImageStore, layers: list[bytes], *names: str) -> str:
    for body in layers:
        if not store.has_layer(digest(body)):
            folder = Path(store.incoming, "new")
            folder.mkdir()
            store.add_layer(digest(body), str(folder))
    return store.add_image(blobs(layers)[0], image_config(layers), names).id


def test_an_image_is_found_by_name_digest_and_id(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    by_digest = f"docker.io/library/app@{digest(blobs([BASE])[0])}"
    image_id = add(store, [BASE], TAG, by_digest)
    for reference in ("app:1", TAG, by_digest, f"app:ignored@{by_digest.partition('@')[2]}", image_id):
        found = store.find(reference)
        assert found is not None
        assert found.id == image_id
    assert store.find("app:2") is None
    assert store.find("sha256:" + "0" * 64) is None


def test_layers_are_top_first(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    add(store, [BASE, TOP], TAG)
    image = store.find(TAG)
    assert image is not None
    assert image.layer_paths == (store.layer_path(digest(TOP)), store.layer_path(digest(BASE)))


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    add(store, [BASE, TOP], TAG)
    assert ImageStore(str(tmp_path)).images() == store.images()


def test_an_image_that_lost_a_layer_or_a_blob_is_not_there(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    add(store, [BASE], TAG)
    os.rmdir(store.layer_path(digest(BASE)))
    assert ImageStore(str(tmp_path)).find(TAG) is None


def test_a_layer_that_vanishes_takes_its_image_along(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    image_id = add(store, [BASE], TAG)
    os.rmdir(store.layer_path(digest(BASE)))
    assert store.find(TAG) is None
    assert store.find(image_id) is None


@pytest.mark.parametrize("name", ["manifest", "config", "index"])
def test_a_damaged_file_costs_the_image_and_no_more(tmp_path: Path, name: str) -> None:
    store = ImageStore(str(tmp_path))
    add(store, [BASE], TAG)
    bodies = {"manifest": blobs([BASE])[0], "config": image_config([BASE])}
    path = tmp_path / "blobs/sha256" / digest(bodies[name]).removeprefix("sha256:") if name in bodies else None
    path = path or tmp_path / "index.json"
    path.write_bytes(path.read_bytes()[:-7])
    again = ImageStore(str(tmp_path))
    assert again.find(TAG) is None
    add(again, [BASE], TAG)
    assert ImageStore(str(tmp_path)).find(TAG) is not None


def test_a_moved_tag_leaves_the_old_image_without_it(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    old = add(store, [BASE], TAG, OTHER_TAG)
    new = add(store, [TOP], TAG)
    assert {image.id: image.names for image in store.images()} == {old: (OTHER_TAG,), new: (TAG,)}


def test_removal_frees_what_no_other_image_has(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    add(store, [BASE], OTHER_TAG)
    add(store, [BASE, TOP], TAG)
    store.remove(TAG)
    doomed = store.collect_garbage()
    assert not store.has_layer(digest(TOP))
    assert store.has_layer(digest(BASE))
    assert all(path.startswith(store.incoming) for path in doomed)
    assert len(doomed) == 3, "a layer, a manifest and a config"
    assert store.find(OTHER_TAG) is not None


def test_a_layer_that_is_being_pulled_is_no_garbage(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    with store.holding([digest(BASE)]):
        os.mkdir(store.layer_path(digest(BASE)))
        assert store.collect_garbage() == []
    assert len(store.collect_garbage()) == 1


def test_a_restart_clears_what_was_half_done(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    Path(store.incoming, "half").mkdir()
    ImageStore(str(tmp_path))
    assert os.listdir(store.incoming) == []


async def test_layers_of_any_depth_go(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    unpacked, unused = made_deep(Path(store.incoming, "x.unpacked")), made_deep(tmp_path / "layers/unused")
    store = ImageStore(str(tmp_path))
    assert not unpacked.exists()
    await NodeImages(store, Platform("amd64")).collect_garbage()
    assert not unused.exists()
    assert os.listdir(store.incoming) == []
