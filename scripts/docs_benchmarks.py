"""Puts what the benchmarks measured into docs/reference/benchmarks.md, between the markers that name each of them.

A benchmark writes its part, as Markdown, to bench/results/NAME.md; the page holds `<!-- bench:NAME -->` … `<!-- /bench:NAME -->`.
`--check` only says whether the page holds what the results say.
"""

from __future__ import annotations

import re
import sys

from files import ROOT, name_of

PAGE = ROOT / "docs/reference/benchmarks.md"
RESULTS = ROOT / "bench/results"
PART = re.compile(r"(<!-- bench:([\w-]+) -->\n)(.*?)(<!-- /bench:\2 -->)", re.DOTALL)


def page(old: str) -> str:
    """The page with every measured part in its place; parts without results stay as they are."""

    def part(match: re.Match[str]) -> str:
        result = RESULTS / f"{match[2]}.md"
        return f"{match[1]}{result.read_text('utf-8').strip()}\n{match[4]}" if result.exists() else match[0]

    return PART.sub(part, old)


def main() -> int:
    old = PAGE.read_text("utf-8")
    placed = {match[2] for match in PART.finditer(old)}
    homeless = sorted(path.name for path in RESULTS.glob("*.md") if path.stem not in placed)
    new = page(old)
    for name in homeless:
        print(f"bench/results/{name} has no place in {name_of(PAGE)}")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(new, "utf-8")
    elif new != old:
        print(f"{name_of(PAGE)} is out of date: run `make docs`")
        return 1
    return bool(homeless)


if __name__ == "__main__":
    sys.exit(main())
