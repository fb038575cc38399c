"""Shallow neurons readable behind attention, and the chain they begin (T7, 8, 17, 21, Fig 1)."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

import numpy as np
import polars as pl

from analysis.bootstrap import Estimate, decrease, pooled
from analysis.paper import published
from analysis.paper.heads import TESTABLE, top_head
from analysis.paper.neurons import sayings
from analysis.paper.outcome import Cell, Claim, Experiment, Outcome, percent, told
from analysis.paper.scale import Scale
from analysis.step import Found, Step
from analysis.steps.chain import ChainStep
from analysis.steps.hidden import THRESHOLDS, HiddenSetsStep, HiddenStep
from analysis.tasks.concepts import CONCEPTS

SMALL = 0.1
"""Share of the shallow neurons up to which a set is small (paper: 0.06 at M = 1)."""
STAGES = {
    1: "feature enhancing",
    2: "feature transferring",
    3: "feature predicting",
    4: "prediction enhancing",
}
_CONCEPTS = frozenset(word.casefold() for word in CONCEPTS)


def _chain(scale: Scale) -> Generator[Step, Found, Found]:
    head = (yield from top_head(scale, "+", "-", above=0)).ref  # below layer 1 nothing feeds it
    return (yield ChainStep(prompt=scale.case, head=head))


def transformed(scale: Scale) -> Generator[Step, Found, Outcome]:
    """Tokens of shallow neurons and words, before and behind attention (Table 7)."""
    found = yield from _chain(scale)
    shallow = found.rows.filter(pl.col("stage") == 1)
    cells = []
    hidden = 0
    for place, row in enumerate(shallow.to_dicts()):
        own = published.TRANSFORMED[place] if place < len(published.TRANSFORMED) else None
        before, after = concepts_in(row["tokens"]), concepts_in(row["tokens_through"])
        hidden += after > before
        for column, count, tokens, paper in (
            ("as it stands", before, row["tokens"], own and f"{own[0]} {own[1]}"),
            (f"through layer {row['through']}", after, row["tokens_through"], own and own[2]),
        ):
            cells.append(
                Cell(
                    f"{row['name']}",
                    column,
                    Estimate.certain(count),
                    paper_text=paper,
                    text=told(tokens),
                )
            )
    claim = "shallow neurons and words say numbers only behind attention"
    finding = (
        f"{hidden} of {shallow.height} that feed the root most hold more number and operation "
        "words among their top tokens behind attention than before"
    )
    held = 2 * hidden > shallow.height
    notes = [
        "numbers are counts of concept tokens among the top tokens; a case study, no interval",
        "nodes are the neurons and words below the head that feed the root most, with their "
        "position; the paper's column names its own neurons, not these",
    ]
    return Outcome(cells, Claim.tested(claim, held, finding), notes)


def concepts_in(tokens: list[str] | None) -> int:
    """How many of some tokens say a number or an operation."""
    return sum(token.strip().casefold() in _CONCEPTS for token in tokens or ())


def hidden_sets(table: str, *signs: str, digits: int = 1) -> Experiment:
    """Zeroing the hidden-interpretable neurons at M concept tokens (Tables 8, 17, 21)."""
    paper = published.HIDDEN[table]
    paper_random = published.HIDDEN_RANDOM.get(table)

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        hidden = yield HiddenStep()
        found = yield HiddenSetsStep(
            prompts=scale.together(*signs, digits=digits),
            concepts=_counts(hidden.rows),
            controls=scale.controls,
            seed=scale.seed,
        )
        sets = Sets(found, scale.seed)
        cells = []
        for place, least in enumerate(THRESHOLDS):
            named = place < len(paper["neurons"])
            sizes, losses = (paper[each][place] if named else None for each in paper)
            size = Estimate.certain(sets.size(least), hidden.rows.height)
            cells.append(Cell("neurons", f"M = {least}", size, None, sizes))
            if not sets.size(least):
                continue
            words = None
            if paper_random is not None and paper_random[0] == least:
                words = f"random set: {paper_random[1]}"
            lost, control = sets.lost(least), sets.random(least)
            cells.append(Cell("accuracy decrease", f"M = {least}", lost, control, losses, words))
        notes = [
            f"{hidden.rows.height:,} shallow neurons; control: {scale.controls} random sets with "
            "as many other neurons of each layer, so none where a set holds more than half of them",
            "M = 0 is every shallow neuron by the paper's words; in Llama-7B it names 51,980 of "
            "176,128, which suggests that its M means more than M: then its columns shift by one",
            f"the claim rests on sets of at most {SMALL:.0%} of the shallow neurons",
        ]
        return Outcome(cells, _carry(sets), notes)

    return run


def _counts(rows: pl.DataFrame) -> tuple[tuple[int, ...], ...]:
    """Concept tokens by layer and neuron."""
    ordered = rows.sort(["layer", "neuron"])
    return tuple(
        tuple(layer["concepts"]) for _, layer in ordered.group_by("layer", maintain_order=True)
    )


class Sets:
    """A finished `HiddenSetsStep`, read by M."""

    def __init__(self, found: Found, seed: int) -> None:
        self._rows = found.rows
        self._seed = seed
        self.intact = np.asarray(found.baseline["prompt_correct"], bool)

    def size(self, least: int) -> int:
        """How many neurons the set holds."""
        rows = self._at(least)["neurons"]
        return int(rows[0]) if len(rows) else 0

    def lost(self, least: int) -> Estimate:
        """Decrease of accuracy in percent with the set zeroed."""
        return decrease(self.intact, self._at(least)["prompt_correct"][0], self._seed)

    def random(self, least: int) -> Estimate | None:
        """The same with random sets of that size; None where there are none."""
        draws = self._at(least, random=True)["prompt_correct"].to_list()
        return decrease(self.intact, pooled(draws), self._seed) if draws else None

    @property
    def small(self) -> list[int]:
        """The M whose sets are small and stand beside random ones."""
        most = SMALL * self.size(0)
        return [each for each in THRESHOLDS if 0 < self.size(each) <= most and self.random(each)]

    def _at(self, least: int, random: bool = False) -> pl.DataFrame:
        drawn = pl.col("draw").is_not_null() if random else pl.col("draw").is_null()
        return self._rows.filter((pl.col("least") == least) & drawn)


def _carry(sets: Sets) -> Claim:
    claim = "hidden-interpretable neurons carry the features: zeroed they cost far more than random"
    if sets.intact.sum() < TESTABLE:
        return Claim(claim, "undecided", "too few cases are right to begin with")
    words, clear = [], 0
    for least in sets.small:
        lost, control = sets.lost(least), sets.random(least)
        assert control is not None
        clear += lost.above(control)
        words.append(
            f"M = {least}: {sets.size(least):,} neurons cost {percent(lost)} "
            f"(random {percent(control)})"
        )
    if not words:
        return Claim(claim, "undecided", f"no set is smaller than {SMALL:.0%} of the neurons")
    held = 2 * clear > len(words)
    return Claim.tested(claim, held, "; ".join(words))


def four_stages(scale: Scale) -> Generator[Step, Found, Outcome]:
    """The four stages from input to prediction, for one case (Figure 1)."""
    found = yield from _chain(scale)
    rows, base = found.rows, found.baseline
    intact = base["prob"]
    cells = []
    for stage, name in STAGES.items():
        here = rows.filter(pl.col("stage") == stage)
        left = here["prob_without"].drop_nulls().to_list()
        cells.append(
            Cell(
                f"{stage} {name}",
                "p without",
                Estimate.certain(min(left)) if left else None,
                paper_text=published.CHAIN[stage],
                text=", ".join(here["name"]),
            )
        )
    cells.append(
        Cell(
            "answer",
            "p",
            Estimate.certain(intact),
            paper=0.378,
            paper_text="8",
            text=base["answer"],
        )
    )
    claim = "a chain of four stages leads from the input to the prediction"
    missing = _missing(rows, base)
    finding = (
        f"all four are there for {base['head']} → “{base['answer']}”"
        if not missing
        else f"for {base['head']} → “{base['answer']}”: {'; '.join(missing)}"
    )
    notes = ["“p without”: the answer's probability without the stage's most costly part"]
    return Outcome(cells, Claim(claim, "failed" if missing else "held", finding), notes)


def _missing(rows: pl.DataFrame, base: dict[str, object]) -> list[str]:
    """What the stages do not do, of what they are named for."""
    at = partial(_stage, rows)
    wanted = sayings(str(base["answer"]).strip())
    lists = at(4)["tokens"].to_list()
    says = [any(token.strip().casefold() in wanted for token in each) for each in lists]
    readable = [concepts_in(each) > 0 for each in at(1)["tokens_through"].to_list()]
    deep = set(at(4)["name"])
    enhancing = [
        weight
        for row in at(4).to_dicts()
        for name, weight in zip(row["to"], row["weight"], strict=True)
        if name in deep
    ]
    without = at(3)["prob_without"].to_list()
    found = {
        "most shallow nodes say no number behind attention": 2 * sum(readable) > len(readable),
        "no attention layer adds to the root": any(each > 0 for each in at(2)["score"].to_list()),
        "the head costs the answer nothing": any(
            each is not None and each < base["prob"] for each in without
        ),
        "no deep neuron has the answer among its top tokens": any(says),
        "deep neurons do not raise one another": sum(enhancing) > 0,
    }
    return [words for words, there in found.items() if not there]


def _stage(rows: pl.DataFrame, stage: int) -> pl.DataFrame:
    return rows.filter(pl.col("stage") == stage)
