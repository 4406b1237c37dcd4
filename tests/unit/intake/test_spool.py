"""The spool: nothing is lost, nothing is drained twice, nobody waits."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bethink.intake import spool

POSIX = pytest.mark.skipif(os.name == "nt", reason="permission bits and signals are POSIX's")


def test_written_read_and_done(tmp_path: Path) -> None:
    path = spool.write(tmp_path, {"kind": "stop", "text": "日本 🙂 \x00 \ud800", "span": [1, 2]})
    assert spool.pending(tmp_path) == [path]
    held = spool.claim(tmp_path, path)
    assert held is not None
    record = spool.read(held)
    assert record["text"] == "日本 🙂 \x00 \ud800"
    assert record["id"] == path.stem
    assert abs(record["spooled_at"] - time.time()) < 60
    assert "cut" not in record
    assert spool.pending(tmp_path) == []
    spool.done(held)
    spool.done(held)
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == []


@POSIX
def test_only_the_owner_may_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = os.umask(0)
    try:
        path = spool.write(home, {"a": 1})
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home, home / "spool")} == {0o700}


def test_oldest_first(tmp_path: Path) -> None:
    paths = [spool.write(tmp_path, {"n": number}) for number in range(50)]
    assert spool.pending(tmp_path) == paths
    order = []
    while (held := spool.claim_next(tmp_path)) is not None:
        order.append(spool.read(held)["n"])
        spool.done(held)
    assert order == list(range(50))


@pytest.mark.parametrize("letter", ["a", "日", "🙂", "\ud800"])
def test_a_long_text_keeps_head_and_tail_and_says_so(tmp_path: Path, letter: str) -> None:
    text = "HEAD" + letter * 400_000 + "TAIL"
    path = spool.write(tmp_path, {"deep": {"list": ["short", text]}, "transcript": "/t.jsonl", "offset": 7})
    record = json.loads(path.read_bytes())
    kept = record["deep"]["list"][1]
    assert record["deep"]["list"][0] == "short"
    assert kept.startswith("HEAD")
    assert kept.endswith("TAIL")
    assert "left out here" in kept
    cut = record["cut"]["deep.list[1]"]
    assert cut["characters"] == len(text)
    assert (
        kept
        == text[: cut["from"]]
        + f"\n[… {cut['to'] - cut['from']} characters left out here; they are in the transcript …]\n"
        + text[cut["to"] :]
    )
    assert len(kept.encode("utf-8", "surrogatepass")) < spool.MAX_TEXT_BYTES + 200
    assert (record["transcript"], record["offset"]) == ("/t.jsonl", 7)


def test_values_that_are_not_json_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        spool.write(tmp_path, {"x": object()})
    assert spool.pending(tmp_path) == []


def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(OSError):
        spool.write(tmp_path, {"x": 1})
    assert spool.pending(tmp_path) == []
    assert spool.recover(tmp_path) == 0


def test_an_empty_home(tmp_path: Path) -> None:
    assert spool.pending(tmp_path / "none") == []
    assert spool.claim_next(tmp_path / "none") is None
    assert spool.recover(tmp_path / "none") == 0
    assert spool.failed(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


DRAIN = """
import json, sys
from pathlib import Path
from bethink.intake import spool
taken = []
while (held := spool.claim_next(Path(sys.argv[1]))) is not None:
    taken.append(spool.read(held)["n"])
    spool.done(held)
