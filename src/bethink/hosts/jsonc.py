"""JSON with comments and trailing commas (JSONC), edited in place: everything that is not changed keeps its bytes.

The libraries that keep comments either need Node or write the file anew in their own layout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_SPACE: Final = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_DEEPEST: Final = 200


class JsoncError(ValueError):
    """The text is not JSONC; the message says where."""


@dataclass(slots=True)
class Node:
    """A value and its place in the text."""

    start: int
    end: int
    value: Any
    #: Of an object; the last of two members with one name counts, as everywhere.
    members: dict[str, Node] = field(default_factory=dict)
    #: Of an object or array, in order.
    children: list[tuple[int, Node]] = field(default_factory=list)


def parse(text: str) -> Node:
    """The tree of `text`.

    Raises:
        JsoncError: it is not JSONC.
    """
    node = _value(text, _skip(text, 0), 0)
    end = _skip(text, node.end)
    if end != len(text):
        raise _error(text, end, "text after the end")
    return node


def find(node: Node, path: Sequence[str | int]) -> Node | None:
    """The node at `path`; None when there is none."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(node.value, list) or step >= len(node.children):
                return None
            node = node.children[step][1]
        elif isinstance(node.value, dict) and step in node.members:
            node = node.members[step]
        else:
            return None
    return node


def put(text: str, path: Sequence[str | int], value: Any) -> str:
    """`text` with `value` at `path`; objects that are missing on the way are made. Equal values change nothing.

    Raises:
        JsoncError: it is not JSONC, or something on the way is not an object.
    """
    root = parse(text)
    there = find(root, path)
    if there is not None:
        if there.value == value:
            return text
        return text[: there.start] + _dump(text, value, _indent_at(text, there.start)) + text[there.end :]
    known = 0
    while find(root, path[: known + 1]) is not None:
        known += 1
    holder = find(root, path[:known])
    step = path[known]
    if holder is None or not isinstance(holder.value, dict) or not isinstance(step, str):
        raise JsoncError(f"{'.'.join(map(str, path[:known])) or 'the document'} is not an object")
    for name in reversed(path[known + 1 :]):
        value = {str(name): value}
    return _insert(text, holder, value, step)


def append(text: str, path: Sequence[str | int], value: Any) -> str:
    """`text` with `value` added to the array at `path`, which is made when it is missing.

    Raises:
        JsoncError: it is not JSONC, or there is something else at `path`.
    """
    node = find(parse(text), path)
    if node is None:
        return put(text, path, [value])
    if not isinstance(node.value, list):
        raise JsoncError(f"{'.'.join(map(str, path))} is not an array")
    return _insert(text, node, value, None)


def _insert(text: str, holder: Node, value: Any, name: str | None) -> str:
    close = holder.end - 1
    outer = _indent_at(text, holder.start)
    newline = "\r\n" if "\r\n" in text else "\n"
    label = "" if name is None else json.dumps(name, ensure_ascii=False) + ": "
    if not holder.children:
        inner = outer + _unit(text)
        inside = text[holder.start + 1 : close]
        comments = inside.rstrip() if inside.strip() else ""
        return f"{text[: holder.start + 1]}{comments}{newline}{inner}{label}{_dump(text, value, inner)}{newline}{outer}{text[close:]}"
    first, last = holder.children[0][0], holder.children[-1][1]
    tail = text[last.end : close]
    has_comma = _code(tail).startswith(",")
    place = last.end + len(tail.rstrip())
    # After a comment that runs to the end of its line, and in a list with one item a line, the new one gets a line too.
    if "\n" not in text[holder.start : first] and "\n" not in tail:
        inline = label + json.dumps(value, ensure_ascii=False)
        return f"{text[:place]}{' ' if has_comma else ', '}{inline}{',' if has_comma else ''}{text[place:]}"
    inner = _indent_at(text, first) if "\n" in text[holder.start : first] else outer + _unit(text)
    added = f"{newline}{inner}{label}{_dump(text, value, inner)}{',' if has_comma else ''}"
    comma = "" if has_comma else ","
    return text[: last.end] + comma + text[last.end : place] + added + text[place:]


def _value(text: str, place: int, depth: int) -> Node:
    if depth > _DEEPEST:
        raise _error(text, place, "nested too deeply")
    letter = text[place : place + 1]
    if letter == "{":
        return _object(text, place, depth)
    if letter == "[":
        return _array(text, place, depth)
    token = _STRING.match(text, place) or _SCALAR.match(text, place)
    if token is None:
        raise _error(text, place, "no value")
    try:
        return Node(place, token.end(), json.loads(token[0]))
    except ValueError as error:
        raise _error(text, place, str(error).split(":")[0]) from None


def _object(text: str, start: int, depth: int) -> Node:
    node = Node(start, start, {})
    place = _skip(text, start + 1)
    while text[place : place + 1] != "}":
        token = _STRING.match(text, place)
        if token is None:
            raise _error(text, place, "no name of a member, or no }")
        colon = _skip(text, token.end())
        if text[colon : colon + 1] != ":":
            raise _error(text, colon, "no colon")
        child = _value(text, _skip(text, colon + 1), depth + 1)
        try:
            name = json.loads(token[0])
        except ValueError as error:
            raise _error(text, place, str(error).split(":")[0]) from None
        node.value[name] = child.value
        node.members[name] = child
        node.children.append((place, child))
        place = _after(text, child.end, "}")
    node.end = place + 1
    return node


def _array(text: str, start: int, depth: int) -> Node:
    node = Node(start, start, [])
    place = _skip(text, start + 1)
    while text[place : place + 1] != "]":
        child = _value(text, place, depth + 1)
        node.value.append(child.value)
        node.children.append((place, child))
        place = _after(text, child.end, "]")
    node.end = place + 1
    return node


def _after(text: str, place: int, close: str) -> int:
    """Where the next child begins, or the closing bracket."""
    place = _skip(text, place)
    if text[place : place + 1] == ",":
        return _skip(text, place + 1)
    if text[place : place + 1] != close:
        raise _error(text, place, f"no comma and no {close}")
    return place


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _code(text: str) -> str:
    """`text` without the space and comments before its first token."""
    return text[_skip(text, 0) :]


def _indent_at(text: str, place: int) -> str:
    """The white space that begins the line of `place`."""
    line = text[text.rfind("\n", 0, place) + 1 : place].removeprefix("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """One step of indentation, as the first indented line has it."""
    found = re.search(r"\n([ \t]+)[^\s/*]", text)
    return found[1] if found else "  "


def _dump(text: str, value: Any, indent: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    return json.dumps(value, indent=_unit(text), ensure_ascii=False).replace("\n", newline + indent)


def _error(text: str, place: int, what: str) -> JsoncError:
    line = text.count("\n", 0, place) + 1
    column = place - text.rfind("\n", 0, place)
    return JsoncError(f"{what} (line {line}, column {column})")
