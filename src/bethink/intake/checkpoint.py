"""What a session should not lose at a compaction: the last request, decisions, commands that worked, open tasks.

Found by plain patterns in the end of the transcript; no model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bethink import text
from bethink.hosts.transcripts import Turn, reader
from bethink.intake.commands import steps

#: Of a long transcript only the end is read: what was before the last compaction was kept by that one.
TAIL_BYTES = 1_500_000
_DECISION = re.compile(
    r"\b(?:we(?:'ll| will)? (?:decided|agreed|chose|go with|use|keep|switch(?:ed)? to)|decided to|decision:|let's (?:use|go with|keep)|"
    r"going with|instead of|from now on|the plan is|root cause|turned out|the fix (?:is|was)|conclusion:)\b",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"^\s*(?:[-*]\s*\[ \]\s*|(?:todo|next(?: step)?s?|remaining|still (?:to do|open)|open)\s*[:\-]\s*)(.{8,300})",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_RUNNERS = frozenset(("Bash", "shell", "run_shell_command", "bash", "exec_command"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is kept of the end of a session."""

    request: str = ""
    decisions: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """As short lines for a model, most needed first."""
        return (
            *((f"Last request: {text.title(self.request, 300)}",) if self.request else ()),
            *(f"Decided: {each}" for each in self.decisions),
            *(f"Open: {each}" for each in self.tasks),
            *(f"Command that worked: {each}" for each in self.commands),
        )


def of_transcript(path: Path, kind: str) -> Checkpoint:
    """The checkpoint of a transcript's end.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    turns = (turn for turn in reader(kind).read(path, max(0, size - TAIL_BYTES), settled=True) if isinstance(turn, Turn))
    return of_turns(turns)


def of_turns(turns: Iterable[Turn]) -> Checkpoint:
    """The checkpoint of some turns: the last of each kind, each once."""
    request = ""
    decisions: dict[str, None] = {}
    commands: dict[str, None] = {}
    tasks: dict[str, None] = {}
    for turn in turns:
        if turn.sidechain or turn.role == "summary":
            continue
        if turn.role == "user" and turn.text:
            request = turn.text
        _renew(decisions, decisions_in(turn.text))
        _renew(tasks, (found.strip() for found in _TASK.findall(turn.text)))
        _renew(commands, commands_in(turn))
    return Checkpoint(request, _last(decisions, 6), _last(commands, 5), _last(tasks, 6))


def decisions_in(said: str) -> list[str]:
    """Sentences in which something is decided or found out."""
    return [
        sentence.strip(" -*#>")
        for sentence in _SENTENCE.split(said)
        if 20 <= len(sentence) <= 300 and _DECISION.search(sentence) and not sentence.rstrip().endswith("?")
    ]


def commands_in(turn: Turn) -> list[str]:
    """Shell commands of a turn that did something and ended well, short ones only."""
    return [line for line in worked(turn) if 3 <= len(line) <= 200 and "\n" not in line and any(steps(line))]


def worked(turn: Turn) -> Iterator[str]:
    """The shell commands of a turn that ended well."""
    for call in turn.tools:
        if call.name in _RUNNERS and not call.is_error and call.result is not None and isinstance(call.input, dict):
            command = call.input.get("command", "")
            line = " ".join(map(str, command)) if isinstance(command, list) else command if isinstance(command, str) else ""
            if line.strip():
                yield line.strip()


def _renew(kept: dict[str, None], found: Iterable[str]) -> None:
    for each in found:
        kept.pop(each, None)
        kept[each] = None


def _last(kept: dict[str, None], count: int) -> tuple[str, ...]:
    return tuple(list(kept)[-count:])