print(json.dumps(taken))
"""


def test_drainers_never_take_the_same(tmp_path: Path) -> None:
    for number in range(300):
        spool.write(tmp_path, {"n": number})
    command = [sys.executable, "-c", DRAIN, str(tmp_path)]
    drainers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    shares = [json.loads(drainer.communicate(timeout=120)[0]) for drainer in drainers]
    assert sorted(number for share in shares for number in share) == list(range(300))


def test_only_one_claim_wins(tmp_path: Path) -> None:
    path = spool.write(tmp_path, {"n": 1})
    assert spool.claim(tmp_path, path) is not None
    assert spool.claim(tmp_path, path) is None


def test_claims_of_the_dead_are_taken_over_and_of_the_living_are_not(tmp_path: Path) -> None:
    path = spool.write(tmp_path, {"n": 1})
    held = spool.claim(tmp_path, path)
    assert held is not None
    assert spool.recover(tmp_path) == 0
    gone = held.path.rename(held.path.with_name(f"{held.id}.0.999999.json"))
    assert spool.recover(tmp_path, alive=lambda process: True) == 0
    assert spool.recover(tmp_path, alive=lambda process: False) == 1
    assert not gone.exists()
    again = spool.claim_next(tmp_path)
    assert again is not None
    assert (again.id, again.attempts) == (held.id, 1)
    assert spool.read(again)["n"] == 1


def test_a_claim_lapses_by_age_unless_refreshed(tmp_path: Path) -> None:
    spool.write(tmp_path, {"n": 1})
    held = spool.claim_next(tmp_path)
    assert held is not None
    os.utime(held.path, (1, 1))
    spool.refresh(held)
    assert spool.recover(tmp_path) == 0
    assert spool.recover(tmp_path, now=time.time() + spool.CLAIM_SECONDS + 5) == 1


def test_what_kills_every_drainer_is_set_aside_in_the_end(tmp_path: Path) -> None:
    spool.write(tmp_path, {"n": 1})
    for _ in range(spool.MAX_ATTEMPTS):
        held = spool.claim_next(tmp_path)
        assert held is not None
        held.path.rename(held.path.with_name(held.path.name.replace(f".{os.getpid()}.", ".999999.")))
        spool.recover(tmp_path, alive=lambda process: False)
    assert spool.claim_next(tmp_path) is None
    ((path, why),) = spool.failed(tmp_path)
    assert "the process that drained it ended" in why
    assert json.loads(path.read_bytes())["n"] == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'"text"'])
def test_poison_is_set_aside_with_its_reason_and_never_deleted(tmp_path: Path, content: bytes) -> None:
    path = spool.write(tmp_path, {"n": 1})
    path.write_bytes(content)
    held = spool.claim_next(tmp_path)
    assert held is not None
    with pytest.raises(ValueError) as caught:
        spool.read(held)
    spool.fail(tmp_path, held, f"not a record: {caught.value}")
    assert spool.claim_next(tmp_path) is None
    ((aside, why),) = spool.failed(tmp_path)
    assert aside.read_bytes() == content
    assert why.startswith("not a record")
    assert spool.retry(tmp_path) == 1
    assert spool.claim_next(tmp_path) is not None


def test_a_huge_record_is_not_read(tmp_path: Path) -> None:
    path = spool.write(tmp_path, {"n": 1})
    with path.open("ab") as file:
        file.truncate(spool.MAX_RECORD_BYTES + 1)
    held = spool.claim_next(tmp_path)
    assert held is not None
    with pytest.raises(ValueError, match="larger"):
        spool.read(held)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    folder = spool.write(tmp_path, {"n": 1}).parent
    (folder / "claimed").mkdir()
    (folder / "claimed" / "stray.txt").write_text("x")
    (folder / "note.txt").write_text("x")
    (folder / ".half.tmp").write_text("x")
    assert len(spool.pending(tmp_path)) == 1
    assert spool.recover(tmp_path) == 0
    assert (folder / ".half.tmp").exists()
    spool.recover(tmp_path, now=time.time() + 7200)
    assert not (folder / ".half.tmp").exists()
    assert (folder / "note.txt").exists()
    assert (folder / "claimed" / "stray.txt").exists()


@POSIX
def test_a_writer_that_is_killed_leaves_whole_records_only(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bethink.intake import spool\n"
        "n = 0\n"
        "while True:\n"
        "    spool.write(Path(sys.argv[1]), {'n': n, 'text': 'x' * 50_000}); print(n, flush=True); n += 1\n"
    )
    acknowledged = -1
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(5):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split("\n")
        acknowledged = max([acknowledged, *(int(line) for line in rest if line.isdigit())])
        numbers = [json.loads(path.read_bytes())["n"] for path in spool.pending(tmp_path)]
        assert set(range(acknowledged + 1)) <= set(numbers)
        for path in spool.pending(tmp_path):
            path.unlink()
