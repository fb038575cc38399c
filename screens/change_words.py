"""What screen 6 says to press next, and what staged changes were found on."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.changes import Changes
from analysis.pairs import PromptPair, measured_on
from analysis.refs import NeuronRef
from analysis.steps import EvaluateStep, PairsStep, PruneStep
from screens.text import count
from screens.workspace import Result

RANDOM = "random: as many parts of the same layers changed instead"
AFTER = "u undoes, w writes"


def found_in(result: Result) -> tuple[NeuronRef, ...]:
    """The neurons that a comparison over pairs was to find, the most changed first."""
    assert isinstance(result.step, PairsStep)
    names = result.step.ranked(result.rows)["name"]
    return tuple(
        map(NeuronRef.parse, names if result.step.top is None else names[: result.step.top])
    )


def studied(results: Sequence[Result], changes: Changes) -> tuple[PromptPair, ...] | None:
    """The pairs to measure changes on: those whose neurons they are, every one of them."""
    staged = {part for part, _ in changes.factors}
    for each in reversed(results):
        if isinstance(each.step, PairsStep) and staged and staged <= {*found_in(each)}:
            return measured_on(each.step.pairs)
    return None


def unmeasured(result: Result | None, results: Sequence[Result], changes: Changes) -> str:
    """In place of rows that are not there yet."""
    if result is not None and result.active:
        return "the first rows are being computed"
    if result is not None and not isinstance(result.step, EvaluateStep):
        return f"{result.state}; r goes on"
    return f"not measured yet; e measures {_measured(results, changes)}"


def next_words(result: Result | None, results: Sequence[Result], changes: Changes) -> str:
    """What to press next, or what stands in the table."""
    if result is None or not result.rows.height:
        return ""
    if isinstance(result.step, EvaluateStep):
        edited = changes and Changes.of(result.step.edit) == changes
        return f"{RANDOM} · {AFTER}" if edited and result.state == "done" else RANDOM
    if result.state in ("stopped", "interrupted", "failed"):
        return "r goes on where it stopped"
    if isinstance(result.step, PruneStep) and result.active:
        cases = result.rows.height - result.step.finished(result.rows).height
        return (
            f"compared by CNA: {count(cases)} of {count(result.baseline['compared_cases'])} cases"
        )
    if not isinstance(result.step, PairsStep) or result.active:
        return ""
    found = found_in(result)
    if {*found} <= {part for part, _ in changes.factors}:
        return f"staged; e measures {_measured(results, changes)}"
    return f"x stages these {count(len(found))} neurons to be zeroed"


def _measured(results: Sequence[Result], changes: Changes) -> str:
    pairs = studied(results, changes)
    if pairs is None:
        return "the task at hand, other tasks and a text"
    return f"the gap of {count(len(pairs))} pairs, and a text: these neurons were found on them"
