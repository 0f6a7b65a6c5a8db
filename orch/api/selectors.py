"""Label and field selectors: parsing, matching, canonical text (labels.Selector, fields.Selector of apimachinery).

An empty selector matches everything. `from_label_selector(None)` matches nothing, as in Kubernetes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orch.api.formats import label_key_problem, label_value_problem
from orch.api.kind import Kind
from orch.api.meta import LabelSelector, Object
from orch.errors import BadRequest

_TOKEN = re.compile(r"\s*(?:(?P<op>==|=|!=|!|>|<|\(|\)|,)|(?P<word>[^\s=!<>(),]+))")
_END = ("", "")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label. `operator` is one of =, !=, in, notin, exists, !, >, <."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return found in self.values
            case "!=" | "notin":
                return found not in self.values
            case "exists":
                return found is not None
            case "!":
                return found is None
        return found is not None and _compares(found, self.operator, self.values[0])

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. `nothing` is the selector that no object matches."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

    @property
    def is_empty(self) -> bool:
        """Matches everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in sorted(self.requirements, key=lambda r: r.key))


def from_labels(labels: Mapping[str, str]) -> Selector:
    """Exactly these labels: what `nodeSelector` and a Service's `selector` mean."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in labels.items()))


def from_label_selector(selector: LabelSelector | None) -> Selector:
    """Raises BadRequest for an operator that does not exist; a validated object has none."""
    if selector is None:
        return Selector(nothing=True)
    expressions = [
        Requirement(e.key, _expression_operator(e.operator), e.values or ()) for e in selector.match_expressions or ()
    ]
    return Selector((*from_labels(selector.match_labels or {}).requirements, *expressions))


def _expression_operator(operator: str) -> str:
    try:
        return {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}[operator]
    except KeyError:
        raise BadRequest(f'"{operator}" is not a valid label selector operator') from None


def parse_label_selector(text: str) -> Selector:
    """`app=web,tier in (a,b),!debug`. Raises BadRequest."""
    return _Parser(text).selector()


class _Parser:
    """Recursive descent over the tokens of one selector text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = 0

    def selector(self) -> Selector:
        requirements = []
        while self._peek() != _END:
            requirements.append(self._requirement())
            if self._peek() == ("op", ","):
                self._take()
                if self._peek() == _END:
                    raise self._failure("found '', expected: identifier after ','")
            elif self._peek() != _END:
                raise self._failure(f"found {self._peek()[1]!r}, expected: ',' or 'end of string'")
        return Selector(tuple(requirements))

    def _requirement(self) -> Requirement:
        if self._peek() == ("op", "!"):
            self._take()
            return Requirement(self._key(), "!")
        key = self._key()
        if self._peek() in (_END, ("op", ",")):
            return Requirement(key, "exists")
        kind, operator = self._take()
        if kind == "op" and operator in ("=", "==", "!="):
            return Requirement(key, operator.replace("==", "="), (self._value(),))
        if kind == "op" and operator in ("<", ">"):
            return Requirement(key, operator, (self._integer(),))
        if kind == "word" and operator in ("in", "notin"):
            return Requirement(key, operator, self._set())
        raise self._failure(f"found {operator!r}, expected: in, notin, =, ==, !=, gt, lt")

    def _key(self) -> str:
        kind, key = self._take()
        if kind != "word":
            raise self._failure(f"found {key!r}, expected: identifier")
        return self._checked(key, label_key_problem(key))

    def _value(self) -> str:
        if self._peek() in (_END, ("op", ","), ("op", ")")):
            return ""
        kind, value = self._take()
        if kind != "word":
            raise self._failure(f"found {value!r}, expected: identifier")
        return self._checked(value, label_value_problem(value))

    def _integer(self) -> str:
        value = self._value()
        if not re.fullmatch(r"[+-]?\d{1,19}", value):
            raise self._failure(f"for 'Gt', 'Lt' operators, the value must be an integer, found {value!r}")
        return value

    def _set(self) -> tuple[str, ...]:
        if self._take() != ("op", "("):
            raise self._failure("expected: '('")
        values = [self._value()]
        while self._peek() == ("op", ","):
            self._take()
            values.append(self._value())
        if self._take() != ("op", ")"):
            raise self._failure("expected: ',' or ')'")
        return tuple(values)

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens = [(str(match.lastgroup), match[str(match.lastgroup)]) for match in _TOKEN.finditer(text.strip())]
        return [*tokens, _END]

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next]

    def _take(self) -> tuple[str, str]:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _checked(self, word: str, problem: str) -> str:
        if problem:
            raise self._failure(f"{word!r}: {problem}")
        return word

    def _failure(self, detail: str) -> BadRequest:
        return BadRequest(f'unable to parse requirement: {detail} (label selector "{self._text}")')


def _compares(found: str, operator: str, bound: str) -> bool:
    if not re.fullmatch(r"[+-]?\d{1,19}", found):
        return False
    return int(found) > int(bound) if operator == ">" else int(found) < int(bound)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    path: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold."""

    requirements: tuple[FieldRequirement, ...] = ()

    def on(self, kind: Kind[Any]) -> Callable[[Object], bool]:
        """The selector as a test of stored objects, by the fields of the form `kind`. Raises BadRequest for a field
        that the kind can't select by."""
        checks = [(field_getter(kind, r.path), r.equal, r.value) for r in self.requirements]

        def matches(obj: Any) -> bool:
            return all((get(obj) == value) is equal for get, equal, value in checks)

        return matches if kind.stored_as is None else lambda obj: matches(kind.from_stored(obj))

    def value_of(self, path: str) -> str | None:
        """The value that `path` must have, when the selector asks for equality: lets a reader use an index."""
        return next((r.value for r in self.requirements if r.equal and r.path == path), None)


def field_getter(kind: Kind[Any], path: str) -> Callable[[Any], str]:
    """How to read the field `path` of an object of `kind` as text. Raises BadRequest when it is not selectable."""
    getter = kind.fields.get(path) or _METADATA_FIELDS.get(path)
    if getter is None:
        raise BadRequest(f'field label not supported: "{path}" is not a field that {kind.resource} can be selected by')
    return getter


_METADATA_FIELDS: Mapping[str, Callable[[Object], str]] = {
    "metadata.name": lambda obj: obj.metadata.name,
    "metadata.namespace": lambda obj: obj.metadata.namespace,
}


def parse_field_selector(text: str) -> FieldSelector:
    """`spec.nodeName=n1,status.phase!=Failed`; a backslash escapes comma, equals sign and backslash. BadRequest."""
    return FieldSelector(tuple(_field_requirement(term, text) for term in _field_terms(text) if term))


def _field_terms(text: str) -> Sequence[str]:
    return re.findall(r"(?:\\.|[^,\\])+", text)


def _field_requirement(term: str, text: str) -> FieldRequirement:
    match = re.fullmatch(r"([^=!\\]+)(==|=|!=)((?:\\[,=\\]|[^\\=,])*)", term.strip())
    if match is None:
        raise BadRequest(f'invalid selector: "{text}"; can\'t understand "{term}"')
    return FieldRequirement(match[1].strip(), match[2] != "!=", re.sub(r"\\(.)", r"\1", match[3]))
