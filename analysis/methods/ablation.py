"""Sets of heads and neurons ablated together, packed and resumed like the head sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from analysis.columns import schema
from analysis.interventions import Intervention
from analysis.methods.heads import CleanPass, clean_passes, join
from analysis.methods.plain import head_means
from analysis.model.forward import intervening
from analysis.model.scoring import Scores, score_pack, with_answers
from analysis.progress import checkpoint
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.ablate import AblateStep


@torch.no_grad()
def start_ablation(step: AblateStep, model: Model) -> Work:
    """Bind ablations to a model; one row a set."""
    for each in step.sets:
        model.check_parts(each)
    encoded = with_answers(model, step.prompts.prompts)
    means = head_means(model, encoded) if step.mode == "mean" else None
    passes = clean_passes(model, encoded)
    intact = join([score_pack(model, each.packed, each.final) for each in passes])
    columns = schema(step.columns)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for change in step.sets:
            if change.names not in done:
                row = {
                    "name": change.names,
                    "heads": len(change.heads),
                    "neurons": len(change.neurons),
                    **ablated(model, passes, change, means).summary(0),
                }
                yield pl.DataFrame([row], schema=columns)

    return Work(len(step.sets), frames, intact.summary(0))


@torch.no_grad()
def ablated(
    model: Model,
    passes: list[CleanPass],
    change: Intervention,
    means: Mapping[int, Tensor] | None = None,
) -> Scores:
    """Scores [1, P] with one set ablated: only the layers from its lowest part up are run."""
    lowest = min(ref.layer for ref in (*change.heads, *change.neurons))
    scores = []
    with intervening(model.parts, [change], means):
        for clean in passes:
            x = clean.calls[lowest].entering
            for call in clean.calls[lowest:]:
                checkpoint()
                x = call.again(x.to(call.entering.device))
            scores.append(score_pack(model, clean.packed, x.to(clean.final.device)))
    return join(scores)
