"""A model before and after an edit: the target, a text, other tasks, and a random control.

A trial is what measures are taken on. All that it gives is one value a case, so before, after and
control can be compared case by case. Below the lowest layer that is edited all variants are the
same run, so only the layers from there up are run for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis import bootstrap
from analysis.bootstrap import Estimate
from analysis.changes import Changes
from analysis.columns import frame_of
from analysis.controls import random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.model.forward import LayerCall, resumed
from analysis.model.info import ModelInfo
from analysis.model.packing import Pack
from analysis.model.passes import score_logits, score_tokens, with_answers
from analysis.model.tokens import Encoded, check_known
from analysis.progress import checkpoint, tell
from analysis.tasks.prompts import Prompt
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.pairs import PromptPair
    from analysis.tasks.prompts import PromptSet
    from analysis.tasks.texts import Text

POSITIONS = 256
"""Positions of a text scored at once; each takes a vector as long as the vocabulary."""
TO_WRONG = "logit difference to wrong"
"""The measure that there is where cases have wrong answers; the other is to the largest of all."""
Values = NDArray[np.float64]


def _as_it_is(mean: Values) -> Values:
    return mean


@dataclass(frozen=True)
class Measure:
    """A number taken on some cases: their mean, by weight."""

    name: str
    on: str
    unit: str
    weights: Sequence[float]
    """One a case."""
    of_mean: Callable[[Values], Values] = _as_it_is
    """What is made of the mean."""

    def of(self, values: Values, weights: Values) -> Values:
        """[R] numbers of values and weights [R, n]."""
        return self.of_mean((values * weights).sum(1) / weights.sum(1))

    def change(self, before: Values, after: Values, weights: Values) -> Values:
        """[R] numbers after minus numbers before."""
        return self.of(after, weights) - self.of(before, weights)


@dataclass(frozen=True)
class Variants:
    """The model as it is, with the edit, and with each control."""

    model: Model
    each: tuple[tuple[Intervention, ...], ...]
    """The first is empty."""
    lowest: int
    """The lowest layer that any of them changes."""

    @torch.no_grad()
    def finals(self, calls: Sequence[LayerCall], final: Tensor) -> Iterator[Tensor]:
        """For each the residual stream [1, n, d] leaving the last layer.

        Args:
            calls: how each layer was called in a run of the model as it is.
            final: [1, n, d] what left the last layer in that run.
        """
        for changes in self.each:
            if not changes:
                yield final
                continue
            with self.model.changed(changes):
                x = resumed(calls[self.lowest :])
            yield x.to(final.device)


class Trial(Protocol):
    """What measures are taken on."""

    measures: Sequence[Measure]

    def values(self, variants: Variants) -> list[list[list[float]]]:
        """For each variant and measure the value of each case."""


@torch.no_grad()
def evaluation_work(
    model: Model,
    edit: Sequence[Intervention],
    trials: Sequence[Trial],
    controls: int = 3,
    seed: int = 0,
) -> Work:
    """Measure a model before and after an edit; a frame a trial, a row a measure.

    Args:
        model: the model.
        edit: what is scaled after, and not before.
        trials: what measures are taken on, as `trials_on` makes them.
        controls: draws of random parts that are edited the same way.
        seed: of these draws and of the bootstrap.
    """
    for each in edit:
        model.info.check_parts(each)
    changes = Changes.of(edit)
    drawn, note = random_changes(changes, model.info, controls, seed)
    lowest = min(part.layer for part, _ in changes.factors)
    variants = Variants(
        model, ((), changes.interventions, *(each.interventions for each in drawn)), lowest
    )

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for trial in trials:
            if all(each.name in done for each in trial.measures):
                continue
            found = trial.values(variants)
            yield frame_of(
                _row(measure, [each[place] for each in found], seed)
                for place, measure in enumerate(trial.measures)
                if measure.name not in done
            )

    expected = sum(len(each.measures) for each in trials)
    baseline = {
        "edit": list(changes.texts),
        "parts": len(changes),
        "controls": [list(each.texts) for each in drawn],
        "control_note": note,
    }
    return Work(expected, frames, baseline)


def random_changes(
    edit: Changes, info: ModelInfo, draws: int, seed: int
) -> tuple[list[Changes], str | None]:
    """So many draws of other parts scaled by the same factors, and what to say of them.

    There are none where the layers have too few other parts.
    """
    beside = [part for part, _ in edit.factors]
    drawn = [
        random_like(beside, f"{seed} {draw}", heads=info.heads, neurons=info.neurons)
        for draw in range(draws)
    ]
    factors = [factor for _, factor in edit.factors]
    controls = [
        Changes(tuple(zip(each.parts, factors, strict=True))) for each in drawn if not each.missing
    ]
    return controls, next((each.note for each in drawn), None)


def _row(measure: Measure, found: list[list[float]], seed: int) -> dict[str, Any]:
    """A measure before, after, and with each control."""
    before, after, *draws = found
    weights = measure.weights
    control = bootstrap.pooled(draws) if draws else None
    columns = {
        "before": bootstrap.of(measure.of, before, weights, seed=seed),
        "after": bootstrap.of(measure.of, after, weights, seed=seed),
        "control": None
        if control is None
        else bootstrap.of(measure.of, control, weights, seed=seed),
        "change": bootstrap.of(measure.change, before, after, weights, seed=seed),
    }
    return {
        "name": measure.name,
        "on": measure.on,
        "unit": measure.unit,
        **{key: value for name, each in columns.items() for key, value in _with_ends(name, each)},
        "cases": len(before),
        "case_before": before,
        "case_after": after,
        "case_control": None if control is None else control.tolist(),
    }


def _with_ends(name: str, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    yield name, None if estimate is None else estimate.value
    yield f"{name}_low", None if estimate is None else estimate.low
    yield f"{name}_high", None if estimate is None else estimate.high


def trials_on(
    model: Model,
    prompts: PromptSet | None = None,
    pairs: Sequence[PromptPair] = (),
    text: Text | None = None,
    text_tokens: int = 256,
    others: Sequence[PromptSet] = (),
) -> list[Trial]:
    """What an edit is measured on.

    Args:
        model: the model before the edit.
        prompts: the task that it is about.
        pairs: pairs whose gap in log-probability is a target.
        text: running text that should not suffer, read in pieces of `text_tokens` tokens.
        text_tokens: see there.
        others: tasks that should not suffer.
    """
    found: list[Trial] = [] if prompts is None else [_Target(model, prompts)]
    found += [_Gaps(model, pairs)] if pairs else []
    found += [] if text is None else [_Reading(model, text, text_tokens)]
    return found + [_Other(model, each) for each in others]


@dataclass(frozen=True)
class Answers:
    """How well the answers of P cases are predicted."""

    logprob: list[float]
    correct: list[float]
    lead: list[float]
    """Logit of the answer's first token minus the largest of the others."""
    apart: list[float]
    """Logit of the answer minus that of the wrong ones; NaN where there are none."""


