"""Patching beside its plain twin: one hooked forward of the whole model a patch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.bench.measure import Measured, measured
from analysis.bench.sweeps import Tell, compared
from analysis.methods.patching import patch_work
from analysis.methods.replacing import Unit, through, values_in
from analysis.model.forward import before
from analysis.model.pairs import encode_pair
from analysis.model.passes import logit_difference
from analysis.progress import checkpoint
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

PAIR = Prompt(
    prompt="When Mary and John went to the store, John gave a drink to",
    corrupt="When Mary and John went to the store, Mary gave a drink to",
    answer=" Mary",
    wrong=" John",
)
UNITS: tuple[Unit, ...] = ("residual", "attention", "ffn")
SAMPLE = 60
"""Plain patches of each unit, drawn from all, that are measured and scaled up."""


def pair_for(model: Model) -> Prompt:
    """The pair, without blanks before its answers where these are tokens of their own."""
    bare = PAIR.model_copy(update={"answer": "Mary", "wrong": "John"})
    return PAIR if model.fits(PAIR) else bare


def bench_patch(model: Model, tell: Tell) -> dict[str, Any]:
    """Residual stream, attention and FFN at every layer and position, against plain forwards.

    Returns:
        `patch`, a comparison of all patches: the plain ones are a sample, scaled up.
    """
    pair = pair_for(model)
    stage = "patching, fast: from the patched layer and position"
    found: dict[tuple[str, str], float] = {}
    forecast = 0
    with measured(model.device) as fast:
        for unit in UNITS:
            work = patch_work(model, PromptSet(name="pair", prompts=(pair,)), unit, "each")
            forecast = max(forecast, work.memory)
            for table in work.frames(()):
                rows = table.select("name", "metric").iter_rows()
                found |= {(unit, name): metric for name, metric in rows}
                tell(stage, len(found), len(UNITS) * work.expected)

    stage = "patching, plain: one hooked forward a patch"
    differences = []
    with measured(model.device) as plain:
        for unit in UNITS:
            for name, metric in _plain(model, pair, unit):
                differences.append(metric - found[unit, name])
                tell(stage, len(differences), len(found))
    scaled = Measured(plain.seconds * len(found) / len(differences), plain.peak_mb)
    counts: dict[str, Any] = {
        "patches": len(found),
        "plain_patches": len(differences),
        "unit": "logits",
    }
    return {"patch": compared(fast, scaled, torch.tensor(differences), forecast) | counts}


@torch.no_grad()
def _plain(model: Model, pair: Prompt, unit: Unit) -> Iterator[tuple[str, float]]:
    """Names and metrics of a sample of patches."""
    clean, corrupt = encode_pair(model, pair)
    ids = [
        torch.tensor([each.read(model.behind)], device=model.device) for each in (clean, corrupt)
    ]
    values, _ = values_in(model, unit, ids[0])
    places = [(layer, at) for layer in range(model.info.layers) for at in range(len(clean.ids))]
    answers, wrong = (
        torch.tensor([each], device=model.device) for each in (clean.first, clean.wrong)
    )
    for layer, at in Random(unit).sample(places, min(SAMPLE, len(places))):
        checkpoint()

        def put(x: Tensor, layer: int = layer, at: int = at) -> Tensor:
            changed = x.reshape(1, -1, x.shape[-1]).clone()
            changed[:, at] = values[layer][:, at]
            return changed.reshape(x.shape)

        hook: AbstractContextManager[None] = (
            before(model.parts.layers[layer].module, put)
            if unit == "residual"
            else through(model, unit, layer, put)
        )
        with hook, torch.no_grad():  # a generator must not leave it on in its caller
            logits = model.hf(input_ids=ids[1], use_cache=False).logits
        behind = logits[:, len(clean.ids) - 1]
        yield f"L{layer}@{at}", logit_difference(behind, answers, wrong).item()
