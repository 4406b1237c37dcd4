"""LoCoMo conversations written as transcripts of Claude Code: one session a file, the first speaker as the user.

.venv/bin/python bench/intake/locomo_transcripts.py ../shared/eval/locomo-dev.json FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


def write(source: Path, target: Path) -> int:
    """Writes every session; answers how many turns."""
    count = 0
    for number, sample in enumerate(json.loads(source.read_text("utf-8"))):
        for session, at, turns in sessions(sample["conversation"]):
            name = f"{sample.get('sample_id', number)}-{session}"
            folder = target / f"-home-u-{sample.get('sample_id', number)}"
            folder.mkdir(parents=True, exist_ok=True)
            lines = [_line(sample["conversation"], name, turn, at + timedelta(seconds=30 * place)) for place, turn in enumerate(turns)]
            path = folder / f"{name}.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
            # At rest since the conversation: its last turn is complete.
            os.utime(path, (at.timestamp(), at.timestamp()))
            count += len(lines)
    return count


def sessions(conversation: dict[str, Any]) -> Iterator[tuple[str, datetime, list[dict[str, Any]]]]:
    """Name, beginning and turns of each session, in order."""
    place = 1
    while f"session_{place}_date_time" in conversation:
        turns = conversation.get(f"session_{place}")
        if turns:
            at = datetime.strptime(conversation[f"session_{place}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
            yield f"session-{place}", at, turns
        place += 1


def _line(conversation: dict[str, Any], session: str, turn: dict[str, Any], at: datetime) -> dict[str, Any]:
    role = "user" if turn["speaker"] == conversation["speaker_a"] else "assistant"
    caption = f" [shares {turn['blip_caption']}]" if turn.get("blip_caption") else ""
    words = f"{turn['speaker']}: {turn['text']}{caption}"
    message: dict[str, Any] = {"role": role, "content": words if role == "user" else [{"type": "text", "text": words}]}
    if role == "assistant":
        message["id"] = f"msg-{session}-{turn['dia_id']}"
    return {
        "type": role,
        "uuid": f"{session}:{turn['dia_id']}",
        "sessionId": session,
        "cwd": "/home/u/" + session.partition("-session")[0],
        "timestamp": at.isoformat(),
        "message": message,
    }


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), Path(sys.argv[2])), "turns")
