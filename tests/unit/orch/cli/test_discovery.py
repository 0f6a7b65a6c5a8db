from orch.cli.discovery import Resource, by_name


def resource(group: str, version: str, plural: str = "scalers") -> Resource:
    return Resource(group, version, plural, plural.title(), True, categories=("all",), short_names=("s",))


def test_a_category_names_each_resource_in_its_preferred_version() -> None:
    preferred, other = resource("a.example", "v2"), resource("a.example", "v1")
    elsewhere, more = resource("b.example", "v1"), resource("a.example", "v1", "things")
    assert by_name([preferred, other, elsewhere, more], "all") == [preferred, elsewhere, more]
    assert by_name([preferred, other], "s") == [preferred]
    assert by_name([preferred, other], "scalers.v1.a.example") == [other]
