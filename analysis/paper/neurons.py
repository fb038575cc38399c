"""The deep neurons a head drives: what they say, and what they are worth (T4–6, 15, 16, 19, 20)."""

from __future__ import annotations

from collections.abc import Generator

import polars as pl

from analysis.bootstrap import Estimate, decrease, mean
from analysis.interventions import Intervention
from analysis.paper import published
from analysis.paper.heads import ORDINALS, TESTABLE, top_head
from analysis.paper.outcome import (
    Cell,
    Claim,
    Experiment,
    Outcome,
    percent,
    told,
)
from analysis.paper.scale import Scale
from analysis.refs import HeadRef
from analysis.step import Found, Step
from analysis.steps.circuit import TOPS, CircuitStep
from analysis.steps.cna import CnaStep
from analysis.tasks.prompts import Prompt

SHOWN = 5
"""Neurons a case study lists."""
MOST = 80.0
"""Decrease in percent that counts as losing the answer (paper: 84.6 and 100)."""
LITTLE = 20.0
"""Decrease in percent that counts as keeping it (paper: 3.9 for T5, 48.7 for T15)."""


def case_study(scale: Scale) -> Generator[Step, Found, Outcome]:
    """The neurons that the head drives for one case, and what they say (Table 4)."""
    top_one = yield from top_head(scale, "+", "-")
    head, other, case = top_one.ref, top_one.control, scale.case
    found = yield _cna(case, head)
    control = (yield _cna(case, other)).rows if other else pl.DataFrame()
    cells = []
    top = found.rows.head(SHOWN)
    for place, row in enumerate(top.to_dicts()):
        own = published.CASE[place] if place < len(published.CASE) else None
        stand_in = control.row(place, named=True) if place < control.height else None
        for column, name, number in (
            ("importance", "importance", 0),
            ("importance, head zeroed", "importance_contrast", 1),
            ("coefficient", "coefficient", 2),
            ("coefficient, head zeroed", "coefficient_contrast", 3),
        ):
            first = number == 0
            cells.append(
                Cell(
                    ORDINALS[place],
                    column,
                    Estimate.certain(row[name]),
                    paper=own[1][number] if own else None,
                    paper_text=f"{own[0]} {own[2]}" if own and first else None,
                    text=f"{row['name']} {told(row['tokens'])}" if first else None,
                )
            )
        change = Estimate.certain(row["importance_change"])
        cells.append(
            Cell(
                ORDINALS[place],
                "importance change",
                change,
                Estimate.certain(stand_in["importance_change"]) if stand_in else None,
                round(own[1][0] - own[1][1], 2) if own else None,
            )
        )
    beside = f"the same with {other} zeroed instead of {head}" if other else "none of its layer"
    notes = [f"case: {_quoted(case)}; control: {beside}"]
    return Outcome(cells, _they_say_it(top, case, head), notes)


def _cna(case: Prompt, head: HeadRef) -> CnaStep:
    return CnaStep(prompt=case, ablate=Intervention(heads=(head,)))


def _quoted(case: Prompt) -> str:
    return "“" + case.prompt.replace("\n", "⏎") + "”"


def _they_say_it(top: pl.DataFrame, case: Prompt, head: HeadRef) -> Claim:
    answer = " or ".join(each.strip() for each in case.answers)
    wanted = {word for each in case.answers for word in sayings(each.strip())}
    lists = top["tokens"].to_list()
    saying = sum(any(each.strip().casefold() in wanted for each in tokens) for tokens in lists)
    weaker = sum(
        abs(row["coefficient_contrast"]) < abs(row["coefficient"]) for row in top.to_dicts()
    )
    claim = "the neurons that the head drives say the answer, and fire less without it"
    finding = (
        f"of the {top.height} neurons that {head} changes most {saying} have “{answer}” or its "
        f"word among their top tokens, and {weaker} fire less without it"
    )
    held = 2 * saying > top.height and 2 * weaker > top.height
    return Claim.tested(claim, held, finding)


_WORDS = {
    "0": ("zero",),
    "1": ("one", "i", "un", "eins", "uno", "первый"),
    "2": ("two", "ii", "deux", "zwei", "dos", "два"),
    "3": ("three", "iii", "trois", "drei", "tres", "три"),
    "4": ("four", "iv", "quatre", "vier", "cuatro", "четыре"),
    "5": ("five", "v", "cinq", "fünf", "cinco", "пять"),
    "6": ("six", "vi", "sechs", "seis", "шесть"),
    "7": ("seven", "vii", "sept", "sieben", "siete", "семь"),
    "8": ("eight", "viii", "huit", "acht", "ocho", "otto", "восемь"),
    "9": ("nine", "ix", "neuf", "neun", "nueve", "девять"),
}


def sayings(answer: str) -> set[str]:
    """The answer and the words that say it."""
    return {answer.casefold(), *_WORDS.get(answer, ())}


