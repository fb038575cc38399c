"""Shallow neurons readable behind attention, and the chain they begin (T7, 8, 17, 21, Fig 1)."""

from __future__ import annotations

import random
from collections.abc import Generator
from functools import partial

import numpy as np
import polars as pl

from analysis.concepts import CONCEPTS
from analysis.interventions import Intervention
from analysis.paper import published
from analysis.paper.bootstrap import Estimate, decrease, pooled
from analysis.paper.heads import top_head
from analysis.paper.neurons import sayings
from analysis.paper.outcome import Cell, Claim, Experiment, Found, Outcome, percent, told
from analysis.paper.scale import Scale
from analysis.refs import NeuronRef
from analysis.step import Step
from analysis.steps.ablate import AblateStep
from analysis.steps.chain import ChainStep
from analysis.steps.hidden import HiddenStep

THRESHOLDS = (0, 1, 2, 3, 4, 6, 8, 10)
"""Least numbers of concept tokens that make a set. The paper's end at 3; the longer a vocabulary's
list of number words, the more of them a neuron holds by chance."""
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
    note = "numbers are counts of concept tokens among the top tokens; a case study, no interval"
    return Outcome(cells, Claim(claim, "held" if held else "failed", finding), [note])


def concepts_in(tokens: list[str] | None) -> int:
    """How many of some tokens say a number or an operation."""
    return sum(token.strip().casefold() in _CONCEPTS for token in tokens or ())


def hidden_sets(table: str, *signs: str, digits: int = 1) -> Experiment:
    """Zeroing the hidden-interpretable neurons at M concept tokens (Tables 8, 17, 21)."""
    paper = published.HIDDEN[table]
    paper_random = published.HIDDEN_RANDOM.get(table)

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        hidden = yield HiddenStep()
        rows = hidden.rows
        members = {least: rows.filter(pl.col("concepts") >= least) for least in THRESHOLDS}
        sets = []
        for least, chosen in members.items():
            if chosen.height:
                sets.append(_set(f"at least {least}", chosen))
            if 0 < chosen.height < rows.height:
                sets += [
                    _random_set(f"random {least}.{draw}", chosen, rows, scale.seed)
                    for draw in range(scale.controls)
                ]
        prompts = scale.together(*signs, digits=digits)
        found = yield AblateStep(prompts=prompts, sets=tuple(sets))
        lists = dict(found.rows[["name", "prompt_correct"]].iter_rows())
        intact = np.asarray(found.baseline["prompt_correct"], bool)
        lost: dict[int, Estimate] = {}
        controls: dict[int, Estimate] = {}
        cells = []
        for place, (least, chosen) in enumerate(members.items()):
            named = place < len(paper["neurons"])
            count = Estimate.certain(chosen.height, rows.height)
            numbers = (paper["neurons"][place], paper["accuracy"][place]) if named else (None, None)
            cells.append(Cell("neurons", f"M = {least}", count, None, numbers[0]))
            if not chosen.height:
                continue
            lost[least] = decrease(intact, lists[f"at least {least}"], scale.seed)
            draws = [each for name, each in lists.items() if name.startswith(f"random {least}.")]
            if draws:
                controls[least] = decrease(intact, pooled(draws), scale.seed)
            words = None
            if paper_random is not None and paper_random[0] == least:
                words = f"random set: {paper_random[1]}"
            cells.append(
                Cell(
                    "accuracy decrease",
                    f"M = {least}",
                    lost[least],
                    controls.get(least),
                    numbers[1],
                    words,
                )
            )
        notes = [
            f"{rows.height:,} shallow neurons; control: {scale.controls} random sets with as many "
            "neurons of each layer",
            "M = 0 is every shallow neuron by the paper's words; its 51,980 of 176,128 suggest "
            "that its M means more than M, so that its columns shift by one",
            f"the claim rests on sets of at most {SMALL:.0%} of the shallow neurons",
        ]
        return Outcome(cells, _carry(members, lost, controls), notes)

    return run


def _set(label: str, neurons: pl.DataFrame) -> Intervention:
    refs = tuple(NeuronRef(layer, each) for layer, each in neurons[["layer", "neuron"]].iter_rows())
    return Intervention(neurons=tuple(sorted(refs)), label=label)


def _random_set(label: str, like: pl.DataFrame, rows: pl.DataFrame, seed: int) -> Intervention:
    """As many random neurons of each layer."""
    rng = random.Random(f"{seed} {label}")
    refs = []
    for layer, count in like.group_by("layer").len().sort("layer").iter_rows():
        pool = sorted(rows.filter(pl.col("layer") == layer)["neuron"].to_list())
        refs += [NeuronRef(layer, each) for each in sorted(rng.sample(pool, count))]
    return Intervention(neurons=tuple(refs), label=label)


def _carry(
    members: dict[int, pl.DataFrame], lost: dict[int, Estimate], controls: dict[int, Estimate]
) -> Claim:
    claim = "hidden-interpretable neurons carry the features: zeroed they cost far more than random"
    words, clear = [], 0
    small = {least: each for least, each in controls.items() if _is_small(members, least)}
    for least, control in small.items():
        here = lost[least]
        clear += here.above(control)
        words.append(
            f"M = {least}: {members[least].height:,} neurons cost "
            f"{percent(here)} (random {percent(control)})"
        )
    if all(each.value is None for each in lost.values()):
        return Claim(claim, "undecided", "too few cases are right to begin with")
    if not small:
        return Claim(claim, "undecided", f"no set is smaller than {SMALL:.0%} of the neurons")
    held = 2 * clear > len(small)
    return Claim(claim, "held" if held else "failed", "; ".join(words))


def _is_small(members: dict[int, pl.DataFrame], least: int) -> bool:
    return members[least].height <= SMALL * members[0].height


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
    seen = _stages_seen(rows, base)
    claim = "a chain of four stages leads from the input to the prediction"
    missing = [STAGES[stage] for stage, there in seen.items() if not there]
    finding = (
        f"all four are there for {base['head']} → “{base['answer']}”"
        if not missing
        else f"not seen: {', '.join(missing)}"
    )
    notes = ["“p without”: the answer's probability without the stage's most costly part"]
    return Outcome(cells, Claim(claim, "failed" if missing else "held", finding), notes)


def _stages_seen(rows: pl.DataFrame, base: dict[str, object]) -> dict[int, bool]:
    """Whether each stage does what the paper says of it."""
    at = partial(_stage, rows)
    wanted = sayings(str(base["answer"]).strip())
    says = [
        any(token.strip().casefold() in wanted for token in each)
        for each in at(4)["tokens"].to_list()
    ]
    readable = [concepts_in(each) > 0 for each in at(1)["tokens_through"].to_list()]
    deep = set(at(4)["name"])
    enhancing = [
        weight
        for row in at(4).to_dicts()
        for name, weight in zip(row["to"], row["weight"], strict=True)
        if name in deep
    ]
    without = at(3)["prob_without"].to_list()
    return {
        1: 2 * sum(readable) > len(readable),
        2: any(score > 0 for score in at(2)["score"].to_list()),
        3: any(each is not None and each < base["prob"] for each in without),
        4: any(says) and sum(enhancing) > 0,
    }


def _stage(rows: pl.DataFrame, stage: int) -> pl.DataFrame:
    return rows.filter(pl.col("stage") == stage)
