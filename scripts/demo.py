"""Two assistants in two processes and one memory: the first reads, the second knows.

    python scripts/demo.py [TRANSCRIPT …]

Each process is a real MCP client that talks to a `bethink mcp` of its own over stdin and stdout; all they share is a fresh
store in a folder that is removed afterwards. What is read is this checkout's documentation and history, and the sessions of
Claude Code or Codex that are named (files or folders; TRANSCRIPTS in the environment does the same).
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import Implementation
from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from bethink import text as words
from bethink.hosts.transcripts import Turn, reader

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).with_name("bethink")
COMMAND = [str(PROGRAM), "mcp"] if PROGRAM.exists() else [sys.executable, "-m", "bethink.front.mcp"]
#: Where the demo stands, whatever the checkout's remote is called.
PROJECT = "demo"
COMMITS = 40
#: Turns of a transcript that are read, from its end; and questions that are made from transcripts.
TURNS, OWN_QUESTIONS = 60, 3
SHORTEST, LONGEST = 40, 1500
SHOWN = 190
HITS = 3


@dataclass(frozen=True)
class Piece:
    """Something the first assistant reads: where it stands, and what it says."""

    source: str
    content: str
    category: str


@dataclass(frozen=True)
class Question:
    """A question in other words than its answer's. The answer is whatever of `source` matches `anchor`; none when both are empty."""

    text: str
    source: str = ""
    anchor: str = ""

    def answers(self, piece: Piece) -> bool:
        return bool(self.source) and fnmatch(piece.source, self.source) and re.search(self.anchor, piece.content, re.IGNORECASE) is not None


#: Anchors name what a page is about, so that a page may be rewritten without the questions going wrong.
QUESTIONS = (
    Question("Which database driver did we pick, and what was wrong with the one Python ships?", "docs/why/001*", "apsw"),
    Question("Why not simply merge the two result lists by their positions?", "docs/why/002*", "fusion"),
    Question("How are the best hits compared with the question a second time, more finely?", "docs/*", "late interaction|token vector"),
    Question("Who makes up the identifier of a record while there is no network?", "docs/why/003*", "id"),
    Question("Two laptops disagree about the time of day. Does a replica miss something?", "docs/why/003*", "clock"),
    Question("I am switching to another computer. How do I take the store with me?", "docs/how-to/back-up*", "machine|folder"),
    Question("My notes are not in English. Is there a better model for them?", "docs/how-to/use-another-embedder.md", "language|embedder"),
    Question("How do I get the assistant to note things down more often?", "docs/how-to/connect*", "remember|store"),
    Question("I put a credential into a note by mistake. Who can read it now?", "*", "secret|seal"),
    Question("What does the neighbour's cat eat for breakfast?"),
)


@dataclass(frozen=True)
class Asked:
    """A question with what came back and the place of the right memory: 1 for first, 0 for not among the hits."""

    question: Question
    hits: Sequence[Mapping[str, Any]]
    place: int
    milliseconds: float

    @property
    def right(self) -> bool:
        return self.place == 1 if self.question.source else not self.hits


def pages(root: Path = ROOT) -> Iterator[Piece]:
    """The paragraphs of the README and of the documentation; reference pages are lists, not prose."""
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith("docs/reference/"):
            category = "decisions" if name.startswith("docs/why/") else "facts"
            for content in paragraphs(path.read_text("utf-8")):
                yield Piece(name, content, category)


def paragraphs(page: str) -> Iterator[str]:
    """What a Markdown page says, a paragraph at a time, with the headings above it; no code, no tables."""
    page = re.sub(r"^(```|~~~).*?^\1\s*$|<!--.*?-->", "", page, flags=re.DOTALL | re.MULTILINE)
    above: list[str] = []
    for block in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. |#)", page):
        block = block.strip()
        if heading := re.fullmatch(r"(#+)\s+(.+)", block):
            above = [*above[: len(heading[1]) - 1], plain(heading[2])]
        elif block and not block.startswith("|"):
            said = plain(re.sub(r"^([-*>]|\d+\.)\s+", "", block, flags=re.MULTILINE))
            if len(said) >= SHORTEST:
                yield " › ".join(above) + f": {said}"[:LONGEST]


def plain(markdown: str) -> str:
    """Text without marks and links."""
    return " ".join(re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", lambda match: match[1] or "", markdown).split())


def history(root: Path = ROOT) -> Iterator[Piece]:
    """The subjects of the last commits, with their day; nothing where there is no git."""
    command = ["git", "-C", str(root), "log", f"-{COMMITS}", "--no-merges", "--format=%cs%x09%s"]
    try:
        log = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return
    for line in log.splitlines():
        day, _, subject = line.partition("\t")
        yield Piece("git log", f"Commit of {day}: {subject}", "observations")


def sessions(paths: Iterable[Path]) -> Iterator[Piece]:
    """What people and assistants said in sessions of Claude Code or Codex."""
    for path in paths:
        for file in sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]:
            yield from _turns(file)


