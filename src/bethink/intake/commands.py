"""Command lines taken apart: which steps of them did something, in a form that can be counted.

`cd app && mix test test/a_test.exs 2>&1 | tail -5` is the step `mix test test/a_test.exs`. Words are told apart by quotes alone; this is no
shell, and what it does not understand it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Programs that only look, or only lead to what is done; they are not worth remembering.
_LOOKING: Final = frozenset(
    """
    ls cat head tail grep rg find fd pwd cd pushd popd echo printf wc sed awk which type tree less more stat file sort uniq cut tr jq
    diff du df ps true false test [ [[ sleep wait export source .
    set unset history clear date env man whoami hostname kill pkill rm mkdir touch cp mv
    for if while until case do done then else fi esac function return exit read local declare eval exec xargs tee
    """.split()
)
#: Subcommands that only look.
_LOOKS: Final = frozenset(f"git {name}" for name in "status log diff show branch remote rev-parse blame ls-files grep".split())
#: Words before a program that change how it is run, with the number of their own words.
_LEADING: Final = {"sudo": 0, "time": 0, "nice": 0, "nohup": 0, "command": 0, "timeout": 1}
_PIECE: Final = re.compile(
    r"""(?P<aside>\d?>{1,2}(?:&\d|\s*[^\s;|&]+)? | &>\s*[^\s;|&]+ | <\s*[^\s;|&<]+) | (?P<end>&&|\|\||[;\n&]) | (?P<pipe>\|&?)
      | (?P<word>(?:"(?:\\.|[^"\\])*" | '[^']*' | \\. | [^\s;|&<>"'])+)""",
    re.VERBOSE,
)
_ASSIGNED: Final = re.compile(r"[A-Za-z_]\w*=")
_NAME: Final = re.compile(r"[A-Za-z][\w.:@+-]*\Z")
#: Words that say too little without the one that follows.
_TAKES_ANOTHER: Final = frozenset(("run", "exec", "compose", "-m"))
#: A run of letters and digits as long as a key.
_RUN: Final = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_SECRETIVE: Final = re.compile(r"token|secret|passw|api[-_]?key|authorization|bearer|credential|-----BEGIN", re.IGNORECASE)


def steps(line: str) -> Iterator[str]:
    """The steps of a command line that did something, quoted words left out; of a pipe, where it begins."""
    if "<<" in line or "$(" in line or "`" in line:
        # What is written or asked within a command is not its usual form.
        return
    words: list[str] = []
    piped = False
    for piece in [*_PIECE.finditer(line), None]:
        if piece is None or piece["end"]:
            if step := _step(words):
                yield step
            words, piped = [], False
        elif piece["pipe"]:
            piped = True
        elif piece["word"] and not piped:
            words.append(piece["word"])


def _step(words: list[str]) -> str:
    kept = list(words)
    while kept and (kept[0] in _LEADING or _ASSIGNED.match(kept[0])):
        del kept[: 1 + _LEADING.get(kept[0], 0)]
    if not kept or kept[0].rsplit("/", 1)[-1] in _LOOKING or " ".join(kept[:2]) in _LOOKS:
        return ""
    plain = ["…" if word[0] in "\"'" or " " in word else word for word in kept]
    return re.sub(r"(?:…\s?){2,}", "… ", " ".join(plain)).strip()


def stem(step: str) -> str:
    """What a step is about, whatever it is done to: the program and its subcommand."""
    words = step.split()
    kept = words[:1]
    for word in words[1:]:
        wants = kept[-1] in _TAKES_ANOTHER
        if word in _TAKES_ANOTHER or ((wants or len(kept) == 1) and _NAME.match(word) and not word.rpartition(".")[1]):
            kept.append(word)
        if len(kept) > 1 and kept[-1] not in _TAKES_ANOTHER:
            break
    return " ".join(kept)


def secretive(said: str) -> bool:
    """Whether a command or a path could hold a secret: named as one, or a long run that is no words."""
    if _SECRETIVE.search(said):
        return True
    return any(sum(not letter.islower() and letter not in "/_-" for letter in run[0]) * 4 >= len(run[0]) for run in _RUN.finditer(said))
