"""Which patterns heads follow, where the session has looked for them."""

from __future__ import annotations

from typing import TypeAlias

import polars as pl

from analysis.model.info import ModelInfo
from analysis.refs import HeadRef
from screens.workspace import Workspace

PATTERNS = ("previous", "duplicate", "induction", "first")
FOLLOWS = 0.3
"""Mean weight from which a head is said to follow a pattern."""
LETTERS = {"previous": "p", "duplicate": "d", "induction": "i"}
"""Letters on the map; hardly any head does not look at the first token, so that has none."""
Follows: TypeAlias = dict[HeadRef, dict[str, float]]
"""For heads the mean weight of each pattern."""


def patterns_known(workspace: Workspace, model: ModelInfo | None) -> Follows:
    """What the latest `detect` of each head of a model found; nothing where there is none."""
    known: Follows = {}
    for result in workspace.latest("detect", len(workspace.results)):
        if model is not None and result.model == model and not result.step.changes:
            rows = result.rows.select("layer", "head", *PATTERNS).drop_nulls()
            for layer, head, *values in rows.iter_rows():
                known.setdefault(HeadRef(layer, head), dict(zip(PATTERNS, values, strict=True)))
    return known


def followed(patterns: Follows, head: HeadRef) -> list[tuple[str, float]]:
    """The patterns that a head follows, the strongest first."""
    known = [pair for pair in patterns.get(head, {}).items() if pair[1] >= FOLLOWS]
    return sorted(known, key=lambda pair: -pair[1])


def signs(patterns: Follows) -> dict[HeadRef, str]:
    """The letter of the pattern that each head follows most, of those that have one."""
    found = {}
    for head in patterns:
        letters = [LETTERS[name] for name, _ in followed(patterns, head) if name in LETTERS]
        if letters:
            found[head] = letters[0]
    return found


def strongest(patterns: Follows, word: str) -> HeadRef | None:
    """The head that follows a pattern of this name most; None: it is none, or nobody looked."""
    word = word.strip().lower()
    if word not in PATTERNS or not patterns:
        return None
    return max(patterns, key=lambda head: patterns[head][word])


def with_patterns(rows: pl.DataFrame, patterns: Follows) -> pl.DataFrame:
    """Rows of heads with a column for each pattern, where they are known."""
    if not patterns:
        return rows
    known = pl.DataFrame([{"name": str(head), **each} for head, each in patterns.items()])
    return rows.join(known, on="name", how="left", maintain_order="left")
