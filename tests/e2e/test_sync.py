"""Real processes: a server, machines that write, and a network that breaks."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import mcp, netns
from kit.chaos import Chaos
from kit.serve import free_port
from kit.storm import BETHINK, Outcome, Served, Writer, storm


@pytest.fixture
def key() -> str:
    return "-".join(("a", "key", "for", "tests", "only", "0123456789"))


@pytest.fixture
def server(tmp_path: Path, key: str) -> Iterator[Served]:
    made = Served(tmp_path / "server", key)
    made.wait()
    yield made
    made.kill()


def said(served: Served | Writer) -> list[str]:
    """The contents of a store, up to what makes them long."""
    return sorted(" ".join(memory.content.split()[:3]) for memory in served.memories())


def _weathered(folder: Path, key: str, seconds: float, *, database: bool) -> Outcome:
    outcome = storm(folder, key, seconds, database=database)
    assert (outcome.lost, outcome.doubled, outcome.differing) == ([], [], []), outcome
    assert outcome.acknowledged > 10 and outcome.edited > 10, outcome
    # Neither side holds what passes.
    assert max(outcome.server_peak, outcome.client_peak) < 400 << 20, outcome
    print(outcome.shape())
    return outcome


@pytest.mark.parametrize("database", [False, True], ids=["sqlite", "postgres"])
def test_nothing_is_lost_or_doubled_when_everything_breaks(tmp_path: Path, key: str, database: bool) -> None:
    _weathered(tmp_path, key, 10, database=database)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_in_a_minute_of_it(tmp_path: Path, key: str) -> None:
    """kill -9 of clients, server and database, a disk that is full, and a network that does what networks do."""
    outcome = _weathered(tmp_path, key, 60, database=True)
    assert outcome.kills.keys() >= {"server", "database", "client"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cable_that_is_pulled_out(tmp_path: Path, key: str) -> None:
    """A machine in a network of its own; the link goes down while it writes, and comes back."""
    with netns.cable() as cable:
        served = Served(tmp_path / "server", key, host=cable.host)
        try:
            served.wait()
            writer = Writer(tmp_path / "one", "one", f"http://{cable.host}:{served.port}", key)
            writer.start(40, *cable.inside)
            time.sleep(6)
            cable.cut()
            time.sleep(12)
            before = len(said(served))
            cable.mend()
            writer.end(kill=False)
            # The engine found by itself that the network is back.
            assert before and len(said(served)) > before
            verify = [*cable.inside, *BETHINK, "sync", "--verify", "--json"]
            done = subprocess.run(verify, env=writer.environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
            assert {f"one wrote {number}" for number in writer.stored} <= set(said(served))
            assert len(said(served)) == len(set(said(served))) == len(said(writer))
        finally:
            served.kill()


def test_a_wrong_key_is_said_and_forgiven(server: Served, tmp_path: Path, key: str) -> None:
    writer = Writer(tmp_path / "one", "one", f"http://127.0.0.1:{server.port}", "-".join(("not", key)))
    assert writer.bethink("add", "kept meanwhile", "--global").returncode == 0
    told = writer.bethink("sync", "--json")
    assert told.returncode == 3
    shape = json.loads(told.stdout)
    assert shape["errors"]["hello"]["code"] == "Unauthorized" and "MEMORY_API_KEY" in told.stdout
    right = writer.bethink("sync", "--json", MEMORY_API_KEY=key)
    assert right.returncode == 0, right.stdout + right.stderr
    assert said(server) == ["kept meanwhile"]
    status = json.loads(writer.bethink("sync", "--status", "--json").stdout)
    assert {"mode", "server", "cursor", "lag_seconds", "pending", "refused", "last_error", "next_try"} <= status.keys()
    assert (status["mode"], status["pending"], status["refused"]) == ("hybrid", 0, 0)
    assert status["bytes_sent"] > 100 and status["bytes_received"] > 100
    metrics = writer.bethink("sync", "--metrics").stdout
    assert "bethink_sync_pending 0" in metrics and "bethink_sync_last_success_timestamp_seconds" in metrics
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
        counted = answer.read().decode()
    assert 'bethink_sync_changes_total{result="applied"} 1.0' in counted and 'bethink_sync_bytes_total{direction="in"}' in counted
    doctor = json.loads(writer.bethink("doctor", "--json", MEMORY_API_KEY=key).stdout)
    assert doctor["mode"] == "hybrid" and doctor["sync"]["refused"] == 0


def test_a_count_says_what_the_server_does_not_have(tmp_path: Path, key: str) -> None:
    settings = {"MEMORY_API_URL": f"http://127.0.0.1:{free_port()}", "MEMORY_API_KEY": key, "MEMORY_EMBEDDER": "none"}
    with mcp.Bare(tmp_path / "home", env=settings) as bare:
        bare.shake()
        bare.tool("memory_store", content="written while the server is away")
        counted = bare.tool("memory_count")
        assert counted["structuredContent"]["sync"].items() >= {"mode": "hybrid", "pending": 1, "refused": 0}.items()
        assert "Not yet on the server: 1" in mcp.said(counted)


def test_what_is_refused_is_in_the_doctors_report(server: Served, tmp_path: Path, key: str) -> None:
    canary = "ghp_" + "Zq8vK2mN4xR7tW1yB5cD9fG3hJ6kL0pS2uVa"
    chaos = Chaos(server.port, rate=0.0)
    try:
        writer = Writer(tmp_path / "one", "one", chaos.url, key)
        assert writer.bethink("add", f"the deploy token is {canary}", "--global").returncode == 0
        assert writer.bethink("sync").returncode == 1
        assert b"/api/sync/push" in chaos.heard and canary.encode() not in chaos.heard
        status = json.loads(writer.bethink("sync", "--status", "--json").stdout)
        assert [one["code"] for one in status["refusals"]] == ["SecretWithheld"]
        examined = writer.bethink("doctor", "--json")
        (bad,) = [check for check in json.loads(examined.stdout)["checks"] if not check["ok"]]
        assert examined.returncode == 3 and bad["name"] == "sync" and "1 refused" in bad["detail"]
    finally:
        chaos.close()


def test_the_doctor_says_of_an_address_that_another_answers_there(tmp_path: Path, key: str) -> None:
    chaos = Chaos(free_port(), rate=1.0, faults=("html",))
    try:
        writer = Writer(tmp_path / "one", "one", chaos.url, key)
        examined = writer.bethink("doctor", "--json")
        (bad,) = [check for check in json.loads(examined.stdout)["checks"] if not check["ok"]]
        assert examined.returncode == 3 and bad["name"] == "sync" and "something else" in bad["detail"]
    finally:
        chaos.close()
    # That nobody is there passes by itself: machines are offline now and then.
    away = Writer(tmp_path / "two", "two", f"http://127.0.0.1:{free_port()}", key)
    assert away.bethink("doctor", "--json").returncode == 0


def test_a_login_page_is_no_data(tmp_path: Path, key: str) -> None:
    chaos = Chaos(free_port(), rate=1.0, faults=("html",))
    try:
        writer = Writer(tmp_path / "one", "one", chaos.url, key)
        assert writer.bethink("add", "kept", "--global").returncode == 0
        told = json.loads(writer.bethink("sync", "--json").stdout)
        assert told["errors"]["hello"]["code"] == "NotTheServer" and told["refused"] == 0
        assert said(writer) == ["kept"]
    finally:
        chaos.close()
