"""Conditions in CEL: read once, checked against the names they may use, and tested on values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import celpy
import lark
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.celtypes import BoolType
from celpy.evaluation import CELEvalError, base_functions

from crm.blueprint.problems import Place, Problem, listed, problem

MAX_LENGTH: Final = 500
MAX_NESTING: Final = 12
# cel-python's answer to a chain of && over a missing name doubles with each link: 20 links take seconds.
MAX_CHOICES: Final = 12
_MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
_FUNCTIONS: Final = frozenset(name for name in base_functions if name.isalpha()) | {"has", "dyn"} | _MACROS


class ConditionFailed(ValueError):
    """The condition met a value it cannot work with; the caller treats it as not fulfilled."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a condition may name: a tree of names, where a leaf takes any further name only if `open`."""

    members: Mapping[str, Names] = field(default_factory=dict)
    open: bool = False

    @classmethod
    def of(cls, *leaves: str, **branches: Names) -> Names:
        return cls({**dict.fromkeys(leaves, LEAF), **branches})

    def __or__(self, other: Names) -> Names:
        return Names({**self.members, **other.members}, self.open or other.open)


LEAF: Final = Names()
ANYTHING: Final = Names(open=True)


def _excess(text: str) -> str | None:
    """Why the text is not even read. Counted on the text, since the parser itself must be spared."""
    choices = text.count("&&") + text.count("||") + text.count("?")
    nesting = deepest = 0
    for character in text:
        nesting += (character in "([{") - (character in ")]}")
        deepest = max(deepest, nesting)
    if choices > MAX_CHOICES:
        return f"it has {choices} choices (&&, ||, ?); {MAX_CHOICES} are allowed"
    if deepest > MAX_NESTING or any(run in text for run in ("!!!", "---")):
        return "it is nested too deeply"
    return None


@lru_cache(maxsize=4096)
def _tree(text: str) -> lark.Tree[lark.Token]:
    tree: lark.Tree[lark.Token] = celpy.Environment().compile(text)
    return tree


@lru_cache(maxsize=4096)
def _program(text: str) -> Any:
    if len(text) > MAX_LENGTH or _excess(text) is not None:
        raise ConditionFailed(f"the condition is too long or too complex: {text[:80]}")
    environment = celpy.Environment()
    return environment.program(_tree(text))


def warm() -> None:
    """Make the parser, which takes a second of processor time, before the first condition is asked for."""
    _program("true")


def evaluate(text: str, values: Mapping[str, Any]) -> Any:
    """The condition's value for plain JSON-like `values` (and aware datetimes, timedeltas)."""
    try:
        context = {name: json_to_cel(value) for name, value in values.items()}
        return _program(text).evaluate(context)
    except (CELEvalError, CELParseError, TypeError, ValueError, RecursionError) as error:
        raise ConditionFailed(f"{text}: {str(error)[:200]}") from error


def holds(text: str, values: Mapping[str, Any]) -> bool:
    """Whether it is true; anything but true, also a missing value, is false: rights fail closed."""
    try:
        value = evaluate(text, values)
    except ConditionFailed:
        return False
    return isinstance(value, BoolType) and bool(value)


def check_condition(text: str, names: Names, place: Place) -> list[Problem]:
    """Everything wrong with one condition."""
    if len(text) > MAX_LENGTH:
        return [problem("condition_too_long", place, limit=MAX_LENGTH)]
    if (why := _excess(text)) is not None:
        return [problem("condition_too_complex", place, why=why)]
    try:
        tree = _tree(text)
    except CELParseError as error:
        why = f"at character {error.column} of {text.strip()!r}" if error.column else repr(text.strip())
        return [problem("condition_syntax", place, why=why)]
    except (RecursionError, ValueError):
        return [problem("condition_syntax", place, why="it is nested too deeply")]
    found: dict[tuple[str, str], Problem] = {}
    for function in _functions(tree):
        if function not in _FUNCTIONS:
            found["function", function] = problem(
                "condition_function", place, name=function, known=listed(_FUNCTIONS, 40)
            )
    for chain in _chains(tree, frozenset()):
        scope = names
        for position, name in enumerate(chain):
            if name not in scope.members:
                if scope.open:
                    break
                if position and not scope.members:
                    break  # a plain value: what follows is checked when it runs
                found["name", ".".join(chain[: position + 1])] = problem(
                    "condition_name",
                    place,
                    name=".".join(chain[: position + 1]),
                    known=listed([".".join((*chain[:position], known)) for known in scope.members], 30),
                )
                break
            scope = scope.members[name]
    return list(found.values())


def _functions(tree: lark.Tree[lark.Token]) -> Iterator[str]:
    for node in tree.iter_subtrees():
        if node.data in ("ident_arg", "dot_ident_arg"):
            yield str(node.children[0])
        elif node.data == "member_dot_arg":
            yield str(node.children[1])


def _chains(node: lark.Tree[lark.Token] | lark.Token, bound: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Every dotted name that is read, such as case.party.territory, without a macro's own variable."""
    if not isinstance(node, lark.Tree):
        return
    if (chain := _chain(node)) is not None:
        if chain[0] not in bound:
            yield chain
        return
    children = list(node.children)
    if node.data == "member_dot_arg" and str(children[1]) in _MACROS and len(children) > 2:
        arguments = children[2]
        assert isinstance(arguments, lark.Tree)
        yield from _chains(children[0], bound)
        variable = next(_chains(arguments.children[0], frozenset()), ("",))[0]
        for argument in arguments.children[1:]:
            yield from _chains(argument, bound | {variable})
        return
    for child in children:
        yield from _chains(child, bound)


def _chain(node: lark.Tree[lark.Token]) -> tuple[str, ...] | None:
    """The dotted name a node is, if it is nothing else."""
    if node.data == "ident":
        return (str(node.children[0]),)
    if node.data == "member_dot":
        head = node.children[0]
        rest = _chain(head) if isinstance(head, lark.Tree) else None
        return (*rest, str(node.children[1])) if rest else None
    if node.data in ("member", "primary") and len(node.children) == 1:
        only = node.children[0]
        return _chain(only) if isinstance(only, lark.Tree) else None
    return None
