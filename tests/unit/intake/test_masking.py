"""What hooks write down holds no secret, although hooks have the standard library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bethink.intake.masking import masked
from bethink.seal import detect
from detection_cases import positives
from kit.canary import flock, traces
from kit.hook import fire, payload


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_canary_stays(seed: int) -> None:
    for canary in flock(seed):
        left = masked(f"Please remember this. {canary.sentence}, and go on.")
        assert traces([canary], left) == []
        assert "[REDACTED:" in left and left.endswith(", and go on.")


def test_the_quick_look_passes_over_nothing_that_the_rules_find() -> None:
    for case in positives(7, 6):
        if detect.scan(case.text, deep=False):
            assert "[REDACTED:" in masked(case.text), case.kind


def test_plain_prose_stays_as_it_is_and_loads_no_rules() -> None:
    prose = "Which port does the staging database listen on? 日本語も。"
    assert masked(prose) == prose
    code = f"import sys\nfrom bethink.intake.masking import masked\nmasked({prose!r})\nprint('bethink.seal.rules' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_settings_are_kept_and_a_mistake_in_them_costs_nothing() -> None:
    canary = flock(5)[2]
    assert masked(canary.sentence, allow="gh[po]_.*") == canary.sentence
    assert "[REDACTED:" in masked(canary.sentence, allow="(")


@given(st.text(max_size=400))
def test_no_text_raises(text: str) -> None:
    masked(text)


@pytest.mark.parametrize("event", ["UserPromptSubmit", "Stop"])
def test_no_file_that_a_hook_leaves_holds_a_secret(tmp_path: Path, event: str) -> None:
    canaries = flock(6)
    said = "\n".join(canary.sentence for canary in canaries)
    home = tmp_path / "home"
    answered = fire(payload(event, prompt=said, last_assistant_message=said), MEMORY_HOME=str(home), DEBUG_CLAUDE_MEMORY_HOOKS="1")
    assert [path for path in home.rglob("*") if path.is_file()], "the hook wrote nothing"
    assert traces(canaries, home, answered.stdout) == []
