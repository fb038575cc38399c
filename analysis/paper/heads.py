"""Which heads matter, for which operation, at how many digits (Tables 1–3, 18, 24–27)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.bootstrap import Estimate, decrease, mean, pooled
from analysis.controls import random_like
from analysis.interventions import Intervention
from analysis.paper import published
from analysis.paper.outcome import (
    Cell,
    Claim,
    Experiment,
    Outcome,
    Verdict,
    percent,
)
from analysis.paper.scale import Scale
from analysis.refs import HeadRef
from analysis.step import Found, Step
from analysis.steps.ablate import AblateStep
from analysis.steps.heads import HeadsStep
from analysis.tasks.prompts import PromptSet

TOP = 5
"""How many heads a table lists."""
TESTABLE = 5
"""Fewer cases than this answered right say nothing about what a part is worth."""
MATTERS = 10
"""Points of accuracy that make a head matter (section 3.3)."""
FEW = 0.05
"""Share of the heads that are still few."""
NAMES: dict[str, str] = {"*": "×", "/": "÷", "-": "−"}
ORDINALS = ("1st", "2nd", "3rd", "4th", "5th")

Outcomes = NDArray[np.bool_]
"""[P] whether each case is answered right."""


def sign_name(group: str) -> str:
    """An operation as people write it."""
    return NAMES.get(group, group)


class Sweep:
    """A finished head sweep, case by case."""

    def __init__(self, found: Found) -> None:
        assert isinstance(found.step, HeadsStep)
        self.prompts = found.step.prompts
        self.intact: Outcomes = np.asarray(found.baseline["prompt_correct"], bool)
        ranked = found.rows.sort(["accuracy", "logprob"], maintain_order=True)
        self.heads: list[str] = ranked["name"].to_list()
        """Names, the most costly first: by accuracy, then by log-probability."""
        lists = ranked["prompt_correct"].to_list()
        self.width = 1 + max(HeadRef.parse(name).index for name in self.heads)
        """Heads a layer."""
        self._correct = {
            name: np.asarray(each, bool) for name, each in zip(self.heads, lists, strict=True)
        }

    def without(self, head: str) -> Outcomes:
        """Outcomes with a head zeroed."""
        return self._correct[head]

    def of(self, group: str) -> Outcomes:
        """[P] which cases belong to a group."""
        return np.asarray([each.group == group for each in self.prompts.prompts])

    @property
    def testable(self) -> bool:
        """Whether enough cases are answered right to lose some."""
        return int(self.intact.sum()) >= TESTABLE

    def random_heads(self, heads: Sequence[str], scale: Scale) -> list[str]:
        """Random heads of the same layers, none of these: so many draws, each head once."""
        beside = [HeadRef.parse(head) for head in heads]
        drawn: dict[HeadRef, None] = {}
        for draw in range(scale.controls):
            seed = f"{scale.seed} {draw}"
            control = random_like(beside, seed, heads=self.width, avoiding=drawn)
            drawn |= dict.fromkeys(control.parts)
        return [str(ref) for ref in drawn]

    def random_outcomes(self, heads: Sequence[str]) -> NDArray[np.float64]:
        """[P] share of random heads without which each case is answered right; NaN for none."""
        if not heads:
            return np.full(len(self.intact), np.nan)
        return pooled([self.without(head) for head in heads])


def heads_of(prompts: PromptSet) -> Generator[Step, Found, Sweep]:
    """Sweep all heads over some cases."""
    return Sweep((yield HeadsStep(prompts=prompts)))


def sweeps_of(sets: Sequence[PromptSet]) -> Generator[Step, Found, list[Sweep]]:
    """Sweep all heads over each of some sets of cases."""
    sweeps: list[Sweep] = []
    for prompts in sets:
        sweeps += [(yield from heads_of(prompts))]
    return sweeps


@dataclass(frozen=True)
class TopHead:
    """The head that costs most, and a random one beside it."""

    ref: HeadRef
    control: HeadRef | None
    """Of the same layer, so that as many layers follow; None: it has no other head."""


def top_head(
    scale: Scale, *signs: str, digits: int = 1, above: int = -1
) -> Generator[Step, Found, TopHead]:
    """The head above a layer that costs most accuracy over some operations together."""
    sets = [scale.operation(sign, digits) for sign in signs if scale.has(sign)]
    sweeps = yield from sweeps_of(sets or [scale.together(*signs)])
    heads = [ref for name in sweeps[0].heads if (ref := HeadRef.parse(name)).layer > above]
    left = {ref: sum(each.without(str(ref)).mean() for each in sweeps) for ref in heads}
    worst = min(heads, key=lambda ref: left[ref])
    control = random_like([worst], f"{scale.seed}", heads=sweeps[0].width).parts
    return TopHead(worst, control[0] if control else None)


def by_operation(table: str) -> Experiment:
    """Accuracy by operation without each of the top heads (Tables 1 and 18)."""
    names, numbers = published.HEADS[table]

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        sweep = yield from heads_of(scale.evaluation_set)
        top = sweep.heads[:TOP]
        others = sweep.random_heads(top, scale)
        everything = np.ones(len(sweep.intact), bool)
        cells = []
        for group in ("all", *scale.operations):
            here = everything if group == "all" else sweep.of(group)
            own = numbers.get(group, (None,) * (TOP + 1))
            control = mean(sweep.random_outcomes(others)[here], scale.seed)
            intact = mean(sweep.intact[here], scale.seed)
            cells.append(Cell(sign_name(group), "intact", intact, None, own[0]))
            for place, head in enumerate(top):
                left = mean(sweep.without(head)[here], scale.seed)
                cells.append(
                    Cell(
                        sign_name(group),
                        ORDINALS[place],
                        left,
                        control,
                        own[place + 1],
                        names[place],
                        head,
                    )
                )
        claim = published.FEW_HEADS[table]
        notes = [_controls(top, others), SELECTED]
        if table != "T1":
            notes.append("measured as T1; the paper's numbers are of another model")
        return Outcome(cells, _few(sweep, claim, scale.seed), notes)

    return run


SELECTED = (
    "The top heads are chosen on the cases they are measured on, as in the paper: with few cases "
    "their cost is somewhat overstated."
)


def _controls(beside: Sequence[str], drawn: Sequence[str]) -> str:
    if not drawn:
        return f"no random control: too few other heads in the layers of {', '.join(beside)}"
    layers, others = ({HeadRef.parse(name).layer for name in names} for names in (beside, drawn))
    where = "the same layers" if others <= layers else "the same and nearby layers"
    return f"control: mean over {len(drawn)} random heads of {where}, {', '.join(drawn)}"


def _few(sweep: Sweep, claim: str, seed: int) -> Claim:
    """Only a few heads matter."""
    intact = 100 * sweep.intact.mean()
    cost = {head: intact - 100 * sweep.without(head).mean() for head in sweep.heads}
    many = sum(each >= MATTERS for each in cost.values())
    worst = sweep.heads[0]
    points = mean(sweep.intact.astype(float) - sweep.without(worst), seed)
    assert points.low is not None
    assert points.high is not None
    finding = (
        f"{many} of {len(cost)} heads cost {MATTERS} points or more; {worst} costs most, "
        f"{intact:.1f} → {intact - cost[worst]:.1f} %: {cost[worst]:.1f} points "
        f"({points.low:.1f}…{points.high:.1f})"
    )
    if not sweep.testable or intact < 2 * MATTERS:
        return Claim(claim, "undecided", f"too few answers are right to begin with; {finding}")
    held = 0 < many <= max(3, FEW * len(cost)) and points.low > 0
    return Claim.tested(claim, held, finding)


def by_digits(scale: Scale) -> Generator[Step, Found, Outcome]:
    """Decrease without an operation's most important head at 1, 2, 3 digits (Table 2)."""
    cells: list[Cell] = []
    notes: list[str] = []
    same: dict[str, bool] = {}
    silent: list[str] = []
    for sign in scale.operations:
        name = sign_name(sign)
        sweeps = yield from sweeps_of([scale.operation(sign, each) for each in scale.digits])
        head = sweeps[0].heads[0]
        cells += [_cost_at(scale, sign, place, sweep, head) for place, sweep in enumerate(sweeps)]
        notes.append(f"{name}: {_controls([head], sweeps[0].random_heads([head], scale))}")
        told = [each for each in sweeps if each.testable]
        if len(told) > 1:
            same[name] = all(each.heads[0] == head for each in told)
        silent += [
            f"{name} {digits}D"
            for digits, sweep in zip(scale.digits, sweeps, strict=True)
            if not sweep.testable
        ]
    claim = "the most important head of an operation is the same for 1, 2 and 3 digits"
    parts = {
        "the same for": [name for name, yes in same.items() if yes],
        "another for": [name for name, yes in same.items() if not yes],
        "too few right answers to say for": silent,
    }
    finding = "; ".join(f"{words} {', '.join(names)}" for words, names in parts.items() if names)
    verdict: Verdict = "undecided"
    if same:
        verdict = "held" if all(same.values()) else "failed"
    return Outcome(cells, Claim(claim, verdict, finding), notes)


