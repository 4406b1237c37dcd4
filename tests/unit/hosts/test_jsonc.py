"""Editing JSON with comments in place."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bethink.hosts import jsonc
from bethink.hosts.jsonc import JsoncError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=4)


@given(values, st.sampled_from([None, 0, 2, 4, "\t"]), st.booleans())
def test_it_reads_what_json_reads(value: Any, indent: Any, ascii_only: bool) -> None:
    assert jsonc.parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only)).value == value


@given(objects, st.lists(st.text(max_size=5), min_size=1, max_size=4), values, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_what_is_put_is_there_and_the_rest_is_as_it_was(tree: dict[str, Any], path: list[str], value: Any, indent: Any, crlf: bool) -> None:
    text = json.dumps(tree, indent=indent)
    if crlf:
        text = text.replace("\n", "\r\n")
    expected = json.loads(json.dumps(tree))
    holder = expected
    for name in path[:-1]:
        holder = holder.setdefault(name, {}) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            with pytest.raises(JsoncError):
                jsonc.put(text, path, value)
            return
    holder[path[-1]] = value
    after = jsonc.put(text, path, value)
    assert json.loads(after) == expected
    assert jsonc.put(after, path, value) == after


@given(st.lists(values, max_size=4), values, st.sampled_from([None, 2, "\t"]))
def test_what_is_appended_is_the_last(items: list[Any], value: Any, indent: Any) -> None:
    text = json.dumps({"a": {"b": items}}, indent=indent)
    assert json.loads(jsonc.append(text, ["a", "b"], value)) == {"a": {"b": [*items, value]}}


@given(st.text(alphabet='{}[]",:/*\n\\ a1-.eEtrue\ufeff', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        with suppress(JsoncError):
            jsonc.parse(text)
        return
    if "NaN" not in text:
        assert jsonc.parse(text).value == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{\n  "n": {\n    "x": 1\n  }\n}'),
        ("{\n}\n", '{\n  "n": {\n    "x": 1\n  }\n}\n'),
        ('{"a":1}', '{"a":1, "n": {"x": 1}}'),
        ('{ "a": 1 }', '{ "a": 1, "n": {"x": 1} }'),
        ('{"a":1,}', '{"a":1, "n": {"x": 1},}'),
        ('{\n    "a": 1\n}\n', '{\n    "a": 1,\n    "n": {\n        "x": 1\n    }\n}\n'),
        ('{\n\t"a": 1,\n}', '{\n\t"a": 1,\n\t"n": {\n\t\t"x": 1\n\t},\n}'),
        ('{\r\n  "a": 1\r\n}\r\n', '{\r\n  "a": 1,\r\n  "n": {\r\n    "x": 1\r\n  }\r\n}\r\n'),
        (
            '// top\n{\n  "a": 1 // one\n  /* end */\n}\n// bottom',
            '// top\n{\n  "a": 1, // one\n  /* end */\n  "n": {\n    "x": 1\n  }\n}\n// bottom',
        ),
        ("{\n  // nothing yet\n}", '{\n  // nothing yet\n  "n": {\n    "x": 1\n  }\n}'),
        ('\ufeff{"a": "}"}', '\ufeff{"a": "}", "n": {"x": 1}}'),
        ('{\n  "n": {"y": 2} // mine\n}', '{\n  "n": {\n    "x": 1\n  } // mine\n}'),
        ('{\n  "n": {"x": 1} // mine\n}', '{\n  "n": {"x": 1} // mine\n}'),
    ],
)
def test_layout_is_kept(before: str, after: str) -> None:
    assert jsonc.put(before, ["n"], {"x": 1}) == after


BROKEN = (
    *("", " ", "{", "}", '{"a"}', '{"a":}', '{"a":1 "b":2}', "[1 2]", "{'a':1}", "{a:1}", '{"a":1}}', '{"a":01}', '"\n"', "/* open"),
    *("nul", '{"a":"\\x"}', ",", "{,}", "[,]", "[" * 1000, "NaN", "9" * 5000),
)


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_text_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(JsoncError, match=r"line [12]"):
        jsonc.parse(text)


def test_something_else_on_the_way_is_refused() -> None:
    for text in ('{"a": 1}', '{"a": []}', "[]"):
        with pytest.raises(JsoncError, match="not an object"):
            jsonc.put(text, ["a", "b"], 1)
    with pytest.raises(JsoncError, match="not an array"):
        jsonc.append('{"a": {}}', ["a"], 1)
    assert jsonc.find(jsonc.parse("[1]"), ["a"]) is None
    assert jsonc.find(jsonc.parse("[1]"), [3]) is None