@torch.no_grad()
def answers_of(variants: Variants, encoded: Sequence[Encoded], rows: int = 1) -> list[Answers]:
    """For each variant how well cases are answered; so many rows come of it."""
    model = variants.model
    found = [Answers([], [], [], []) for _ in variants.each]
    packs = list(model.packs(encoded))
    for place, packed in enumerate(packs):
        checkpoint()
        tell(rows * place / len(packs), f"{len(encoded)} cases in {len(variants.each)} variants")
        calls, final = model.run_packed(packed)
        for answers, leaving in zip(found, variants.finals(calls, final), strict=True):
            logits = model.logits(leaving[0, packed.scored])  # [s, V]
            scores = score_logits(logits[None], packed)
            answers.logprob.extend(scores.logprob[0].tolist())
            answers.correct.extend(scores.correct[0].double().tolist())
            answers.lead.extend(_leads(logits, packed).tolist())
            apart = scores.logit_difference
            none = [math.nan] * len(scores.logprob[0])
            answers.apart.extend(none if apart is None else apart[0].tolist())
    return found


def _leads(logits: Tensor, packed: Pack) -> Tensor:
    """[P] lead of each answer's first token, of logits [s, V]."""
    starts = packed.first_scored
    first, targets = logits[starts], packed.targets[starts]
    right = torch.where(targets < 0, targets[:, :1], targets)
    others = first.scatter(-1, right, -torch.inf).amax(-1)
    return first.gather(-1, right).amax(-1) - others


class _Target:
    """The task that an edit is about."""

    def __init__(self, model: Model, prompts: PromptSet) -> None:
        # Without an answer of its own a case has that of the model before the edit.
        self._encoded = with_answers(model, prompts.prompts)
        weights = [1.0] * len(prompts)
        measures = [
            Measure("accuracy", prompts.name, "0 to 1", weights),
            Measure("logprob", prompts.name, "nats", weights),
            Measure("logit difference", prompts.name, "logits", weights),
        ]
        self._apart = [place for place, case in enumerate(prompts.prompts) if case.wrongs]
        if self._apart:
            some = [1.0] * len(self._apart)
            measures.append(Measure(TO_WRONG, prompts.name, "logits", some))
        self.measures: Sequence[Measure] = measures

    def values(self, variants: Variants) -> list[list[list[float]]]:
        found = answers_of(variants, self._encoded, len(self.measures))
        return [
            [
                each.correct,
                each.logprob,
                each.lead,
                *([[each.apart[place] for place in self._apart]] if self._apart else []),
            ]
            for each in found
        ]