def _cost_at(scale: Scale, sign: str, place: int, sweep: Sweep, head: str) -> Cell:
    """What a head costs at one number of digits, beside random heads."""
    paper_head, numbers = published.BY_DIGITS.get(sign, (None, (None, None, None)))
    drawn = sweep.random_heads([head], scale)
    words = f"{head}; first here: {sweep.heads[0]}"
    if not sweep.testable:
        words += f"; {int(sweep.intact.sum())} of {len(sweep.intact)} right intact"
    return Cell(
        sign_name(sign),
        f"{scale.digits[place]}D",
        decrease(sweep.intact, sweep.without(head), scale.seed),
        decrease(sweep.intact, sweep.random_outcomes(drawn), scale.seed),
        numbers[place],
        paper_head,
        words,
    )


def by_mark(scale: Scale) -> Generator[Step, Found, Outcome]:
    """Decrease on tokens that need memory only and on those that need a carry (Table 3)."""
    cells: list[Cell] = []
    notes = ["each answer token is a case of its own"]
    ratios: dict[str, tuple[Estimate, Estimate]] = {}
    for sign in scale.operations:
        sweep = yield from heads_of(scale.operation(sign))
        head, steps = sweep.heads[0], scale.marked(sign)
        drawn = sweep.random_heads([head], scale)
        notes.append(f"{sign_name(sign)}: {_controls([head], drawn)}")
        sets = tuple(Intervention.parse(each) for each in (head, *drawn))
        found = yield AblateStep(prompts=steps, sets=sets)
        lists = dict(found.rows[["name", "prompt_correct"]].iter_rows())
        intact = np.asarray(found.baseline["prompt_correct"], bool)
        nothing = np.full(len(intact), np.nan)
        control = pooled([lists[each] for each in drawn]) if drawn else nothing
        lost, right = [], []
        for place, mark in enumerate(("memorize", "change-one")):
            here = np.asarray([each.group.endswith(mark) for each in steps.prompts])
            right.append(int(intact[here].sum()))
            lost.append(decrease(intact[here], np.asarray(lists[head])[here], scale.seed))
            cells.append(
                Cell(
                    sign_name(sign),
                    mark,
                    lost[-1],
                    decrease(intact[here], control[here], scale.seed),
                    published.MARKS[sign][place] if sign in published.MARKS else None,
                    published.BY_DIGITS[sign][0] if sign in published.BY_DIGITS else None,
                    f"{head}; {right[-1]} of {int(here.sum())} right intact",
                )
            )
        if min(right) >= TESTABLE:
            ratios[sign_name(sign)] = (lost[0], lost[1])
    return Outcome(cells, _memory(ratios), notes)


