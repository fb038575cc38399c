"""Vectors read in the vocabulary: what they promote and what they suppress."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from analysis.columns import schema
from analysis.errors import InputError
from analysis.methods.attention import head_output, transform
from analysis.model.readout import Readout
from analysis.model.tokens import check_known
from analysis.model.trace import Trace, trace
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.project import ProjectStep


@dataclass(frozen=True)
class _Source:
    """What is read: a vector, or a residual whose logits are affine in it."""

    vector: Tensor
    """[d] float32."""
    residual: bool = False


@torch.no_grad()
def start_projection(step: ProjectStep, model: Model) -> Work:
    """Bind a projection to a model."""
    if step.through is not None:
        model.check_layer(step.through, "--through")
    if step.through is not None and step.by is not None:
        model.check_head(HeadRef(step.through, step.by))
    if 2 * step.top > model.info.vocabulary:
        raise InputError(
            f"--top {step.top} is too many for both ends of {model.info.vocabulary:,} tokens"
        )
    ids = None if step.prompt is None else model.encode(step.prompt).ids
    run = None if ids is None else trace(model, ids)
    source = _source(step.source, model, ids, run)
    if step.through is not None:
        vector = transform(model, step.through, source.vector, step.by, run)
        source = _Source(vector)
    logits = _logits(model, source, run)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        if not done:  # one frame, all or nothing
            yield _ends(model, logits, step.top).cast(schema(step.columns))

    return Work(2 * step.top, frames)


def _source(text: str, model: Model, ids: tuple[int, ...] | None, run: Trace | None) -> _Source:
    """Find the vector a name stands for."""
    kind, _, rest = text.partition(":")
    if kind == "word" and rest:
        return _Source(model.parts.embedding_weight[_single_token(model, rest)].float())
    if kind in ("residual", "attention"):
        if not rest.isdecimal():
            raise InputError(f"{text!r} names no layer; write {kind}:12")
        model.check_layer(int(rest), kind)
        run = _needs_prompt(text, run)
        if kind == "attention":
            return _Source(run.attention[int(rest)])
        return _Source(run.leaving[int(rest)], residual=True)
    if NeuronRef.pattern.fullmatch(text):
        neuron = NeuronRef.parse(text)
        model.check_neuron(neuron)
        value = model.values(neuron.layer, torch.tensor([neuron.index]))[0]
        if run is None:
            return _Source(value)
        amount = run.coefficients[neuron.layer, neuron.index] * run.scales[neuron.layer]
        return _Source(value * amount)
    if HeadRef.pattern.fullmatch(text):
        head = HeadRef.parse(text)
        model.check_head(head)
        run = _needs_prompt(text, run)
        assert ids is not None
        return _Source(head_output(model, ids, head.layer, head.index, run))
    raise InputError(
        f"{text!r} names nothing to read; write L24N1493, L20H8, attention:13, word:three or "
        "residual:12"
    )


def _needs_prompt(text: str, run: Trace | None) -> Trace:
    if run is None:
        raise InputError(f"{text} is read in a run; give one with --prompt")
    return run


def _single_token(model: Model, word: str) -> int:
    """The id of a word that is one token, as it stands or behind a space."""
    for text in (word, " " + word):
        ids = model.tokenizer(text, add_special_tokens=False).input_ids
        check_known(model.tokenizer, ids, model.info.vocabulary)
        if len(ids) == 1:
            return int(ids[0])
    raise InputError(f"{word!r} is not a single token of this model; choose a word that is")


def _logits(model: Model, source: _Source, run: Trace | None) -> Tensor:
    """Logits [V]: frozen norm in a run, the vector's own norm without one."""
    readout: Readout = (
        Readout.freeze(model.parts, model.final_norm, source.vector)
        if run is None
        else run.freeze(model)
    )
    if run is None or source.residual:
        return readout.cap(readout.logits(source.vector))
    return readout.directions(source.vector)


def _ends(model: Model, logits: Tensor, top: int) -> pl.DataFrame:
    """The `top` tokens of each end, best first."""
    tables = []
    for end, largest in (("top", True), ("bottom", False)):
        values, ids = logits.topk(top, largest=largest)
        tables.append(
            pl.DataFrame(
                {
                    "end": [end] * top,
                    "rank": list(range(1, top + 1)),
                    "token": [model.token(token) for token in ids.tolist()],
                    "token_id": ids.tolist(),
                    "logit": values.double().tolist(),
                }
            )
        )
    return pl.concat(tables)
