"""The server while things break: the database dies and comes back under load, replicas migrate at once, a stop drains."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from kit import postgres
from kit.serve import Serving

pytestmark = pytest.mark.slow
KEY = "test" + "-key-of-the-load"


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    """A server of our own: it is killed, and what it acknowledged must be on disk."""
    made = postgres.started(durable=True)
    yield made
    made.close()


def test_the_database_dies_under_load_and_comes_back(cluster: postgres.Cluster, tmp_path: Path) -> None:
    url = cluster.database()
    with Serving(tmp_path, DATABASE_URL=url, API_KEY=KEY) as server:
        acknowledged: dict[str, str] = {}
        statuses: Counter[int] = Counter()
        stop = threading.Event()
        lock = threading.Lock()

        def write(number: int) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                content = f"worker {number} wrote line {count}"
                try:
                    status, answer = server.ask("POST", "/api/memories", {"content": content, "tags": [f"w{number}"]}, KEY)
                except OSError:
                    status, answer = 0, None
                with lock:
                    statuses[status] += 1
                    if status in (200, 201):
                        acknowledged[answer["id"]] = content
                    elif status == 503:
                        assert answer["hint"] and answer["code"]
                if status != 201:
                    time.sleep(0.05)

        workers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for worker in workers:
            worker.start()
        until(lambda: statuses[201] > 40)
        cluster.kill()
        until(lambda: statuses[503] > 5)
        status, health = server.ask("GET", "/health")
        assert (status, health["status"]) == (503, "degraded")
        for method, path, body in (("GET", "/api/memories", None), ("GET", "/api/stats", None), ("POST", "/api/recall", {"query": "line"})):
            status, answer = server.ask(method, path, body, KEY)
            assert status == 503 and answer["hint"], path
        cluster.start()
        before = statuses[201]
        until(lambda: statuses[201] > before + 40)
        stop.set()
        for worker in workers:
            worker.join()
        assert set(statuses) <= {200, 201, 503}, statuses
        assert server.ask("GET", "/health")[0] == 200
        for id, content in acknowledged.items():
            status, memory = server.ask("GET", f"/api/memories/{id}", key=KEY)
            assert status == 200 and (memory["content"] == content or memory["status"] == "active"), content
    assert "Traceback" not in server.told()


def test_three_replicas_migrate_at_once(cluster: postgres.Cluster, tmp_path: Path) -> None:
    url = cluster.database()
    replicas = [Serving(tmp_path / str(number), DATABASE_URL=url, API_KEY=KEY).start(wait=False) for number in range(3)]
    try:
        for replica in replicas:
            until(lambda replica=replica: healthy(replica))
        status, answer = replicas[0].ask("POST", "/api/memories", {"content": "stored at the first"}, KEY)
        assert status == 201
        assert replicas[2].ask("GET", f"/api/memories/{answer['id']}", key=KEY)[1]["content"] == "stored at the first"
    finally:
        for replica in replicas:
            replica.stop()
    with psycopg.connect(url) as connection:
        assert len(connection.execute("SELECT version_num FROM alembic_version").fetchall()) == 1


def test_a_newer_schema_is_refused(cluster: postgres.Cluster, tmp_path: Path) -> None:
    url = cluster.migrated()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    server = Serving(tmp_path, DATABASE_URL=url, API_KEY=KEY).start(wait=False)
    assert server.process is not None and server.process.wait(60) == 3
    assert "9999" in server.told()


def test_a_database_that_is_away_stops_the_start(tmp_path: Path) -> None:
    server = Serving(tmp_path, DATABASE_URL=f"postgresql://nobody@/none?host={tmp_path}", API_KEY=KEY).start(wait=False)
    assert server.process is not None and server.process.wait(60) == 3
    assert "cannot be reached" in server.told()


def test_an_exhausted_pool_says_so(cluster: postgres.Cluster, tmp_path: Path) -> None:
    url = cluster.database()
    with Serving(tmp_path, DATABASE_URL=url, API_KEY=KEY, DATABASE_POOL="1") as server:
        status, answer = server.ask("POST", "/api/memories", {"content": "one line"}, KEY)
        assert status == 201
        with psycopg.connect(url) as connection:
            # Whoever asks for this row waits for a lock, and holds the only connection.
            connection.execute("LOCK TABLE memories IN ACCESS EXCLUSIVE MODE")
            slow = threading.Thread(target=server.ask, args=("GET", f"/api/memories/{answer['id']}", None, KEY))
            slow.start()
            until(lambda: waits(url))
            status, answer = server.ask("GET", "/api/tags", key=KEY)
            assert status == 503 and answer["code"] in ("StoreBusy", "StoreError") and answer["hint"]
            connection.rollback()
        slow.join()
        assert server.ask("GET", "/api/tags", key=KEY)[0] == 200


def test_a_stop_lets_running_requests_finish(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        answers: list[int] = []
        body = b"[" + b",".join(b'{"content": "line %d of a long import"}' % number for number in range(300)) + b"]"
        running = threading.Thread(target=lambda: answers.append(server.ask("POST", "/api/memories/import", body)[0]))
        running.start()
        until(lambda: stored(server) > 5)
        server.stop()
        running.join()
        assert answers == [200]
    with Serving(tmp_path) as server:
        assert stored(server) > 5


def healthy(server: Serving) -> bool:
    try:
        return server.ask("GET", "/health")[0] == 200
    except OSError:
        return False


def stored(server: Serving) -> int:
    return int(server.ask("GET", "/api/memories?limit=0")[1]["total"])


def waits(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
        return bool(row and row[0])


def until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]  # a function without arguments
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