def _turns(file: Path) -> Iterator[Piece]:
    for host in ("claude-code", "codex"):
        try:
            turns = [one for one in reader(host).read(file, settled=True) if isinstance(one, Turn) and not one.sidechain]
        except OSError as error:
            print(f"{file} cannot be read: {error.strerror}", file=sys.stderr)
            return
        said = [turn for turn in turns if turn.role in ("user", "assistant") and len(turn.text) >= SHORTEST]
        for turn in said[-TURNS:]:
            yield Piece(f"session {file.stem[:8]}", f"{turn.role.capitalize()}: {turn.text[:LONGEST]}", "observations")
        if said:
            return


def own_questions(pieces: Sequence[Piece]) -> list[Question]:
    """Questions about the given sessions: a few rare words of what a person said."""
    said = [piece for piece in pieces if piece.source.startswith("session ")]
    common = Counter(word for piece in said for word in set(words.informative(piece.content)))
    questions = []
    for piece in said:
        telling = [word for word in words.informative(piece.content.partition(":")[2]) if len(word) > 3 and not word.isdigit()]
        if piece.content.startswith("User:") and len(telling) >= 6:
            rarest = sorted(telling, key=lambda word: common[word])[:4]
            kept = [word for word in telling if word in rarest]
            questions.append(Question(f"What was that about {', '.join(kept)}?", piece.source, re.escape(piece.content[6:60])))
    step = max(len(questions) // OWN_QUESTIONS, 1)
    return questions[::step][:OWN_QUESTIONS]


def assistant(home: Path, name: str) -> Client:
    """A new client with a new server process."""
    variables = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("MEMORY_", "VAULT_", "GUARD_", "CLAUDE_PROJECT"))},
        "MEMORY_HOME": str(home),
        # A key for sealing that is only the demo's has no place in the desktop's keyring.
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    server = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], "-p", PROJECT], env=variables, cwd=home)
    return Client(server, client_info=Implementation(name=name, version="1"))


async def call(client: Client, tool: str, **arguments: Any) -> Mapping[str, Any]:
    """A tool's structured answer."""
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise RuntimeError(f"{tool}: {result.content[0].text if result.content else 'no answer'}")
    return result.structured_content


async def read(home: Path, pieces: Sequence[Piece], progress: Progress) -> tuple[dict[str, Piece], Counter[str], Counter[str]]:
    """The first process stores every piece; answers id → piece, and counts by source and by what became of them."""
    known: dict[str, Piece] = {}
    by_source: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    async with assistant(home, "first-assistant") as client:
        bar = progress.add_task("remembering", total=len(pieces))
        for piece in pieces:
            stored = await call(client, "memory_store", content=piece.content, category=piece.category, tags=[piece.source])
            known.setdefault(stored["id"], piece)
            by_source[piece.source.split(" ")[0]] += 1
            actions[stored["action"]] += 1
            actions["sealed"] += len(stored["sealed"])
            progress.advance(bar)
        bar = progress.add_task("vectors", total=len(pieces))
        waiting = 1
        while waiting:
            waiting = (await call(client, "memory_count"))["pending_vectors"]
            progress.update(bar, completed=len(pieces) - waiting)
            await asyncio.sleep(0.1)
    return known, by_source, actions


async def ask(home: Path, questions: Sequence[Question], known: Mapping[str, Piece]) -> tuple[list[Asked], str]:
    """The second process asks; answers also who had told what it was told."""
    answers = []
    writer = ""
    async with assistant(home, "second-assistant") as client:
        # The model is loaded with the first call, which is nobody's question.
        await call(client, "memory_recall", context="warm up")
        for question in questions:
            started = time.perf_counter()
            hits = (await call(client, "memory_recall", context=question.text, limit=HITS))["hits"]
            took = (time.perf_counter() - started) * 1000
            right = (place for place, hit in enumerate(hits, 1) if hit["id"] in known and question.answers(known[hit["id"]]))
            answers.append(Asked(question, hits, next(right, 0), took))
        if told_by := next((asked.hits[0] for asked in answers if asked.hits), None):
            memory = await call(client, "memory_get", id=told_by["id"])
            writer = f"{memory['agent']} (session …{memory['session'][-4:]})"
    return answers, writer


def shown(answers: Sequence[Asked], known: Mapping[str, Piece]) -> Table:
    """The table: what was asked, what came back, and why."""
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False, padding=(0, 2, 1, 0), expand=True)
    table.add_column("The second assistant asks", ratio=5, style="bold cyan")
    table.add_column("and is told", ratio=9)
    table.add_column("score, and why", width=23, no_wrap=True)
    for asked in answers:
        if not asked.hits:
            said = Group(Text("Nothing. No memory matches, and it says so.", style="italic"))
            table.add_row(Text(asked.question.text), said, _verdict(asked))
            continue
        best = asked.hits[0]
        piece = known.get(best["id"])
        body = Text(_short(best["content"]))
        source = Text(piece.source if piece else "", style="dim")
        extra = [Text(_later(asked, known), style="yellow")] if asked.place > 1 else []
        table.add_row(Text(asked.question.text), Group(body, source, *extra), Group(_verdict(asked), *_why(best)))
    return table


