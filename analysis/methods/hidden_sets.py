"""Sets of shallow neurons by the concepts they hold, and random ones, ablated one after another."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch

from analysis.columns import schema
from analysis.controls import by_layer, random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.ablation import ablated
from analysis.methods.heads import clean_passes, join
from analysis.model.scoring import score_pack, with_answers
from analysis.refs import NeuronRef
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.hidden_sets import HiddenSetsStep


@dataclass(frozen=True)
class NeuronSet:
    """Some shallow neurons."""

    least: int
    """M."""
    draw: int | None
    """Which of the random sets; None: the neurons that hold M concepts."""
    neurons: tuple[NeuronRef, ...]
    note: str | None = None
    """What to say of the random sets."""

    @property
    def name(self) -> str:
        """`M ≥ 2`, or `M ≥ 2 random 0`."""
        return f"M ≥ {self.least}" + ("" if self.draw is None else f" random {self.draw}")


def sets_of(step: HiddenSetsStep) -> Iterator[NeuronSet]:
    """The sets of a step, each before its random ones; empty sets are left out.

    A set has no random ones where its layers have too few other neurons.
    """
    width = len(step.concepts[0])
    for least in step.thresholds:
        members = tuple(
            NeuronRef(layer, neuron)
            for layer, counts in enumerate(step.concepts)
            for neuron, count in enumerate(counts)
            if count >= least
        )
        if not members:
            continue
        controls = [
            random_like(members, f"{step.seed} {least} {draw}", neurons=width)
            for draw in range(step.controls)
        ]
        note = next((each.note for each in controls), None)
        yield NeuronSet(least, None, members, note)
        for draw, control in enumerate(controls):
            if not control.missing:
                yield NeuronSet(least, draw, control.parts, note)


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
                    "drawn": None if each.draw is None else by_layer(each.neurons),
                    "control_note": each.note,
                }
                yield pl.DataFrame([row], schema=columns)

    return Work(len(sets), frames, intact.summary(0))
