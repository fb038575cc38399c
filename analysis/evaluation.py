"""A model before and after an edit: the target, a text, other tasks, and a random control.

A source is what measures are taken on; it is run once for each variant. All that it gives is one
value a case, so before, after and control can be compared case by case.
"""

from __future__ import annotations

import random
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
from analysis.cancel import checkpoint
from analysis.changes import Changes
from analysis.columns import schema
from analysis.errors import InputError
from analysis.info import ModelInfo
from analysis.interventions import Intervention
from analysis.prompts import Prompt
from analysis.refs import HeadRef, NeuronRef
from analysis.scoring import Scores, per_prompt, score_tokens, with_answers
from analysis.step import Work
from analysis.tokens import Encoded

if TYPE_CHECKING:
    from analysis.model import Model
    from analysis.pairs import PromptPair
    from analysis.prompts import PromptSet
    from analysis.steps.evaluate import EvaluateStep
    from analysis.texts import Text

POSITIONS = 256
"""Positions of a text scored at once; each takes a vector as long as the vocabulary."""
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


class Source(Protocol):
    """What measures are taken on."""

    measures: Sequence[Measure]

    def values(self) -> list[list[float]]:
        """For each measure the value of each case, in the model as it is now."""


@torch.no_grad()
def start_evaluation(step: EvaluateStep, model: Model) -> Work:
    """Bind an evaluation to a model; a frame a source, a row a measure."""
    for each in step.edit:
        model.check_parts(each)
    edit = Changes.of(step.edit)
    variants = [(), edit.interventions]
    variants += [random_like(edit, model.info, f"{step.seed} {n}") for n in range(step.controls)]
    sources = list(_sources(step, model))
    columns = schema(step.columns)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for source in sources:
            if all(each.name in done for each in source.measures):
                continue
            found = [_values(model, source, variant) for variant in variants]
            rows = [
                _row(measure, [each[place] for each in found], step.seed)
                for place, measure in enumerate(source.measures)
                if measure.name not in done
            ]
            yield pl.DataFrame(rows, schema=columns)

    expected = sum(len(each.measures) for each in sources)
    return Work(expected, frames, {"edit": list(edit.texts), "parts": len(edit)})


@torch.no_grad()
def _values(model: Model, source: Source, variant: Sequence[Intervention]) -> list[list[float]]:
    """For each measure of a source the value of each case in a variant."""
    with model.changed(variant):
        return source.values()


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
        **{key: value for name, each in columns.items() for key, value in _told(name, each)},
        "cases": len(before),
        "case_before": before,
        "case_after": after,
        "case_control": None if control is None else control.tolist(),
    }


