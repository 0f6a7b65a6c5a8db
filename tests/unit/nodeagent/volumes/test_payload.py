import pytest

from nodeagent.environment import Downward
from nodeagent.volumes.errors import VolumeFault
from nodeagent.volumes.payload import (
    File,
    Source,
    checked,
    config_map_files,
    downward_files,
    projection_files,
    secret_files,
)
from orch.api.configmap import ConfigMap
from orch.api.meta import ObjectMeta
from orch.api.pod.container import Container, ObjectFieldSelector, ResourceFieldSelector
from orch.api.pod.spec import Pod, PodSpec
from orch.api.pod.volume import (
    ConfigMapProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    VolumeProjection,
)
from orch.api.secret import Secret
from orch.api.service import Service
from orch.api.shared import ResourceRequirements


class Objects:
    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        found = ConfigMap(metadata=ObjectMeta(name=name), data={"a": "1", "b": "2"}, binary_data={"c": b"\0\1"})
        return found if (namespace, name) == ("shop", "settings") else None

    def secret(self, namespace: str, name: str) -> Secret | None:
        return Secret(data={"key": b"s3"}) if (namespace, name) == ("shop", "keys") else None

    def services(self, namespace: str) -> tuple[Service, ...]:
        return ()


POD = Pod(
    metadata=ObjectMeta(
        namespace="shop", name="web", uid="u-1", labels={"b": "2", "a": "1"}, annotations={"note": 'say "hi"\nthere'}
    ),
    spec=PodSpec(containers=(Container(name="main", resources=ResourceRequirements(limits={"memory": "64Mi"})),)),
)
SOURCE = Source(POD, Objects(), Downward("node-1", "192.168.77.1", "", {"cpu": "2"}))


def test_every_key_is_a_file() -> None:
    assert checked(config_map_files("settings", None, None, 0o644, SOURCE)) == (
        File("a", b"1", 0o644),
        File("b", b"2", 0o644),
        File("c", b"\0\1", 0o644),
    )


def test_items_choose_rename_and_set_modes() -> None:
    items = (KeyToPath(key="b", path="sub/two", mode=0o600), KeyToPath(key="a", path="one"))
    assert checked(config_map_files("settings", items, None, 0o640, SOURCE)) == (
        File("one", b"1", 0o640),
        File("sub/two", b"2", 0o600),
    )


def test_a_missing_object_is_named() -> None:
    with pytest.raises(VolumeFault, match=r'^configmap "other" not found$'):
        list(config_map_files("other", None, None, 0o644, SOURCE))
    with pytest.raises(VolumeFault, match=r'^secret "other" not found$'):
        list(secret_files("other", None, None, 0o644, SOURCE))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(VolumeFault, match=r'^secret "keys" references non-existent key: nope$'):
        list(secret_files("keys", (KeyToPath(key="nope", path="x"),), None, 0o644, SOURCE))


def test_what_is_optional_may_be_missing() -> None:
    assert list(config_map_files("other", None, True, 0o644, SOURCE)) == []
    items = (KeyToPath(key="nope", path="x"), KeyToPath(key="key", path="y"))
    assert list(secret_files("keys", items, True, 0o644, SOURCE)) == [File("y", b"s3", 0o644)]


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "a//b", "..data", ""])
def test_a_path_that_leaves_the_volume_is_refused(path: str) -> None:
    with pytest.raises(VolumeFault, match="is no path inside a volume"):
        checked([File(path, b"", 0o644)])


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['a']", "1"),
        ("metadata.labels", 'a="1"\nb="2"'),
        ("metadata.annotations", 'note="say \\"hi\\"\\nthere"'),
    ],
)
def test_downward_fields(path: str, text: str) -> None:
    item = DownwardAPIVolumeFile(path="f", field_ref=ObjectFieldSelector(field_path=path))
    assert list(downward_files((item,), 0o644, SOURCE)) == [File("f", text.encode(), 0o644)]


def test_downward_resources_are_divided_and_fall_back_to_the_node() -> None:
    memory = ResourceFieldSelector(container_name="main", resource="limits.memory", divisor="1Mi")
    cpu = ResourceFieldSelector(container_name="main", resource="limits.cpu")
    items = (
        DownwardAPIVolumeFile(path="m", resource_field_ref=memory),
        DownwardAPIVolumeFile(path="c", resource_field_ref=cpu, mode=0o400),
    )
    assert list(downward_files(items, 0o644, SOURCE)) == [File("m", b"64", 0o644), File("c", b"2", 0o400)]


def test_an_unknown_field_is_named() -> None:
    item = DownwardAPIVolumeFile(path="f", field_ref=ObjectFieldSelector(field_path="spec.mood"))
    with pytest.raises(VolumeFault, match=r"downwardAPI file 'f': fieldPath 'spec\.mood'"):
        list(downward_files((item,), 0o644, SOURCE))


def test_the_last_source_of_a_projection_wins() -> None:
    first = VolumeProjection(config_map=ConfigMapProjection(name="settings", items=(KeyToPath(key="a", path="x"),)))
    second = VolumeProjection(config_map=ConfigMapProjection(name="settings", items=(KeyToPath(key="b", path="x"),)))
    files = [file for one in (first, second) for file in projection_files(one, 0o644, SOURCE)]
    assert checked(files) == (File("x", b"2", 0o644),)
