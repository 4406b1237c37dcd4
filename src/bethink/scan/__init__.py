"""Is a text that asks to be remembered really an attempt to steer the assistant that will read it? Pure, standard library only.

Rules over a normalised text, after the published kinds of memory poisoning: OWASP ASI06 and MITRE ATLAS AML.T0080 (instruction override,
forged roles and tool calls, exfiltration), MINJA (arXiv 2503.03704, bridging one subject's data to another's), "AI recommendation
poisoning" (Microsoft, 2026) and hidden Unicode. A person's own wishes ("always run the tests", "never use emojis") are imperatives too:
alone they are no ground. Text that *talks about* attacks is told apart by quotation and by who is said to speak.
Written for English; the commonest overrides also in German, French, Spanish, Italian, Portuguese, Russian, Chinese and Japanese.
"""

from __future__ import annotations

from dataclasses import dataclass

from bethink.scan.unseen import hidden, hidden_runs, plain_form, visible

__all__ = ["EXCERPT", "Suspicion", "hidden", "inspect", "suspicious", "visible"]

#: Longest excerpt of a suspicion, in characters.
EXCERPT = 120


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One ground to hold a text back. `offset` counts characters of the text that was inspected."""

    kind: str
    excerpt: str
    offset: int


def suspicious(text: str) -> bool:
    """Whether `inspect` finds anything."""
    return bool(inspect(text))


def inspect(text: str) -> list[Suspicion]:
    """Every ground to hold `text` back from prompts until somebody has looked at it, in the order of the text, one per kind and place."""
    # Compiling the rules takes longer than a hook may; rendering needs only what is above.
    from bethink.scan.encoded import encoded
    from bethink.scan.mention import matches

    plain, offsets = plain_form(text)
    found: dict[tuple[str, int], Suspicion] = {}
    for kind, at, end in [*hidden_runs(text), *encoded(text)]:
        found[kind, at] = Suspicion(kind, visible(text[at : min(end, at + EXCERPT)]), at)
    for kind, start, end in matches(plain):
        at = offsets[start] if offsets else start
        until = offsets[min(end, len(offsets) - 1)] if offsets else end
        found.setdefault((kind, at), Suspicion(kind, visible(text[at : min(until, at + EXCERPT)]), at))
    return sorted(found.values(), key=lambda each: (each.offset, each.kind))
