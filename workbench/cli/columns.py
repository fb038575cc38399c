"""The columns of a step that its table on a terminal has, by kind, the most wanted first.

Both the command that runs a step and `sessions show` print these. A kind that is not here prints
all columns that are not wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.step import Step

COLUMNS: dict[str, list[str]] = {
    "ablate": ["name", "heads", "neurons", "accuracy", "logprob", "prob"],
    "cna": ["name", "importance_change", "importance", "coefficient", "tokens"],
    "heads": ["name", "accuracy", "logprob", "prob"],
    "hidden": ["name", "concepts", "through", "direct", "found"],
    "neurons": ["name", "importance", "coefficient", "tokens"],
    "project": ["end", "rank", "token", "token_id", "logit"],
    "gains": ["name", "attention", "ffn", "logprob"],
    "lens": ["name", "reads", "token", "prob", "answer_prob", "answer_rank"],
    "pairs": ["name", "importance_change", "importance", "coefficient", "tokens"],
    "evaluate": [
        "name",
        "before",
        "after",
        "control",
        "change",
        "change_low",
        "change_high",
        "cases",
    ],
}


def shown(step: Step) -> list[str]:
    """The columns of a step's table."""
    from analysis.columns import tabled

    return COLUMNS.get(step.kind) or tabled(step.columns)
