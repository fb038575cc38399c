"""Vectors read in the vocabulary: what they promote and what they suppress."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import polars as pl
import torch
from torch import Tensor

from analysis.errors import InputError
from analysis.methods.attention import head_output, key_scores, transform
from analysis.methods.specific import specific
from analysis.model.readout import Readout
from analysis.model.tokens import check_known
from analysis.model.trace import Trace, trace
from analysis.refs import HeadRef, NeuronRef
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt


Reading: TypeAlias = Literal["logit", "specific"]


@dataclass(frozen=True)
class _Vector:
    """What is read: a vector, or a residual whose logits are affine in it."""

    vector: Tensor
    """[d] float32."""
    residual: bool = False


@torch.no_grad()
def projection_work(
    model: Model,
    source: str,
    through: int | None = None,
    by: int | None = None,
    prompt: Prompt | None = None,
    top: int = 20,
    looks_for: HeadRef | None = None,
    reading: Reading = "logit",
) -> Work:
    """Read a vector in the vocabulary; one row a token of either end, all in one frame.

    Args:
        model: the model.
        source: names the vector, as `L24N1493`, `L20H8`, `attention:13`, `word:three`.
        through: attention layer whose value-output map is applied first.
        by: only this head of that layer.
        prompt: what is run, if the vector is one of a run.
        top: tokens of each end.
        looks_for: read it as the query of this head instead: by the tokens whose keys it scores.
        reading: what the ends are of: logits, or their z-scores over the neurons of the layer.
    """
    if through is not None:
        model.info.check_layer(through, "--through")
    if through is not None and by is not None:
        model.info.check_head(HeadRef(through, by))
    if 2 * top > model.info.vocabulary:
        raise InputError(
            f"--top {top} is too many for both ends of {model.info.vocabulary:,} tokens"
        )
    ids = None if prompt is None else model.encode(prompt).ids
    run = None if ids is None else trace(model, ids)
    found = _source(source, model, ids, run)
    if through is not None:
        found = _Vector(transform(model, through, found.vector, by, run))
    if looks_for is None:
        logits = _logits(model, found, run)
    else:
        logits = key_scores(model, looks_for, found.vector)
    scores = None
    if reading == "specific":
        scores = specific(model, found.vector, layer_of(source), through, by)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        if not done:  # one frame, all or nothing
            yield _ends(model, logits, scores, top)

    return Work(2 * top, frames)


def layer_of(source: str) -> int:
    """The layer that a vector is of.

    Raises:
        InputError: a word is of none.
    """
    kind, _, rest = source.partition(":")
    if kind == "word":
        raise InputError(
            "--reading specific compares a vector with the neurons of its layer, and a word has "
            "none; use --reading logit"
        )
    if rest:
        return int(rest)
    neuron = NeuronRef.pattern.fullmatch(source)
    return (NeuronRef if neuron else HeadRef).parse(source).layer


def _source(text: str, model: Model, ids: tuple[int, ...] | None, run: Trace | None) -> _Vector:
    """Find the vector a name stands for."""
    model.info.check_source(text)
    kind, _, rest = text.partition(":")
    if kind == "word":
        return _Vector(model.parts.embedding_weight[_single_token(model, rest)].float())
    if kind == "attention":
        return _Vector(_needs_prompt(text, run).attention[int(rest)])
    if kind == "residual":
        return _Vector(_needs_prompt(text, run).leaving[int(rest)], residual=True)
    if NeuronRef.pattern.fullmatch(text):
        neuron = NeuronRef.parse(text)
        value = model.values(neuron.layer, torch.tensor([neuron.index]))[0]
        if run is None:
            return _Vector(value)
        amount = run.coefficients[neuron.layer, neuron.index] * run.scales[neuron.layer]
        return _Vector(value * amount)
    head = HeadRef.parse(text)
    run = _needs_prompt(text, run)
    assert ids is not None
    return _Vector(head_output(model, ids, head.layer, head.index, run))


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


def _logits(model: Model, source: _Vector, run: Trace | None) -> Tensor:
    """Logits [V]: frozen norm in a run, the vector's own norm without one."""
    readout: Readout = (
        Readout.freeze(model.parts, model.final_norm, source.vector)
        if run is None
        else run.freeze(model)
    )
    if run is None or source.residual:
        return readout.cap(readout.logits(source.vector))
    return readout.directions(source.vector)


def _ends(model: Model, logits: Tensor, scores: Tensor | None, top: int) -> pl.DataFrame:
    """The `top` tokens of each end, best first: by their logits, or by scores where there are."""
    tables = []
    ranked = logits if scores is None else scores
    for end, largest in (("top", True), ("bottom", False)):
        ids = ranked.topk(top, largest=largest).indices
        tables.append(
            pl.DataFrame(
                {
                    "end": [end] * top,
                    "rank": list(range(1, top + 1)),
                    "token": [model.token(token) for token in ids.tolist()],
                    "token_id": ids.tolist(),
                    "logit": logits[ids].double().tolist(),
                    "specific": None if scores is None else scores[ids].double().tolist(),
                }
            )
        )
    return pl.concat(tables)