def _told(name: str, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    yield name, None if estimate is None else estimate.value
    yield f"{name}_low", None if estimate is None else estimate.low
    yield f"{name}_high", None if estimate is None else estimate.high


def random_like(edit: Changes, info: ModelInfo, seed: str) -> tuple[Intervention, ...]:
    """As many random parts of each layer with the same factors, none of the edited if that can be.

    Args:
        edit: what they stand beside.
        info: the model's shape.
        seed: the same text draws the same parts on every machine.
    """
    rng = random.Random(seed)
    free = {
        (kind, layer): _shuffled(rng, kind, layer, count, edit)
        for kind, count, parts in (
            (HeadRef, info.heads, edit.heads),
            (NeuronRef, info.neurons, edit.neurons),
        )
        for layer in sorted({part.layer for part in parts})
    }
    drawn = tuple((free[type(part), part.layer].pop(), factor) for part, factor in edit.factors)
    return Changes(drawn).interventions


def _shuffled(
    rng: random.Random,
    kind: type[HeadRef] | type[NeuronRef],
    layer: int,
    count: int,
    edit: Changes,
) -> list[HeadRef | NeuronRef]:
    """All parts of a kind in a layer in random order; those that are edited come first."""
    edited = {part for part, _ in edit.factors}
    parts: list[HeadRef | NeuronRef] = [kind(layer, index) for index in range(count)]
    rng.shuffle(parts)
    return sorted(parts, key=lambda part: part not in edited)


def _sources(step: EvaluateStep, model: Model) -> Iterator[Source]:
    if step.prompts is not None:
        yield _Target(model, step.prompts)
    if step.pairs:
        yield _Gaps(model, step.pairs)
    if step.text is not None:
        yield _Reading(model, step.text, step.text_tokens)
    for prompts in step.others:
        yield _Other(model, prompts)


@torch.no_grad()
def scores_of(model: Model, encoded: Sequence[Encoded]) -> tuple[Scores, Tensor]:
    """How well answers are predicted, and by how much their first tokens lead.

    Returns:
        Scores [1, P], and the logit of each answer's first token minus the largest of the others
        [P] float32 on the CPU.
    """
    found, leads = [], []
    for packed in model.packs(encoded):
        checkpoint()
        _, final = model.run_packed(packed)
        logits = model.logits(final[0, packed.scored])  # [s, V]
        logprob, correct = score_tokens(logits[None], packed.targets)
        found.append(per_prompt(logprob, correct, packed.lengths))
        starts = torch.tensor([0, *packed.lengths[:-1]], device=logits.device).cumsum(0)
        first, target = logits[starts], packed.targets[starts][:, None]
        others = first.scatter(-1, target, -torch.inf).amax(-1)
        leads.append((first.gather(-1, target)[:, 0] - others).cpu())
    together = Scores(
        torch.cat([each.logprob for each in found], -1),
        torch.cat([each.correct for each in found], -1),
    )
    return together, torch.cat(leads)


class _Target:
    """The task that an edit is about."""

    def __init__(self, model: Model, prompts: PromptSet) -> None:
        self._model = model
        # Without an answer of its own a case has that of the model before the edit.
        self._encoded = with_answers(model, prompts.prompts)
        weights = [1.0] * len(prompts)
        self.measures: Sequence[Measure] = [
            Measure("accuracy", prompts.name, "0 to 1", weights),
            Measure("logprob", prompts.name, "nats", weights),
            Measure("logit difference", prompts.name, "logits", weights),
        ]

    def values(self) -> list[list[float]]:
        scores, leads = scores_of(self._model, self._encoded)
        return [scores.correct[0].double().tolist(), scores.logprob[0].tolist(), leads.tolist()]


class _Other:
    """A task that should not suffer."""

    def __init__(self, model: Model, prompts: PromptSet) -> None:
        self._model = model
        self._encoded = with_answers(model, prompts.prompts)
        name = f"accuracy {prompts.name}"
        self.measures: Sequence[Measure] = [
            Measure(name, prompts.name, "0 to 1", [1.0] * len(prompts))
        ]

    def values(self) -> list[list[float]]:
        scores, _ = scores_of(self._model, self._encoded)
        return [scores.correct[0].double().tolist()]


class _Gaps:
    """How much likelier answers are behind the first prompts of pairs than behind the second."""

    def __init__(self, model: Model, pairs: Sequence[PromptPair]) -> None:
        self._model = model
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

    def values(self) -> list[list[float]]:
        scores, _ = scores_of(self._model, self._encoded)
        gaps = (scores.logprob[0, ::2] - scores.logprob[0, 1::2]).tolist()
        return [[gaps[place] for place in places] for places in self._places]


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

    def values(self) -> list[list[float]]:
        losses = [self._loss(ids) for ids in self._pieces]
        return [losses, losses]

    def _loss(self, ids: Sequence[int]) -> float:
        """Nats a token of one piece; its first token is given."""
        checkpoint()
        tokens = torch.tensor([list(ids)], device=self._model.device)
        _, final = self._model.run(tokens)
        pairs = zip(final[0, :-1].split(POSITIONS), tokens[0, 1:].split(POSITIONS), strict=True)
        found = [
            score_tokens(self._model.logits(some), targets.to(some.device))[0]
            for some, targets in pairs
        ]
        return -torch.cat(found).double().mean().item()


def pieces_of(model: Model, text: Text, most: int) -> list[tuple[int, ...]]:
    """A text's tokens in pieces of at most `most` or the model's context.

    A piece of one token predicts nothing and is left out.

    Raises:
        InputError: no piece is left.
    """
    plain = tuple(model.tokenizer(text.text, add_special_tokens=False, verbose=False).input_ids)
    any_text = model.encode(Prompt(prompt="a"))
    before = any_text.ids[: len(any_text.special)]
    size = max(min(most, model.info.context) - len(before), 1)
    pieces = [before + plain[start : start + size] for start in range(0, len(plain), size)]
    pieces = [each for each in pieces if len(each) > 1]
    if not pieces:
        raise InputError(f"the text {text.name} has too few tokens to measure anything on")
    return pieces
