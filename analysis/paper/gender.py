"""Neurons behind gendered professions, and the model without them (Tables 12, 13, 22, 23)."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from analysis import bootstrap
from analysis.bootstrap import Estimate
from analysis.interventions import Intervention
from analysis.paper import published
from analysis.paper.outcome import Cell, Claim, Experiment, Outcome, told
from analysis.paper.scale import Scale
from analysis.refs import NeuronRef
from analysis.step import Found, Step
from analysis.steps.evaluate import EvaluateStep
from analysis.steps.pairs import PairsStep
from analysis.tasks.pairs import PROFESSIONS, TEMPLATES, gender_pairs, gender_prompt_pairs
from analysis.tasks.texts import Text

EDITED = 18
"""Neurons the paper zeroes."""
SHOWN = 5
"""Neurons a case study lists."""
BIASES = ("total bias", "woman bias", "man bias")
Values = NDArray[np.float64]


def _mean(values: Values) -> Values:
    means: Values = values.mean(1)
    return means


def biased_neurons(scale: Scale) -> Generator[Step, Found, Outcome]:
    """The neurons that tell a woman's professions from a man's, and what they say (Table 12)."""
    pairs = gender_prompt_pairs(TEMPLATES[:1])
    found = yield PairsStep(pairs=tuple(pair for pair in pairs if pair.group == "woman"))
    top = found.rows.head(SHOWN).to_dicts()
    cells = []
    for place, row in enumerate(top):
        own = published.BIASED[place] if place < len(published.BIASED) else None
        for column, name, number in (
            ("coefficient, woman", "coefficient", 0),
            ("coefficient, man", "coefficient_contrast", 1),
        ):
            first = number == 0
            cells.append(
                Cell(
                    row["name"],
                    column,
                    Estimate.certain(row[name]),
                    paper=own[1][number] if own else None,
                    paper_text=f"{own[0]} {own[2]}" if own and first else None,
                    text=told(row["tokens"]) if first else None,
                )
            )
        change = Estimate.certain(row["importance_change"], len(PROFESSIONS["woman"]))
        cells.append(Cell(row["name"], "importance change", change))
    stronger = sum(abs(row["coefficient"]) > abs(row["coefficient_contrast"]) for row in top)
    claim = "neurons that tell a woman's professions from a man's fire more about a woman"
    finding = f"of the {len(top)} neurons that differ most {stronger} fire more about a woman"
    held = 2 * stronger > len(top)
    note = "importance changes are means over the 16 professions expected of a woman"
    return Outcome(cells, Claim.tested(claim, held, finding), [note])


class Gaps:
    """A finished evaluation of an edit on all gender pairs."""

    def __init__(self, found: Found, seed: int) -> None:
        self._rows = {row["name"]: row for row in found.rows.to_dicts()}
        self._seed = seed

    def estimate(self, measure: str, column: str) -> Estimate:
        """A measure before, after or with random neurons zeroed."""
        row = self._rows[measure]
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        return Estimate(row[column], low, high, row["cases"])

    def cases(self, column: str) -> Values:
        """The gap of each pair, in the order of `gender_pairs`; NaN where there is no control."""
        row = self._rows["gap"]
        return np.asarray(row[f"case_{column}"] or [np.nan] * row["cases"], float)

    def of(self, chosen: NDArray[np.bool_], column: str) -> Estimate:
        """The mean gap of some pairs."""
        return bootstrap.of(_mean, self.cases(column)[chosen], seed=self._seed)

    @property
    def below_random(self) -> Estimate:
        """By how much the gap is smaller than with random neurons zeroed."""
        return bootstrap.of(_mean, self.cases("control") - self.cases("after"), seed=self._seed)


def _edited(scale: Scale) -> Generator[Step, Found, tuple[tuple[NeuronRef, ...], Gaps]]:
    found = yield PairsStep(pairs=gender_prompt_pairs(TEMPLATES[:1]))
    neurons = tuple(NeuronRef.parse(name) for name in found.rows["name"].head(EDITED))
    evaluation = yield EvaluateStep(
        edit=(Intervention(neurons=neurons),),
        pairs=gender_prompt_pairs(),
        text=Text.sample(),
        controls=scale.controls,
        seed=scale.seed,
    )
    return neurons, Gaps(evaluation, scale.seed)


def edited_model(scale: Scale) -> Generator[Step, Found, Outcome]:
    """The gap between genders before and after zeroing the top neurons (Table 13)."""
    neurons, gaps = yield from _edited(scale)
    cells = []
    for row, column in (("origin", "before"), ("edited", "after")):
        for place, measure in enumerate(("gap", "gap woman", "gap man")):
            control = gaps.estimate(measure, "control") if row == "edited" else None
            cells.append(
                Cell(
                    row,
                    BIASES[place],
                    gaps.estimate(measure, column),
                    control,
                    published.GAPS[row][place],
                )
            )
        control = gaps.estimate("perplexity", "control") if row == "edited" else None
        cells.append(Cell(row, "perplexity", gaps.estimate("perplexity", column), control))
    notes = [
        f"zeroed: {', '.join(map(str, neurons))}; found with the first of the eight prompts",
        f"control: {scale.controls} draws of as many random neurons of the same layers",
        "perplexity of the text that comes with the program",
    ]
    return Outcome(cells, _reduced(gaps), notes)


def _reduced(gaps: Gaps) -> Claim:
    claim = f"zeroing {EDITED} neurons makes the gap between genders smaller (paper: by 35.7 %)"
    before, after = gaps.estimate("gap", "before"), gaps.estimate("gap", "after")
    assert before.value is not None
    assert after.value is not None
    if not before.positive:
        return Claim(claim, "undecided", f"the gap is {before.value:.2f} nats: there is no bias")
    beyond = gaps.below_random
    held = beyond.positive
    control = gaps.estimate("gap", "control").value
    beside = (
        "there is no random control" if control is None else f"with random neurons {control:.2f}"
    )
    share = 100 * (1 - after.value / before.value)
    finding = f"from {before.value:.2f} to {after.value:.2f} nats, by {share:.1f} %; {beside}"
    return Claim.tested(claim, held, finding.replace("-", "−"))


def gaps_by(key: str, names: Callable[[], tuple[str, ...]], claim: str) -> Experiment:
    """The gap of each prompt or profession, before and after the edit (Tables 22, 23)."""

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        _, gaps = yield from _edited(scale)
        belongs = np.asarray([pair.details[key] for pair in gender_pairs()])
        cells, biased, clear = [], 0, 0
        for name in names():
            chosen = belongs == name
            before = gaps.of(chosen, "before")
            biased += before.value is not None and before.value > 0
            clear += before.positive
            cells.append(Cell(name, "gap", before))
            edited, control = gaps.of(chosen, "after"), gaps.of(chosen, "control")
            cells.append(Cell(name, "gap, edited", edited, control))
        finding = f"{biased} of {len(names())} have a gap above 0, {clear} clearly"
        held = 2 * biased > len(names())
        note = f"edited: the {EDITED} neurons of Table 13 zeroed; control: as many random ones"
        return Outcome(cells, Claim.tested(claim, held, finding), [note])

    return run


by_prompt = gaps_by(
    "template", lambda: TEMPLATES, "the prompts bring out which gender professions are expected of"
)
by_profession = gaps_by(
    "profession",
    lambda: tuple(each for professions in PROFESSIONS.values() for each in professions),
    "each profession is likelier of the gender that it is listed for",
)
