"""What a tool is: a row with its parameters, what it says about itself, and the function that runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bethink.errors import InvalidInput
from bethink.front.fields import refuse_unknown

if TYPE_CHECKING:
    from bethink.front.mcp.desk import Desk

Json = dict[str, Any]
#: texts is a list of texts or one text with commas.
Kind = Literal["text", "number", "integer", "flag", "texts", "list", "object"]

_SCHEMAS: Mapping[Kind, Json] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "flag": {"type": "boolean"},
    "texts": {"type": ["array", "string"], "items": {"type": "string"}},
    "list": {"type": "array"},
    "object": {"type": "object"},
}
#: Most characters of a wrong value that an error repeats.
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `default` is what a missing value means, None when it means nothing."""

    name: str
    kind: Kind = "text"
    about: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    required: bool = False
    #: Schema of a list's items or of an object's values.
    items: Json | None = None

    def schema(self) -> Json:
        shape = dict(_SCHEMAS[self.kind])
        if self.items is not None:
            shape["additionalProperties" if self.kind == "object" else "items"] = self.items
        if self.choices and self.kind == "text":
            shape["enum"] = list(self.choices)
        elif self.choices:
            shape["items"] = {"type": "string", "enum": list(self.choices)}
        if self.about:
            shape["description"] = self.about
        if self.default is not None:
            shape["default"] = self.default
        return shape


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answers: text for the model, and the same as data for programs (None where a toolset has only text)."""

    text: str
    data: Json | None = None
    #: The tool says no in the way its toolset does: reported as an error, without being one of ours.
    failed: bool = False


Run = Callable[["Desk", Json], Answer]


@dataclass(frozen=True, slots=True)
class Tool:
    """One row of the table of tools."""

    name: str
    title: str
    about: str
    run: Run
    params: tuple[Param, ...] = ()
    output: Json | None = None
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    meta: Json | None = None
    #: How the toolset words an error, from message and hint; None for a proper tool error.
    said: Callable[[str, str], Answer] | None = field(default=None, compare=False)

    def schema(self) -> Json:
        """The JSON Schema (2020-12) of the arguments."""
        shape: Json = {"type": "object", "properties": {param.name: param.schema() for param in self.params}}
        if required := [param.name for param in self.params if param.required]:
            shape["required"] = required
        shape["additionalProperties"] = False
        return shape

    def arguments(self, given: Mapping[str, Any]) -> Json:
        """The arguments with defaults filled in and values of the right type; null is the same as missing.

        Raises:
            InvalidInput: one is unknown, missing, or of another type; the message names it.
        """
        known = {param.name: param for param in self.params}
        values = {name: value for name, value in given.items() if value is not None}
        refuse_unknown(values, tuple(known))
        for param in self.params:
            if param.name in values:
                values[param.name] = _read(param, values[param.name])
            elif param.required:
                raise InvalidInput(f"{param.name} is missing.", hint=param.about or f"Give {param.name} as {param.kind}.")
            elif param.default is not None:
                values[param.name] = param.default
        return values


def _read(param: Param, value: Any) -> Any:
    """`value` as the parameter's kind; models and clients like to send numbers, flags and lists as text."""
    match param.kind, value:
        case "text", str():
            return _chosen(param, value)
        case "text", int() | float() if not isinstance(value, bool) and not param.choices:
            return str(value)
        case "integer", int() if not isinstance(value, bool):
            return value
        case "integer", float() if value.is_integer():
            return int(value)
        case "number", int() | float() if not isinstance(value, bool):
            return value
        case (("integer" | "number"), str()) if (number := _number(param.kind, value)) is not None:
            return number
        case "flag", bool():
            return value
        case "flag", str() if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        case "texts", str():
            parsed = _parsed(value, list) if value.lstrip().startswith("[") else None
            return _read(param, parsed) if parsed is not None else _all_chosen(param, [part.strip() for part in value.split(",")])
        case "texts", list() if all(isinstance(one, str) for one in value):
            return _all_chosen(param, value)
        case "list", list():
            return value
        case "object", dict():
            return value
        case "list", str() if (parsed := _parsed(value, list)) is not None:
            return parsed
        case "object", str() if (parsed := _parsed(value, dict)) is not None:
            return parsed
    shown = json.dumps(value, ensure_ascii=True, default=str)[:_SHOWN]
    raise InvalidInput(f"{param.name} is {shown}, which is not {_EXPECTED[param.kind]}.", hint=param.about or None)


_EXPECTED: Mapping[Kind, str] = {
    "text": "text",
    "number": "a number",
    "integer": "a whole number",
    "flag": "true or false",
    "texts": "a list of texts",
    "list": "a list",
    "object": "an object",
}


def _chosen(param: Param, value: str) -> str:
    if not param.choices or value in param.choices:
        return value
    plain = value.strip().lower()
    if plain in param.choices:
        return plain
    raise InvalidInput(f"No {param.name} {value[:_SHOWN]!r}.", hint=f"Choose one of: {', '.join(param.choices)}.")


def _all_chosen(param: Param, values: list[str]) -> list[str]:
    return [_chosen(param, value) for value in values if value]


def _number(kind: Kind, value: str) -> float | int | None:
    try:
        return int(value) if kind == "integer" else float(value)
    except ValueError:
        return None


def _parsed(value: str, kind: type[Any]) -> Any:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, kind) else None