def _short(content: str) -> str:
    flat = " ".join(content.split())
    return flat if len(flat) <= SHOWN else flat[: flat.rfind(" ", 0, SHOWN)] + " …"


def _later(asked: Asked, known: Mapping[str, Piece]) -> str:
    hit = asked.hits[asked.place - 1]
    return f"expected, and {('first', 'second', 'third')[asked.place - 1]}: {words.title(known[hit['id']].content, 90)}"


def _verdict(asked: Asked) -> Text:
    if asked.right:
        return Text("✓ right", style="bold green") if asked.question.source else Text("✓ right to be silent", style="bold green")
    if not asked.question.source:
        return Text("✗ should be silent", style="bold red")
    return Text(f"~ right one is no. {asked.place}", style="bold yellow") if asked.place else Text("✗ not found", style="bold red")


def _why(hit: Mapping[str, Any]) -> list[Text]:
    lines = [_bar("score", hit["score"], "green")]
    names = {"keyword": "words", "semantic": "meaning", "late": "word by word"}
    lines += [_bar(label, hit["why"][name], "blue") for name, label in names.items() if name in hit["why"]]
    return lines


def _bar(label: str, value: float, style: str) -> Text:
    full = round(max(min(value, 1.0), 0.0) * 5)
    return Text.assemble((f"{label:<12} ", ""), ("█" * full, style), ("░" * (5 - full), "dim"), f" {value:.2f}")


def told(by_source: Counter[str], actions: Counter[str]) -> str:
    names = {"README.md": "of the README", "git": "commits", "session": "turns of sessions"}
    docs = sum(count for source, count in by_source.items() if source.startswith("docs/"))
    parts = [f"{docs} paragraphs of documentation"] if docs else []
    parts += [f"{by_source[name]} {label}" for name, label in names.items() if by_source[name]]
    also = [f"{actions['merged']} said nothing new and were merged"] if actions["merged"] else []
    also += [f"{actions['sealed']} secrets were sealed out of them"] if actions["sealed"] else []
    return ", ".join(parts) + ("; " + ", ".join(also) if also else "") + "."


def collected(paths: Sequence[Path]) -> list[Piece]:
    """Everything that the first assistant reads."""
    return [*pages(), *history(), *sessions(paths)]


def askable(pieces: Sequence[Piece]) -> list[Question]:
    """The questions whose answers are there: a copy without git has no history."""
    fixed = [question for question in QUESTIONS if not question.source or any(question.answers(piece) for piece in pieces)]
    return [*fixed[:-1], *own_questions(pieces), fixed[-1]]


def connecting(console: Console) -> None:
    """How the reader's own assistant gets this memory."""
    console.print("[bold]Now yours.[/] With Claude Code:")
    # Not wrapped: it is there to be copied.
    console.print(f"\n  claude mcp add --scope user bethink -- {' '.join(COMMAND)}\n", style="bold green", soft_wrap=True, highlight=False)
    console.print("Codex, Gemini CLI, Cursor and others: docs/how-to/connect-an-assistant.md", style="dim")


def main(arguments: Sequence[str]) -> int:
    console = Console(highlight=False)
    given = [*arguments, *filter(None, os.environ.get("TRANSCRIPTS", "").split(os.pathsep))]
    started = time.perf_counter()
    pieces = collected([Path(path).expanduser() for path in given])
    questions = askable(pieces)
    with tempfile.TemporaryDirectory(prefix="bethink-demo-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        console.rule("[bold]1 · One assistant reads[/]", align="left")
        columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            begun = time.perf_counter()
            known, by_source, actions = asyncio.run(read(home, pieces, progress))
        took = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in home.glob("memory.db*")) / 1e6
        console.print(Padding(escape(told(by_source, actions)), (0, 0, 0, 2)))
        console.print(Padding(f"{took:.1f} s, {size:.1f} MB in one file. Then its process ends.", (0, 0, 1, 2)))
        console.rule("[bold]2 · Another one, in a process of its own, is asked in other words[/]", align="left")
        console.print()
        answers, writer = asyncio.run(ask(home, questions, known))
    console.print(shown(answers, known))
    console.print(f"Each note says who left it: {writer}. What asked here was second-assistant.", style="dim")
    right = sum(asked.right for asked in answers)
    median = sorted(asked.milliseconds for asked in answers)[len(answers) // 2]
    verdict = f"{right} of {len(answers)} right at once" + ("." if right == len(answers) else ", the others are marked.")
    seconds = time.perf_counter() - started
    console.print(f"[bold]{verdict}[/] {median:.0f} ms a question, {seconds:.0f} s in all.\n")
    connecting(console)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
