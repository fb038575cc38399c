"""How far an adapter raises the coefficients of the neurons that matter (paper, T9 and T10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from analysis.controls import random_like
from analysis.errors import InputError
from analysis.methods.circuit import decrease, neuron_refs
from analysis.methods.neurons import most_changed
from analysis.model.scoring import with_answers
from analysis.model.trace import Trace, trace
from analysis.refs import NeuronRef
from analysis.steps.lora import TOPS
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.changing.training import Lora
    from analysis.model.model import Model


def check_compared(model: Model, cases: PromptSet, watched: Sequence[NeuronRef]) -> None:
    """Refuse cases and neurons that cannot be compared.

    Raises:
        InputError: a case has no answer, the model lacks a neuron, or has too few.
    """
    cases.require_answers()
    for ref in watched:
        model.check_neuron(ref)
    total = model.info.layers * model.info.neurons
    if total < max(TOPS):
        raise InputError(
            f"{model.info.name} has {total} neurons; comparing takes at least {max(TOPS)}"
        )


@torch.no_grad()
def rises(
    model: Model, lora: Lora, cases: PromptSet, watched: Sequence[NeuronRef], seed: int
) -> dict[str, Any]:
    """Compare the adapted with the original model, case by case.

    Returns:
        For each of `TOPS` the mean increase of the neurons whose importance gains most, and of as
        many random neurons of the same layers, and which these are; each case's own values; the
        watched coefficients.
    """
    encoded = with_answers(model, cases.prompts)
    with lora.worn():
        adapted = [trace(model, each.ids) for each in encoded]
    values: dict[str, list[float | None]] = {
        f"increase_{top}{kind}": [] for top in TOPS for kind in ("", "_random")
    }
    kept: dict[str, Any] = {f"drawn_{top}": [] for top in TOPS}
    notes: dict[str, None] = {}
    for number, (each, run) in enumerate(zip(encoded, adapted, strict=True)):
        original = trace(model, each.ids)
        found = neuron_refs(most_changed(model, run, original, each.first, max(TOPS)))
        for top in TOPS:
            control = random_like(
                found[:top], f"{seed} {number} {top}", neurons=model.info.neurons, avoiding=found
            )
            for kind, refs in (("", found[:top]), ("_random", control.parts)):
                values[f"increase_{top}{kind}"].append(increase(original, run, refs))
            kept[f"drawn_{top}"].append(",".join(map(str, control.parts)))
            if control.note is not None:
                notes[control.note] = None
        if number == 0 and watched:
            kept["watched_coefficient"] = _coefficients(run, watched).tolist()
            kept["watched_original"] = _coefficients(original, watched).tolist()
    for name, each_case in values.items():
        known = [value for value in each_case if value is not None]
        kept[name] = sum(known) / len(known) if known else None
        kept[f"case_{name}"] = each_case
    return kept | {"control_note": "; ".join(notes) or None}


def increase(original: Trace, adapted: Trace, refs: Sequence[NeuronRef]) -> float | None:
    """Share by which coefficients rise: `Σ sign(m)·m′ / Σ |m| − 1`; None where all were 0.

    None for no neurons as well.
    """
    lost = decrease(_coefficients(original, refs), _coefficients(adapted, refs))
    return None if lost is None else -lost


def _coefficients(run: Trace, refs: Sequence[NeuronRef]) -> torch.Tensor:
    layers = torch.tensor([ref.layer for ref in refs], dtype=torch.long)
    neurons = torch.tensor([ref.index for ref in refs], dtype=torch.long)
    return run.coefficients.cpu()[layers, neurons]
