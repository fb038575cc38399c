"""What screen 6 says to press next, and what staged changes were found on."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.changes import Changes
from analysis.refs import NeuronRef
from analysis.steps import EvaluateStep, PairsStep, PruneStep
from analysis.tasks.pairs import PromptPair, measured_on
from screens.text import count
from screens.workspace import UNFINISHED, Result

RANDOM = "random: as many parts of the same layers instead"
AFTER = "<change.undo> undoes, <change.write> writes"
EMPTY = (
    "Heads and neurons taken away or scaled: measured, used in every analysis, "
    "undone, exported.\n\n"
)
BEGIN = (
    "<heads.stage-a-change>  stages a head (<app.heads>), <neurons.stage-a-change> a neuron "
    "(<app.neurons>), <chain.stage-a-change> a node (<app.chain>)\n"
    "<change.factor>  names parts to stage here, as L24N1493=0.5\n"
    "<change.pairs>  finds neurons that tell pairs of prompts apart\n"
    "<change.lora>  trains LoRA, <change.prune> prunes the FFN, on prompts of screen <app.prompts>"
)
READ_ONLY = (
    "<change.pairs>  finds neurons that tell pairs of prompts apart, as woman from man\n\n"
    "The workbench is read-only: nothing is staged, trained or pruned."
)


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


def edit_of(result: Result | None) -> Changes:
    """The changes that a result measures; none if it is of another kind."""
    step = result.step if result is not None else None
    return Changes.of(step.edit) if isinstance(step, EvaluateStep) else Changes()


def unmeasured(result: Result | None, results: Sequence[Result], changes: Changes) -> str:
    """In place of rows that are not there yet, with actions in place of their keys."""
    if result is not None and result.active:
        return "the first rows are being computed"
    if result is not None and not isinstance(result.step, EvaluateStep):
        return f"{result.state}; <change.resume> goes on"
    if result is not None and not changes:
        return f"{result.state}; there are no rows of it"
    return f"not measured yet; <change.measure> measures {_measured(results, changes)}"


def next_words(
    result: Result | None, results: Sequence[Result], changes: Changes, fixed: bool
) -> str:
    """What to press next, with actions in place of their keys, or what stands in the table.

    Args:
        result: what is shown.
        results: all there are.
        changes: what is staged.
        fixed: whether nothing can be staged, trained or measured now.
    """
    if result is None or (not result.rows.height and not edit_of(result)):
        return ""
    if isinstance(result.step, EvaluateStep):
        if not changes and not fixed:
            return f"<change.stage> stages this change again · {RANDOM}"
        edited = edit_of(result) == changes and result.state == "done"
        return f"{RANDOM} · {AFTER}" if edited and not fixed else RANDOM
    if fixed:
        return ""
    if result.state in UNFINISHED:
        return "<change.resume> goes on where it stopped"
    if isinstance(result.step, PruneStep) and result.active:
        cases = result.rows.height - result.step.finished(result.rows).height
        return (
            f"compared by CNA: {count(cases)} of {count(result.baseline['compared_cases'])} cases"
        )
    if not isinstance(result.step, PairsStep) or result.active:
        return ""
    found = found_in(result)
    if {*found} <= {part for part, _ in changes.factors}:
        return f"staged; <change.measure> measures {_measured(results, changes)}"
    return f"<change.stage> stages these {count(len(found))} neurons to be zeroed"


def _measured(results: Sequence[Result], changes: Changes) -> str:
    pairs = studied(results, changes)
    if pairs is None:
        return "the task at hand, other tasks and a text"
    return f"the gap of {count(len(pairs))} pairs of their kind, and a text"