def _memory(lost: dict[str, tuple[Estimate, Estimate]]) -> Claim:
    claim = (
        "the heads store memorised one-digit results: without them memorize tokens suffer as much "
        "as change-one tokens"
    )
    if not lost:
        return Claim(claim, "undecided", "too few tokens are right to begin with")
    words, held = [], 0
    for name, (memorize, change) in lost.items():
        assert memorize.value is not None
        assert change.value is not None
        held += memorize.value >= 0.5 * change.value and memorize.value > 0
        words.append(f"{name} {percent(memorize)} against {percent(change)}")
    finding = f"memorize against change-one: {'; '.join(words)}"
    return Claim.tested(claim, held == len(lost), finding)


def top_five(table: str, sign: str) -> Experiment:
    """Accuracy without each of an operation's top five heads (Tables 24–27)."""
    paper = published.TOP_FIVE[table]

    def run(scale: Scale) -> Generator[Step, Found, Outcome]:
        cells: list[Cell] = []
        notes: list[str] = []
        firsts: dict[int, str] = {}
        for digits, ranking in zip(scale.digits, paper, strict=False):
            sweep = yield from heads_of(scale.operation(sign, digits))
            row = f"{digits}D{sign_name(sign)}"
            top = sweep.heads[:TOP]
            drawn = sweep.random_heads(top, scale)
            notes.append(f"{row}: {_controls(top, drawn)}")
            control = mean(sweep.random_outcomes(drawn), scale.seed)
            intact = mean(sweep.intact, scale.seed)
            cells.append(Cell(row, "intact", intact, None, ranking[0][1]))
            for place, head in enumerate(top):
                name, value = ranking[place + 1]
                left = mean(sweep.without(head), scale.seed)
                cells.append(Cell(row, ORDINALS[place], left, control, value, name, head))
            if sweep.testable:
                firsts[digits] = top[0]
        claim = f"one head is first for {sign_name(sign)} at 1, 2 and 3 digits"
        words = ", ".join(f"{digits}D {head}" for digits, head in firsts.items())
        if len(firsts) < 2:
            return Outcome(
                cells,
                Claim(claim, "undecided", f"only {words or 'no length'} has right answers enough"),
                notes,
            )
        held = len(set(firsts.values())) == 1
        return Outcome(cells, Claim.tested(claim, held, words), notes)

    return run
