"""The scan's hints: without them a rule is not asked, so every text that a rule matches must hold them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bethink.guard.phrases import SUBSTITUTIONS
from bethink.pattern import Pattern
from bethink.scan import inspect
from bethink.scan.rules import RULES
from bethink.scan.unseen import plain_form

ROOT = Path(__file__).parents[2]
CASES = [
    text
    for name in ("dev", "held")
    for texts in json.loads((ROOT / "bench" / "poisoning" / f"{name}.json").read_text("utf-8")).values()
    for text in texts
]
COMPILED = [
    (pattern, re.compile(pattern.source, pattern.flags)) for pattern in (*(one for _, one in RULES), *(one for one, _ in SUBSTITUTIONS))
]


def test_the_file_is_what_the_rules_say() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "hints.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nearly_every_rule_has_hints() -> None:
    assert sum(not pattern.may_match("") for _, pattern in RULES) >= len(RULES) - 4
    assert Pattern("a new rule").may_match("anything")


def test_no_case_is_missed() -> None:
    assert len(CASES) > 100
    found = 0
    for case in CASES:
        plain, _ = plain_form(case)
        for pattern, compiled in COMPILED:
            expected = [match.span() for match in compiled.finditer(plain)]
            assert [match.span() for match in pattern.finditer(plain)] == expected, (pattern.source, case)
            found += bool(expected)
    assert found > 50


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
)
@given(st.data())
def test_whatever_a_rule_matches_holds_its_hints(data: st.DataObject) -> None:
    pattern, compiled = data.draw(st.sampled_from(COMPILED))
    text = data.draw(st.from_regex(compiled))
    assert compiled.search(text)
    if pattern.flags & re.IGNORECASE:
        text = unicodedata.normalize("NFKC", text)
        assert pattern.replaced("", text, text.lower()) == compiled.sub("", text)
        return
    assert pattern.may_match(text)
    assert pattern.search(text) is not None


@pytest.mark.parametrize("text", ["", "We moved the parser to port 5433.", "Anna likes tea.", "x" * 70_000])
def test_plain_prose_compiles_hardly_anything(text: str) -> None:
    code = (
        "import sys\nfrom bethink.scan import inspect\nfrom bethink.scan.rules import RULES\ninspect(sys.stdin.read())\n"
        "print(sum(pattern._compiled is not None for _, pattern in RULES))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 4
    assert inspect(text) == []