class Circuits:
    """A finished `CircuitStep`, read by number of neurons."""

    def __init__(self, found: Found, seed: int) -> None:
        self._rows = found.rows
        self._seed = seed

    def lost(self, name: str, top: int) -> Estimate:
        """Decrease of accuracy in percent under an intervention."""
        rows = self._at(top)
        return decrease(rows["intact_correct"], rows[f"{name}_correct"], self._seed)

    def share(self, column: str, top: int) -> Estimate:
        """Mean of a share over the cases, in percent."""
        return mean(self._at(top)[column].to_numpy(), self._seed)

    def beyond(self, first: str, second: str, top: int) -> Estimate:
        """Mean difference of two shares over the cases, in percent."""
        rows = self._at(top)
        return mean((rows[first] - rows[second]).to_numpy(), self._seed)

    @property
    def right(self) -> int:
        """Cases answered right with nothing changed."""
        return int(self._at(self.tops[0])["intact_correct"].sum())

    @property
    def tops(self) -> list[int]:
        """How many neurons were intervened on, most first."""
        return sorted(self._rows["top"].unique().to_list(), reverse=True)

    def _at(self, top: int) -> pl.DataFrame:
        return self._rows.filter(pl.col("top") == top)


def _circuits(
    scale: Scale, signs: tuple[str, ...], digits: int
) -> Generator[Step, Found, tuple[HeadRef, Circuits]]:
    head = (yield from top_head(scale, *signs, digits=digits)).ref
    prompts = scale.together(*signs, digits=digits)
    found = yield CircuitStep(prompts=prompts, head=head, seed=scale.seed)
    return head, Circuits(found, scale.seed)


def masked(table: str, *signs: str, digits: int = 1) -> Experiment:
    """Masking the top neurons, or keeping only them among the deep ones (Tables 5, 15, 19)."""
    paper = published.CIRCUITS[table]

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        head, circuits = yield from _circuits(scale, signs, digits)
        cells = []
        for row, name in (("mask", "mask"), ("keep", "keep")):
            for place, top in enumerate(TOPS):
                cells.append(
                    Cell(
                        row,
                        f"top {top}",
                        circuits.lost(name, top),
                        circuits.lost(f"{name}_random", top),
                        paper[row][place],
                    )
                )
        for place, top in enumerate(TOPS):
            measured = circuits.share("coefficient_decrease", top)
            cells.append(
                Cell("coefficient", f"top {top}", measured, None, paper["coefficient"][place])
            )
        notes = [
            f"head: {head}; control: as many random neurons of each layer, drawn for each case"
        ]
        return Outcome(cells, _enough(circuits, head), notes)

    return run


def _enough(circuits: Circuits, head: HeadRef) -> Claim:
    claim = "the top 99 neurons hold what the answer needs: masked it is lost, kept alone it stays"
    masked, random_mask = circuits.lost("mask", 99), circuits.lost("mask_random", 99)
    kept, random_keep = circuits.lost("keep", 99), circuits.lost("keep_random", 99)
    if circuits.right < TESTABLE:
        finding = f"{circuits.right} cases are right to begin with: too few to find their head"
        return Claim(claim, "undecided", finding)
    finding = (
        f"{head}: masking 99 loses {percent(masked)} (random {percent(random_mask)}), "
        f"keeping only 99 loses {percent(kept)} (random {percent(random_keep)})"
    )
    assert masked.value is not None
    assert kept.value is not None
    necessary = masked.value >= MOST and masked.above(random_mask)
    sufficient = kept.value <= LITTLE and random_keep.above(kept)
    if necessary != sufficient:
        half = "masking holds, keeping does not" if necessary else "keeping holds, masking does not"
        finding = f"{half}; {finding}"
    return Claim.tested(claim, necessary and sufficient, finding)


def enhancing(table: str, *signs: str, digits: int = 1) -> Experiment:
    """What the others lose without the lowest important neuron (Tables 6, 16, 20)."""
    paper = published.LOWEST[table]

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        head, circuits = yield from _circuits(scale, signs, digits)
        cells = [
            Cell(
                "coefficient",
                f"top {top}",
                circuits.share("lowest_decrease", top),
                circuits.share("lowest_random_decrease", top),
                paper[place],
            )
            for place, top in enumerate(TOPS)
        ]
        notes = [f"head: {head}; control: another neuron of the same layer, drawn for each case"]
        return Outcome(cells, _enhanced(circuits), notes)

    return run


def _enhanced(circuits: Circuits) -> Claim:
    claim = "lower neurons raise higher ones: without the lowest the others' coefficients fall"
    if circuits.right < TESTABLE:
        finding = f"{circuits.right} cases are right to begin with: too few to find their head"
        return Claim(claim, "undecided", finding)
    held = []
    words = []
    for top in circuits.tops:
        beyond = circuits.beyond("lowest_decrease", "lowest_random_decrease", top)
        held.append(beyond.positive)
        words.append(f"top {top} {percent(circuits.share('lowest_decrease', top), 1)}")
    finding = (
        f"{', '.join(words)}; clearly more than a random neuron of the layer for "
        f"{sum(held)} of {len(held)} sizes"
    )
    return Claim.tested(claim, 2 * sum(held) > len(held), finding)
