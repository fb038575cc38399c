"""Sets of shallow neurons by the concepts they hold, and random ones, ablated one after another."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch

from analysis.ablation import ablated
from analysis.columns import schema
from analysis.errors import InputError
from analysis.head_sweep import clean_passes, join
from analysis.interventions import Intervention
from analysis.refs import NeuronRef
from analysis.scoring import score_pack, with_answers
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model import Model
    from analysis.steps.hidden_sets import HiddenSetsStep


@dataclass(frozen=True)
class NeuronSet:
    """Some shallow neurons."""

    least: int
    """M."""
    draw: int | None
    """Which of the random sets; None: the neurons that hold M concepts."""
    neurons: tuple[NeuronRef, ...]

    @property
    def name(self) -> str:
        """`M ≥ 2`, or `M ≥ 2 random 0`."""
        return f"M ≥ {self.least}" + ("" if self.draw is None else f" random {self.draw}")


def sets_of(step: HiddenSetsStep) -> Iterator[NeuronSet]:
    """The sets of a step, each before its random ones; empty sets are left out."""
    total = sum(len(layer) for layer in step.concepts)
    for least in step.thresholds:
        members = [
            [neuron for neuron, count in enumerate(layer) if count >= least]
            for layer in step.concepts
        ]
        size = sum(len(layer) for layer in members)
        if size:
            yield NeuronSet(least, None, _refs(members))
        if 0 < size < total:
            for draw in range(step.controls):
                # A text seeds the same numbers on every machine.
                rng = random.Random(f"{step.seed} {least} {draw}")
                drawn = [
                    sorted(rng.sample(range(len(layer)), len(chosen)))
                    for layer, chosen in zip(step.concepts, members, strict=True)
                ]
                yield NeuronSet(least, draw, _refs(drawn))


def _refs(layers: list[list[int]]) -> tuple[NeuronRef, ...]:
    return tuple(
        NeuronRef(number, neuron) for number, layer in enumerate(layers) for neuron in layer
    )


@torch.no_grad()
def start_hidden_sets(step: HiddenSetsStep, model: Model) -> Work:
    """Bind the ablations to a model; one row a set."""
    info = model.info
    if len(step.concepts) > info.layers or len(step.concepts[0]) != info.neurons:
        raise InputError(
            f"concepts are given for {len(step.concepts)} layers of {len(step.concepts[0]):,} "
            f"neurons; {info.name} has {info.layers} of {info.neurons:,}"
        )
    passes = clean_passes(model, with_answers(model, step.prompts.prompts))
    intact = join([score_pack(model, each.packed, each.final) for each in passes])
    columns = schema(step.columns)
    sets = list(sets_of(step))

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for each in sets:
            if each.name not in done:
                scores = ablated(model, passes, Intervention(neurons=each.neurons))
                row = {
                    "name": each.name,
                    "least": each.least,
                    "draw": each.draw,
                    "neurons": len(each.neurons),
                    **scores.summary(0),
                }
                yield pl.DataFrame([row], schema=columns)

    return Work(len(sets), frames, intact.summary(0))
