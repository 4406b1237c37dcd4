"""Fails when a source file has grown beyond what a reader takes in at once."""

from __future__ import annotations

import sys

from files import name_of, project_files

LIMIT = 500
#: Files that may be longer, each with its own limit, so that growth shows in review.
EXCEPTIONS: dict[str, int] = {}


def main() -> int:
    lines = {name_of(path): path.read_bytes().count(b"\n") for path in project_files(".py", ".sql", under="src")}
    limits = {name: EXCEPTIONS.get(name, LIMIT) for name in lines}
    wrong = [f"{name}: {n} lines, the limit is {limits[name]}" for name, n in lines.items() if n > limits[name]]
    wrong += [f"{name}: listed as an exception, but short or gone" for name in EXCEPTIONS if lines.get(name, 0) <= LIMIT]
    print("\n".join(wrong) or f"sizes: {len(lines)} files, the longest has {max(lines.values())} lines")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
