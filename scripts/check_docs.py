"""Fails when a link inside the documentation leads nowhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from files import name_of, project_files

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown page offers, by the usual rule for headings."""
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for line in re.findall(r"^#+\s+(.*)$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", line.replace("`", "").strip().lower())
        found.add(plain.replace(" ", "-"))
    return found


def broken(path: Path) -> list[str]:
    """The links of a page whose file or heading does not exist."""
    wrong = []
    for groups in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        link = next(filter(None, groups))
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target.read_text("utf-8"))):
            wrong.append(f"{name_of(path)}: {link} leads nowhere")
    return wrong


def main() -> int:
    pages = project_files(".md")
    wrong = [line for path in pages for line in broken(path)]
    print("\n".join(wrong) or f"links: {len(pages)} pages hold together")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
