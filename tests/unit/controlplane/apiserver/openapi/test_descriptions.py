"""Every description is of a type and a field that there are; what people look up first is described."""

from controlplane.apiserver.openapi.definitions import V2, definitions
from controlplane.apiserver.openapi.descriptions import ANY_TYPE, TYPE, describe, descriptions
from orch.api.kinds import builtin_kinds

SCHEMAS = definitions(builtin_kinds(), V2)
PROPERTIES: dict[str, dict[str, object]] = {}
for name, schema in SCHEMAS.items():
    PROPERTIES.setdefault(name.rpartition(".")[2], {}).update(schema.get("properties", {}))
SAY_IT_ALL = {"name", "namespace", "type", "value", "key"}
"""Names that need no words where the type is told."""


def test_what_is_described_is_there() -> None:
    wrong = [
        (struct, field)
        for struct, field in descriptions()
        if struct != ANY_TYPE and (struct not in PROPERTIES or (field != TYPE and field not in PROPERTIES[struct]))
    ]
    assert wrong == []


def test_descriptions_are_sentences_and_values_are_words() -> None:
    for (struct, field), (text, values) in descriptions().items():
        assert text.endswith("."), (struct, field)
        assert not any(" " in value or value.endswith(".") for value in values), (struct, field)


def test_the_main_types_are_described_in_full() -> None:
    for struct in (
        "Container",
        "Probe",
        "ResourceRequirements",
        "DeploymentSpec",
        "ServiceSpec",
        "ServicePort",
        "ConfigMap",
    ):
        missing = {field for field in PROPERTIES[struct] if not describe(struct, field).text}
        assert missing <= SAY_IT_ALL, struct


def test_a_field_says_what_it_means_and_takes() -> None:
    properties = SCHEMAS["io.k8s.api.core.v1.Container"]["properties"]
    assert properties["imagePullPolicy"]["enum"] == ["Always", "IfNotPresent", "Never"]
    assert properties["resources"]["description"].startswith("What the container needs")
    assert SCHEMAS["io.k8s.api.core.v1.Container"]["description"] == "One container of a pod."