class _Other:
    """A task that should not suffer."""

    def __init__(self, model: Model, prompts: PromptSet) -> None:
        self._encoded = with_answers(model, prompts.prompts)
        name = f"accuracy {prompts.name}"
        self.measures: Sequence[Measure] = [
            Measure(name, prompts.name, "0 to 1", [1.0] * len(prompts))
        ]

    def values(self, variants: Variants) -> list[list[list[float]]]:
        return [[each.correct] for each in answers_of(variants, self._encoded, len(self.measures))]


class _Gaps:
    """How much likelier answers are behind the first prompts of pairs than behind the second."""

    def __init__(self, model: Model, pairs: Sequence[PromptPair]) -> None:
        cases = [case for pair in pairs for case in (pair.first, pair.second)]
        self._encoded = [model.encode(case) for case in cases]
        groups = list(dict.fromkeys(pair.group for pair in pairs))
        self._places = [list(range(len(pairs)))]
        names = ["gap"]
        if len(groups) > 1:
            names += [f"gap {group}" for group in groups]
            self._places += [
                [place for place, pair in enumerate(pairs) if pair.group == group]
                for group in groups
            ]
        self.measures: Sequence[Measure] = [
            Measure(name, f"{len(places)} pairs", "nats", [1.0] * len(places))
            for name, places in zip(names, self._places, strict=True)
        ]

    def values(self, variants: Variants) -> list[list[list[float]]]:
        found = []
        for each in answers_of(variants, self._encoded, len(self.measures)):
            logprob = each.logprob
            gaps = [a - b for a, b in zip(logprob[::2], logprob[1::2], strict=True)]
            found.append([[gaps[place] for place in places] for places in self._places])
        return found


class _Reading:
    """A running text, piece by piece; what the tokenizer puts before a text stands before each."""

    def __init__(self, model: Model, text: Text, most: int) -> None:
        self._model = model
        self._pieces = pieces_of(model, text, most)
        weights = [float(len(ids) - 1) for ids in self._pieces]
        self.measures: Sequence[Measure] = [
            Measure("loss", f"text {text.name}", "nats a token", weights),
            Measure("perplexity", f"text {text.name}", "", weights, np.exp),
        ]

    def values(self, variants: Variants) -> list[list[list[float]]]:
        losses: list[list[float]] = [[] for _ in variants.each]
        for place, ids in enumerate(self._pieces):
            checkpoint()
            tell(
                len(self.measures) * place / len(self._pieces),
                f"text in {len(variants.each)} variants",
            )
            tokens = torch.tensor([list(ids)], device=self._model.device)
            calls, final = self._model.run(tokens)
            for found, leaving in zip(losses, variants.finals(calls, final), strict=True):
                found.append(self._loss(leaving[0, :-1], tokens[0, 1:]))
        return [[each, each] for each in losses]

    def _loss(self, leaving: Tensor, targets: Tensor) -> float:
        """Mean nats of tokens [n] predicted from final residuals [n, d]."""
        pairs = zip(leaving.split(POSITIONS), targets.split(POSITIONS), strict=True)
        found = [
            score_tokens(self._model.logits(some), wanted.to(some.device)[:, None])[0]
            for some, wanted in pairs
        ]
        return -torch.cat(found).double().mean().item()


def pieces_of(model: Model, text: Text, most: int) -> list[tuple[int, ...]]:
    """A text's tokens in pieces of at most `most` or the model's context.

    A piece of one token predicts nothing and is left out.

    Raises:
        InputError: no piece is left.
    """
    plain = tuple(model.tokenizer(text.text, add_special_tokens=False, verbose=False).input_ids)
    check_known(model.tokenizer, plain, model.info.vocabulary)
    any_text = model.encode(Prompt(prompt="a"))
    before = any_text.ids[: len(any_text.special)]
    size = max(min(most, model.info.context) - len(before), 1)
    pieces = [before + plain[start : start + size] for start in range(0, len(plain), size)]
    pieces = [each for each in pieces if len(each) > 1]
    if not pieces:
        raise InputError(f"the text {text.name} has too few tokens to measure anything on")
    return pieces
