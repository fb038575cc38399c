"""Shallow neurons behind attention layers: how many concept tokens each comes to promote.

For each neuron all attention layers compete for the largest number of concept tokens among the
top k of the vocabulary. Comparing with the whole vocabulary is the expensive part, so first an
upper bound is found with few tokens: the k-th largest logit among any of them is at most the k-th
largest of all, and a concept token below it is not among the top k. The few are those that come
first most often, seen on a sample; which they are changes the time taken, not the result. Then the
attention layers are tried exactly, the most promising one first, until no other can win.

Only the order of tokens counts here. A divisor of the logits and a soft cap do not change it. Of
logits that are equal in float32 those count that torch's `topk` takes.

Shapes: A attention layers, n neurons, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor, nn

from analysis.controls import by_layer, random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.attention import transform
from analysis.methods.heads import ablated
from analysis.methods.neurons import TOKENS_SHOWN, in_halves
from analysis.model.passes import clean_passes, intact_scores, with_answers
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, told
from analysis.refs import NeuronRef
from analysis.work import Work, row_by_row

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt

NEURONS = {"cpu": 512, "cuda": 2_048}
"""Neurons read together; a frame each."""
ROWS = {"cpu": 256, "cuda": 2_048}
"""Vectors compared with the whole vocabulary at once."""
LIKELY = 4_096
"""Tokens that the bounds look at; at least four times the top k."""
SAMPLE = 2_048
"""Vectors that show which tokens those should be."""
ROUNDING = 1e-6
"""How far float32 may put a logit off, in units of the lengths of the two vectors multiplied."""


@torch.no_grad()
def hidden_work(
    model: Model,
    concepts: Collection[str],
    layers: int | None = None,
    top_tokens: int = 50,
) -> Work:
    """Count the concept tokens that each shallow neuron promotes; one row a shallow neuron.

    Args:
        model: the model.
        concepts: words; the tokens that are one of them are concept tokens.
        layers: the last shallow layer S; None: the first half of the layers is shallow.
        top_tokens: how many of the most promoted tokens are looked at.
    """
    last = last_shallow(model, layers)
    if top_tokens > model.info.vocabulary:
        raise InputError(
            f"--top-tokens {top_tokens:,} is more than the {model.info.vocabulary:,} tokens "
            f"of {model.info.name}"
        )
    tokens = concept_tokens(model, concepts)
    at_once = NEURONS.get(model.device.type, 512)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        reader: _Reader | None = None
        known = frozenset(done)
        for layer in range(last + 1):
            left = [k for k in range(model.info.neurons) if f"L{layer}N{k}" not in known]
            for start in range(0, len(left), at_once):
                # Only now: a finished step has nothing left to prepare for.
                reader = reader or _Reader.prepare(model, last, tokens, top_tokens)
                neurons = torch.tensor(left[start : start + at_once], device=model.device)
                yield reader.table(layer, neurons)

    few = min(_few(top_tokens), model.info.vocabulary)
    memory = _peak_bytes(model, last + 2, at_once, ROWS.get(model.device.type, 256), few)
    baseline = {"layers": last, "concept_tokens": len(tokens)}
    return Work((last + 1) * model.info.neurons, frames, baseline, memory=memory)


def _peak_bytes(model: Model, attention_layers: int, neurons: int, rows: int, few: int) -> int:
    """Roughly the most memory that counting takes: the largest tensors alive together.

    Args:
        model: the model.
        attention_layers: how many layers' maps are kept.
        neurons: neurons read together.
        rows: vectors compared with the whole vocabulary at once.
        few: tokens that the bounds look at.
    """
    info = model.info
    copied = 0 if model.hf.dtype.itemsize == FLOAT32 else info.vocabulary * info.width * FLOAT32
    maps = attention_layers * info.width * info.width * FLOAT32
    # The values behind every layer, and what norming them makes on the way.
    vectors = 4 * (attention_layers + 1) * min(neurons, info.neurons) * info.width * FLOAT32
    logits = 2 * max(rows * info.vocabulary, neurons * few) * FLOAT32
    return copied + maps + few * info.width * FLOAT32 + vectors + logits


def concept_tokens(model: Model, words: Collection[str]) -> list[int]:
    """Ids of the tokens that are one of some words, space around them and case left aside.

    Raises:
        InputError: no token is.
    """
    wanted = {_bare_word(word) for word in words} - {""}
    tokens = range(model.info.vocabulary)
    ids = [token for token in tokens if _bare_word(model.token(token)) in wanted]
    if not ids:
        said = f"none of the {len(wanted)} concepts is" if len(wanted) > 1 else "the concept is not"
        raise InputError(f"{said} a single token of {model.info.name}; give words that are")
    return ids


def _bare_word(text: str) -> str:
    return text.strip().casefold()


def last_shallow(model: Model, given: int | None) -> int:
    """The last shallow layer S; attention layer S + 1 must exist.

    Raises:
        InputError: the model has no such layer, or none above it.
    """
    last = model.info.layers // 2 - 1 if given is None else given
    if not 0 <= last < model.info.layers - 1:
        if model.info.layers == 1:
            raise InputError(f"{model.info.name} has one layer, and no attention layer above it")
        raise InputError(
            f"--layers {last} is out of range: an attention layer must follow the last shallow "
            f"one, so {model.info.name} allows 0 to {model.info.layers - 2}"
        )
    return last


def _few(top: int) -> int:
    return max(LIKELY, 4 * top)


@dataclass(frozen=True)
class _Tokens:
    """Some tokens of the vocabulary, as rows of the unembedding."""

    embedding: Tensor
    """[t, d] float32."""
    bias: Tensor | None
    """[t]"""

    def logits(self, normed: Tensor) -> Tensor:
        """Logits [c, t] of normed vectors [c, d]."""
        return nn.functional.linear(normed, self.embedding, self.bias)

    def only(self, ids: Tensor) -> _Tokens:
        """The tokens at these places."""
        return _Tokens(self.embedding[ids], None if self.bias is None else self.bias[ids])


@dataclass(frozen=True)
class _Reader:
    """Reads neurons of one model behind its attention layers."""

    model: Model
    maps: Tensor
    """[A, d, d] of each attention layer: `vector @ map` is the vector as it is written back."""
    vocabulary: _Tokens
    likely: _Tokens
    concepts: _Tokens
    is_concept: Tensor
    """[V]"""
    longest: Tensor
    """[1] length of the longest row of the unembedding."""
    top: int

    @classmethod
    @torch.no_grad()
    def prepare(cls, model: Model, last: int, concepts: list[int], top: int) -> _Reader:
        """Compute what all neurons share; a few seconds' work."""
        unit = torch.eye(model.info.width, device=model.device)
        layers = told(range(last + 2), "what each attention layer passes on, layer")
        maps = [transform(model, layer, unit) for layer in layers]
        bias = model.parts.unembedding_bias
        everything = _Tokens(
            model.parts.unembedding_weight.float(), None if bias is None else bias.float()
        )
        ids = torch.tensor(concepts, device=model.device)
        is_concept = torch.zeros(len(everything.embedding), dtype=torch.bool, device=model.device)
        is_concept[ids] = True
        # Until it is known which tokens are likely, all are.
        reader = cls(
            model=model,
            maps=torch.stack(maps),
            vocabulary=everything,
            likely=everything,
            concepts=everything.only(ids),
            is_concept=is_concept,
            longest=everything.embedding.norm(dim=-1).max(),
            top=top,
        )
        return replace(reader, likely=everything.only(reader.most_often_first(last)))

    def most_often_first(self, last: int) -> Tensor:
        """Tokens that are most often among the top ones of some neurons of each shallow layer."""
        each = max(1, SAMPLE // len(self.maps) // (last + 1))
        neurons = torch.linspace(0, self.model.info.neurons - 1, each).long()
        times = torch.zeros(len(self.is_concept), dtype=torch.long, device=self.is_concept.device)
        for layer in range(last + 1):
            best = self.best(self.behind(layer, neurons.unique()).flatten(0, 1))
            times += best.flatten().bincount(minlength=len(times))
        return times.argsort(descending=True, stable=True)[: _few(self.top)]

    def table(self, layer: int, neurons: Tensor) -> pl.DataFrame:
        """Rows of these neurons [n] of a layer; in halves where memory is short."""
        return in_halves(partial(self._table_together, layer), neurons)

    @torch.no_grad()
    def _table_together(self, layer: int, neurons: Tensor) -> pl.DataFrame:
        vectors = self.behind(layer, neurons)  # [A + 1, n, d], the bare ones last
        held, through, best = self.most(vectors[:-1])
        hopeful = self.at_most(vectors[-1]).nonzero().flatten()
        direct = torch.zeros_like(held)
        direct[hopeful] = self.held(self.best(vectors[-1, hopeful]))
        found = [self.texts(ids[self.is_concept[ids]]) for ids in best[:, : self.top]]
        tokens = [self.texts(ids) for ids in best[:, :TOKENS_SHOWN]]
        table = pl.DataFrame(
            {
                "layer": [layer] * len(neurons),
                "neuron": neurons.tolist(),
                "concepts": held.tolist(),
                "through": through.tolist(),
                "direct": direct.tolist(),
                "found": found,
                "tokens": tokens,
            }
        )
        some = pl.col("concepts") > 0
        return table.with_columns(
            pl.format("L{}N{}", "layer", "neuron").alias("name"),
            pl.when(some).then("through"),
            *(pl.when(some).then(each).otherwise(pl.lit([])) for each in ("found", "tokens")),
        )

    def texts(self, ids: Tensor) -> list[str]:
        """The texts of tokens [t]."""
        return [self.model.token(token) for token in ids.tolist()]

    def behind(self, layer: int, neurons: Tensor) -> Tensor:
        """Normed values of neurons behind every attention layer, then without any [A + 1, n, d]."""
        checkpoint()
        values = self.model.values(layer, neurons)
        vectors = torch.cat([values @ self.maps, values[None]])
        return self.model.final_norm.of(vectors)

    def most(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The attention layer behind which each neuron holds the most concept tokens.

        Args:
            vectors: [A, n, d] normed.

        Returns:
            How many tokens that is [n], the first such layer [n], and the top tokens there [n, k];
            layer and tokens mean nothing where there are none.
        """
        layers, count, _ = vectors.shape
        # One number for both: more concepts win, of equally many the lower layer.
        preferred = torch.arange(layers - 1, -1, -1, device=vectors.device)  # [A]
        hopes = torch.stack([self.at_most(each) for each in vectors]) * layers + preferred[:, None]
        won = preferred[:1].repeat(count)  # no concept at layer 0
        best = won.new_zeros(count, self.wide)
        while True:
            hope, layer = hopes.max(0)
            rows = (hope > won).nonzero().flatten()
            if not len(rows):
                return won // layers, layers - 1 - won % layers, best
            layer = layer[rows]
            tokens = self.best(vectors[layer, rows])
            reached = self.held(tokens) * layers + preferred[layer]
            hopes[layer, rows] = -1
            better = reached > won[rows]
            won[rows[better]] = reached[better]
            best[rows[better]] = tokens[better]

    def at_most(self, normed: Tensor) -> Tensor:
        """More concept tokens than these [n] cannot be among the top k of vectors [n, d]."""
        checkpoint()
        least = self.likely.logits(normed).topk(self.top).values[:, -1:]
        slack = ROUNDING * self.longest * normed.norm(dim=-1, keepdim=True)
        reached: Tensor = self.concepts.logits(normed) >= least - slack  # [n, concepts]
        return reached.sum(-1).clamp(max=self.top)

    def best(self, normed: Tensor) -> Tensor:
        """The most promoted tokens of vectors [c, d], best first: [c, k], at least those shown."""
        found = [torch.empty(0, self.wide, dtype=torch.long, device=normed.device)]
        for some in normed.split(ROWS.get(normed.device.type, 256)):
            checkpoint()
            found.append(self.vocabulary.logits(some).topk(self.wide).indices)
        return torch.cat(found)

    def held(self, best: Tensor) -> Tensor:
        """How many of the top k of these tokens [c, k …] are concepts [c]."""
        concepts: Tensor = self.is_concept[best[:, : self.top]]
        return concepts.sum(-1)

    @property
    def wide(self) -> int:
        """How many tokens to find, so that there are enough to show."""
        return min(max(self.top, TOKENS_SHOWN), len(self.is_concept))


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


def sets_of(
    concepts: Sequence[Sequence[int]], thresholds: Sequence[int], controls: int, seed: int
) -> Iterator[NeuronSet]:
    """The sets of each M, each before its random ones; empty sets are left out.

    A set has no random ones where its layers have too few other neurons.
    """
    width = len(concepts[0])
    for least in thresholds:
        members = tuple(
            NeuronRef(layer, neuron)
            for layer, counts in enumerate(concepts)
            for neuron, count in enumerate(counts)
            if count >= least
        )
        if not members:
            continue
        drawn = [
            random_like(members, f"{seed} {least} {draw}", neurons=width)
            for draw in range(controls)
        ]
        note = next((each.note for each in drawn), None)
        yield NeuronSet(least, None, members, note)
        for draw, control in enumerate(drawn):
            if not control.missing:
                yield NeuronSet(least, draw, control.parts, note)


@torch.no_grad()
def hidden_sets_work(
    model: Model,
    prompts: Sequence[Prompt],
    concepts: Sequence[Sequence[int]],
    thresholds: Sequence[int],
    controls: int = 5,
    seed: int = 0,
) -> Work:
    """Zero all shallow neurons that hold M concept tokens or more, and random ones; one row a set.

    Args:
        model: the model.
        prompts: what they are zeroed on.
        concepts: concept tokens that each neuron holds, layer by layer from the first.
        thresholds: the Ms.
        controls: random sets beside each set that leaves enough neurons out.
        seed: of the random sets.
    """
    info = model.info
    if len(concepts) > info.layers or len(concepts[0]) != info.neurons:
        raise InputError(
            f"concepts are given for {len(concepts)} layers of {len(concepts[0]):,} "
            f"neurons; {info.name} has {info.layers} of {info.neurons:,}"
        )
    passes = clean_passes(model, with_answers(model, prompts))
    intact = intact_scores(model, passes)
    sets = list(sets_of(concepts, thresholds, controls, seed))

    def row(some: NeuronSet) -> dict[str, Any]:
        return {
            "least": some.least,
            "draw": some.draw,
            "neurons": len(some.neurons),
            **ablated(model, passes, Intervention(neurons=some.neurons)).summary(0),
            "drawn": None if some.draw is None else by_layer(some.neurons),
            "control_note": some.note,
        }

    rows = row_by_row({each.name: partial(row, each) for each in sets})
    return Work(len(sets), rows, intact.summary(0))
