"""What replication costs: a snapshot, an idle round, one change on its way, one differing row.

    .venv/bin/python bench/sync.py [--memories 20000]

Server and replica run in this process on real files; bytes are those of the messages before compression, times are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bethink.exchange import unpacked
from bethink.model import Access
from bethink.sync.peer import Json, Peer
from kit.replicas import Machine, Server


class Counting:
    """A peer that counts what passes."""

    def __init__(self, inner: Peer) -> None:
        self.inner = inner
        self.address, self.confidential = inner.address, inner.confidential
        self.bytes = 0
        self.requests = 0

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self.inner, name)

        def counted(*given: Any) -> Json:
            answer: Json = ask(*given)
            self.bytes += len(json.dumps(given, default=list)) + len(json.dumps(answer))
            self.requests += 1
            return answer

        return counted


def cost(machines: Sequence[Machine], verify: bool = False) -> dict[str, float]:
    """What one round of each machine takes."""
    before = sum(machine.peer.bytes for machine in machines), sum(machine.peer.requests for machine in machines)
    started = time.process_time()
    for machine in machines:
        report = machine.sync(verify=verify)
        assert report.ok, report.errors
    return {
        "cpu_ms": round(1000 * (time.process_time() - started), 1),
        "bytes": sum(machine.peer.bytes for machine in machines) - before[0],
        "requests": sum(machine.peer.requests for machine in machines) - before[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=20_000)
    count = parser.parse_args().memories
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        one, two = (Machine(Path(folder), name, server, wrap=Counting) for name in ("one", "two"))
        one.sync()
        template = one.say("the first of many memories, of the usual length of one or two sentences about some decision")
        one.sync()
        access = Access.local("ann")
        sample = server.store.get(access, [template.id])[template.id]
        for start in range(0, count, 1000):
            with server.store.write(access) as tx:
                for number in range(start, min(start + 1000, count)):
                    memory = unpacked(_packed(sample, number))
                    tx.insert(memory)
        print("memories", count)
        print("snapshot", cost([two]))
        print("idle round", cost([two]))
        print("round that compares", cost([two], verify=True))
        one.sync()
        ways = []
        for number in range(20):
            one.say(f"a change on its way, {number}")
            ways.append(cost([one, two]))
        print("one change to another machine, cpu ms p50", statistics.median(way["cpu_ms"] for way in ways), ways[-1])
        with two.store.write(two.replica.access) as tx:
            tx.unlogged()
            tx.erase(template.id)
        print("repair of one row", cost([two], verify=True))
        assert two.memories.get(template.id)


def _packed(sample: Any, number: int) -> dict[str, Any]:
    from bethink import text
    from bethink.exchange import packed
    from bethink.model import new_id

    content = f"{sample.content}, number {number}"
    return {**packed(sample), "id": new_id(), "content": content, "content_hash": text.content_hash(content)}


if __name__ == "__main__":
    main()
