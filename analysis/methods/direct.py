"""Direct attribution: what each part of a run adds to the logit difference, and to the answer.

With the spread of the final norm frozen a logit is affine in the residual stream, and that is a sum
of what was written into it: the embedding, every head, every FFN, biases. So the logit difference
is a sum over these parts. A soft cap on the logits is frozen likewise, as the factor that it comes
to on each token's logit in that run, and the norms behind attention and FFN with their own spread.
What a part adds to the answer's log-probability is not linear and is computed for each by itself.

Shapes: C cases, L layers, H heads, N neurons, k parts, n tokens, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import torch
from torch import Tensor

from analysis import bootstrap
from analysis.columns import frame_of
from analysis.methods.attention import as_added
from analysis.methods.importance import Scored, exact
from analysis.methods.looking import Attention, peak_bytes
from analysis.methods.neurons import CHUNK, TOKENS_SHOWN, Directions, fitting_top
from analysis.methods.replacing import Positions, positions_of, token_at
from analysis.model import weights
from analysis.model.forward import before
from analysis.model.packing import side_by_side
from analysis.model.passes import log_any, logit_difference, with_answers
from analysis.model.readout import Readout
from analysis.model.trace import Trace, trace
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, told
from analysis.refs import HeadRef
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.model.tokens import Encoded
    from analysis.tasks.prompts import Prompt


@dataclass(frozen=True)
class SplitRun:
    """One run at its last position, ready to be taken apart."""

    encoded: Encoded
    run: Trace
    heads: Tensor
    """[L, H · head width] what enters the attention output projections."""
    readout: Readout
    toward: Tensor
    """[d] what a vector in the residual stream is multiplied by to give its share."""
    factors: Tensor
    """[t] the factor of each answer's and wrong answer's uncapped logit in it."""
    constant: float
    """The share of what is no vector in it: biases of the final norm and of the unembedding."""
    total: float
    """The model's own logit difference: the answers' mean logit less that of the wrong ones, or
    where there is none the answers' own."""
    logprob: float
    """The answer's log-probability."""

    @classmethod
    def of(cls, model: Model, encoded: Encoded) -> SplitRun:
        """Run the model on a case."""
        heads: list[Tensor] = []

        def keep(x: Tensor) -> None:
            heads.append(x.reshape(-1, x.shape[-1])[-1].to(model.device, torch.float32, copy=True))

        model.final_norm  # noqa: B018 (reading a norm runs it, so it is done before)
        with ExitStack() as stack:
            for layer in model.parts.layers:
                stack.enter_context(before(layer.attention_out, keep))
            run = trace(model, encoded.ids)
        readout = run.freeze(model)
        own = model.logits(run.final.to(model.hf.dtype)).float()
        tokens, factors = [*encoded.first, *encoded.wrong], _factors(readout, run.final, encoded)
        along = factors @ readout.embedding[tokens].float()
        toward = readout.norm.transposed(along) * (readout.scale / readout.logit_divisor)
        constant = factors @ readout.constant.expand(len(readout.embedding))[tokens]
        answer, wrong = (torch.tensor(each, device=own.device) for each in _sides(encoded))
        total = logit_difference(own, answer, wrong) if encoded.wrong else own[answer].mean()
        logprob = log_any(own, answer) - torch.logsumexp(own, -1)
        return cls(
            encoded,
            run,
            torch.stack(heads),
            readout,
            toward,
            factors,
            constant.item(),
            total.item(),
            logprob.item(),
        )


Added: TypeAlias = tuple[SplitRun, Tensor, Tensor]
"""A run, a vector [d] in its residual stream, and what is added to that [k, d]."""


def increases(asked: Sequence[Added]) -> list[Tensor]:
    """What adding each of some vectors adds to the log-probability, [k] for each that is asked.

    The unembedding is passed over once for the vectors of several runs together.
    """
    readout = asked[0][0].readout
    embedding = readout.embedding.float().T
    rows = torch.cat([run.readout.normed(torch.cat([x[None], x + u])) for run, x, u in asked])
    sizes = [1 + len(u) for _, _, u in asked]
    right = side_by_side([run.encoded.first for run, _, _ in asked]).to(rows.device)
    right = right.repeat_interleave(torch.tensor(sizes, device=rows.device), 0)
    found = []
    size = CHUNK.get(rows.device.type, 256)
    for some, tokens in zip(rows.split(size), right.split(size), strict=True):
        checkpoint()
        logits = readout.cap(some @ embedding + readout.constant)
        found.append(log_any(logits, tokens) - torch.logsumexp(logits, -1))
    return [each[1:] - each[0] for each in torch.cat(found).split(sizes)]


def _sides(encoded: Encoded) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return encoded.first, encoded.wrong


def _factors(readout: Readout, final: Tensor, encoded: Encoded) -> Tensor:
    """[t] the factor of each answer's and wrong answer's uncapped logit in what is taken apart."""
    factors = torch.tensor(
        [
            sign / len(side)
            for side, sign in zip(_sides(encoded), (1.0, -1.0), strict=True)
            for _ in side
        ],
        device=final.device,
    )
    if readout.softcap is None:
        return factors
    logits = readout.logits(final)[[*encoded.first, *encoded.wrong]]
    return factors * torch.where(logits == 0, 1.0, readout.cap(logits) / logits)


@dataclass(frozen=True)
class Addend:
    """A part of a run that has a share."""

    unit: str
    name: str
    layer: int | None = None
    head: int | None = None

    @property
    def named(self) -> dict[str, Any]:
        """What a row says of it before its numbers."""
        return {"unit": self.unit, "name": self.name, "layer": self.layer, "head": self.head}


class Decomposed:
    """The runs of some cases as sums of what their parts wrote.

    Args:
        model: the model.
        cases: the runs.
        seed: of the resamples of intervals.
    """

    def __init__(self, model: Model, cases: Sequence[SplitRun], seed: int) -> None:
        self.model = model
        self.cases = cases
        self.seed = seed

    def parts(self, layer: int) -> list[Addend]:
        """The heads of a layer, what of its attention belongs to none, and its FFN."""
        heads = range(self.model.info.heads)
        found = [Addend("head", f"L{layer}H{head}", layer, head) for head in heads]
        if self._rest(layer) is not None:
            found.append(Addend("bias", f"L{layer} attention bias", layer))
        return [*found, Addend("ffn", f"L{layer}F", layer)]

    def _rest(self, layer: int) -> Tensor | None:
        """[d] the bias of an attention output projection; of none whose norm has one, zeros."""
        bias = weights.bias(self.model.parts.layers[layer].attention_out)
        norm = self.model.attention_post_norm(layer)
        if bias is None and (norm is None or not bool(norm.bias.any())):
            return None
        zeros = torch.zeros(self.model.info.width, device=self.model.device)
        return zeros if bias is None else bias.float().to(zeros.device)

    @torch.no_grad()
    def written(self, layer: int) -> Iterator[tuple[Tensor, Tensor]]:
        """For each case what the parts of a layer added [k, d], and each to what [k, d]."""
        model = self.model
        out = model.parts.layers[layer].attention_out
        matrix = weights.columns(out, model.parts.dtype).float().to(model.device)
        by_head = matrix.unflatten(0, (model.info.heads, -1))  # [H, head width, d]
        rest, norm = self._rest(layer), model.attention_post_norm(layer)
        for case in self.cases:
            heads = case.heads[layer].unflatten(0, (model.info.heads, -1))
            added = [as_added(model, layer, torch.einsum("hw,hwd->hd", heads, by_head), case.run)]
            if rest is not None:
                bias = as_added(model, layer, rest, case.run)
                if norm is not None:
                    bias = bias + norm.bias * model.parts.residual_multiplier
                added.append(bias[None])
            attention = torch.cat(added)
            entering = case.run.entering[layer].expand_as(attention)
            ffn, below = case.run.ffn[layer], case.run.before_ffn(layer)
            yield torch.cat([attention, ffn[None]]), torch.cat([entering, below[None]])

    @cached_property
    def shares(self) -> list[Tensor]:
        """For each layer [C, k] the shares of its parts."""
        return [
            torch.stack(
                [
                    (vectors @ case.toward).cpu().double()
                    for case, (vectors, _) in zip(self.cases, self.written(layer), strict=True)
                ]
            )
            for layer in told(range(self.model.info.layers), "shares of the parts, layer")
        ]

    @cached_property
    def embedding(self) -> Tensor:
        """[C] the share of what enters the first layer."""
        shares = [case.run.entering[0] @ case.toward for case in self.cases]
        return torch.stack(shares).cpu().double()

    @property
    def ends(self) -> list[Addend]:
        """What stands before the first layer and behind the last."""
        last = any(case.constant for case in self.cases)
        return [Addend("embedding", "embedding"), *([Addend("bias", "final bias")] if last else [])]

    def row(self, named: dict[str, Any], shares: Tensor, gained: Tensor) -> dict[str, Any]:
        """A row of a part's share and of what it adds to the log-probability [C] in each case."""
        found = dict(named)
        for name, values, low, high in (
            ("logit_difference", shares, "low", "high"),
            ("logprob_increase", gained, "logprob_low", "logprob_high"),
        ):
            listed = values.cpu().double().tolist()
            if len(self.cases) == 1:
                found[name] = listed[0]
                continue
            estimate = bootstrap.mean(listed, self.seed, 1.0)
            found |= {name: estimate.value, low: estimate.low, high: estimate.high}
            found[f"case_{name}"] = listed
        return found

    def layer_rows(self, layer: int) -> list[dict[str, Any]]:
        """Rows of a layer's parts."""
        asked: list[Added] = []
        for case, (vectors, below) in zip(self.cases, self.written(layer), strict=True):
            asked += [(case, below[0], vectors[:-1]), (case, below[-1], vectors[-1:])]
        found = torch.cat(increases(asked)).view(len(self.cases), -1)  # [C, k]
        parts = enumerate(self.parts(layer))
        return [self.row(part.named, self.shares[layer][:, at], found[:, at]) for at, part in parts]

    def end_rows(self) -> list[dict[str, Any]]:
        """Rows of the embedding, over nothing at all, and of the final biases, over all else."""
        found = []
        constants = torch.tensor([case.constant for case in self.cases])
        for part in self.ends:
            gained = []
            for case in self.cases:
                if part.unit == "embedding":
                    vector = case.run.entering[0]
                    asked = case, torch.zeros_like(vector), vector[None]
                    gained.append(increases([asked])[0][0])
                else:
                    bare = replace(case.readout, constant=torch.zeros_like(case.readout.constant))
                    first, final = case.encoded.first, case.run.final
                    gained.append(
                        case.readout.log_prob(case.readout.logits(final), first)
                        - bare.log_prob(bare.logits(final), first)
                    )
            shares = self.embedding if part.unit == "embedding" else constants
            found.append(self.row(part.named, shares, torch.stack(gained)))
        return found

    @torch.no_grad()
    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """The ends, then a frame a layer."""
        names = {each.name for each in self.ends}
        if not names <= {*done}:
            yield frame_of(each for each in self.end_rows() if each["name"] not in done)
        for layer in range(self.model.info.layers):
            if not {each.name for each in self.parts(layer)} <= {*done}:
                rows = self.layer_rows(layer)
                yield frame_of(each for each in rows if each["name"] not in done)

    @property
    def expected(self) -> int:
        """Rows of all parts."""
        return len(self.ends) + sum(len(self.parts(at)) for at in range(self.model.info.layers))

    def baseline(self, sums: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
        """The runs, what is taken apart, and whether the parts add up to it.

        Args:
            sums: by kind of part [C] what all of that kind come to; None: heads and FFNs.
        """
        sums = self.sums() if sums is None else sums
        totals = torch.tensor([case.total for case in self.cases]).double()
        summed = sum(sums.values())
        assert isinstance(summed, Tensor)
        logprobs = torch.tensor([case.logprob for case in self.cases]).double()
        base = self._said() | {
            "prob": logprobs.exp().mean().item(),
            "logprob": logprobs.mean().item(),
            self.metric: totals.mean().item(),
            **{name: values.mean().item() for name, values in sums.items()},
            "sum": summed.mean().item(),
            "off": (summed - totals).abs().max().item(),
            "metric": self.metric,
            "frozen": self._frozen(),
            "cases": len(self.cases),
        }
        if len(self.cases) > 1:
            base["prompt_logprob"] = logprobs.tolist()
            base[f"prompt_{self.metric}"] = totals.tolist()
        return base

    @property
    def metric(self) -> str:
        """What is taken apart: the logit difference, or the answer's logit."""
        return "logit_difference" if self.cases[0].encoded.wrong else "logit"

    def sums(self) -> dict[str, Tensor]:
        """[C] the shares of all parts of a kind together."""
        heads = torch.zeros(len(self.cases)).double()
        ffn, biases = heads.clone(), heads + torch.tensor([each.constant for each in self.cases])
        for shares in self.shares:
            count = self.model.info.heads
            heads += shares[:, :count].sum(1)
            biases += shares[:, count:-1].sum(1)
            ffn += shares[:, -1]
        return {"embedding": self.embedding, "heads": heads, "ffn": ffn, "biases": biases}

    def _said(self) -> dict[str, Any]:
        """What one case reads, and what is right and wrong there."""
        if len(self.cases) > 1:
            return {}
        (case,) = self.cases
        answer, wrong = ([*map(self.model.token, each)] for each in _sides(case.encoded))
        found: dict[str, Any] = {"answer": answer[0], "answer_id": case.encoded.first[0]}
        if len(answer) > 1:
            found["answers"] = answer
        if wrong:
            found["wrong"] = wrong
        return found | {"tokens": [*map(self.model.token, case.encoded.ids)]}

    def _frozen(self) -> str:
        """What of the run is held fixed, so that the rest is a sum."""
        found = ["the spread of the final norm"]
        layers = range(self.model.info.layers)
        norms = (self.model.attention_post_norm, self.model.ffn_post_norm)
        if any(norm(layer) is not None for norm in norms for layer in layers):
            found.append("those of the norms behind attention and FFN")
        if self.cases[0].readout.softcap is not None:
            found.append("the soft cap, as a factor on each logit")
        return ", ".join(found)


@torch.no_grad()
def split_of(model: Model, prompts: Sequence[Prompt], seed: int) -> Decomposed:
    """The runs of some cases, ready to be taken apart; see `direct_work`.

    Raises:
        InputError: some cases have wrong answers and some have none.
    """
    encoded = with_answers(model, prompts)
    return Decomposed(model, [SplitRun.of(model, each) for each in told(encoded, "runs")], seed)


def direct_work(model: Model, prompts: Sequence[Prompt], seed: int = 0) -> Work:
    """Take the logit difference apart into embedding, heads, FFNs and biases; one row a part.

    Args:
        model: the model.
        prompts: the cases: of several the means, with intervals.
        seed: of the resamples of intervals.
    """
    split = split_of(model, prompts, seed)
    return Work(split.expected, split.frames, split.baseline(), memory=_memory(split))


@dataclass(frozen=True)
class _Neurons:
    """All neurons of the runs of a split, by what they add on the average."""

    split: Decomposed
    shares: Tensor
    """[L, N] mean over the cases."""
    sums: dict[str, Tensor]
    """By kind of part [C]; FFNs as their neurons, and what belongs to none among the biases."""

    @classmethod
    def of(cls, split: Decomposed) -> _Neurons:
        """Take every FFN apart."""
        model, found = split.model, split.sums()
        neurons, biases = torch.zeros(len(split.cases)).double(), found["biases"].clone()
        means = []
        for layer in told(range(model.info.layers), "shares of the neurons, layer"):
            values = model.values(layer)
            total = torch.zeros_like(values[:, 0])
            for at, case in enumerate(split.cases):
                amount = case.run.coefficients[layer] * case.run.scales[layer]
                shares = amount * (values @ case.toward.to(values.device))
                neurons[at] += shares.sum().item()
                biases[at] += (case.run.ffn_rest(model, layer) @ case.toward).item()
                total = total + shares
            means.append(total / len(split.cases))
        sums = {name: each for name, each in found.items() if name not in ("ffn", "biases")}
        return cls(split, torch.stack(means), sums | {"neurons": neurons, "biases": biases})

    @torch.no_grad()
    def rows(self, flat: Tensor, kept: Directions) -> list[dict[str, Any]]:
        """Rows of the neurons at flat indices [c]."""
        model, cases = self.split.model, self.split.cases
        layers, neurons = flat // model.info.neurons, flat % model.info.neurons
        shares, gained, amounts = [], [], torch.zeros(len(flat), device=flat.device)
        directions = torch.empty(0)
        for case in cases:
            checkpoint()
            scored = Scored.prepare(case.run, case.readout, case.encoded.first)
            directions = kept.of(case.readout, flat)  # [c, V]
            gained.append(exact((scored,), directions, layers, neurons)[0])
            amount = scored.effective()[layers, neurons]
            amounts += amount
            tokens = [*case.encoded.first, *case.encoded.wrong]
            shares.append(amount * (directions[:, tokens] @ case.factors))
        best = (directions * torch.where(amounts < 0, -1.0, 1.0)[:, None]).topk(TOKENS_SHOWN)
        found, both = [], (torch.stack(shares), torch.stack(gained))  # [C, c]
        for at, (layer, neuron) in enumerate(zip(layers.tolist(), neurons.tolist(), strict=True)):
            named = {"unit": "neuron", "name": f"L{layer}N{neuron}"}
            named |= {"layer": layer, "neuron": neuron}
            row = self.split.row(named, *(each[:, at] for each in both))
            found.append(row | {"tokens": [*map(model.token, best.indices[at].tolist())]})
        return found


def neurons_work(model: Model, prompts: Sequence[Prompt], top: int, seed: int = 0) -> Work:
    """The neurons that add most to the logit difference or take most from it; one row a neuron.

    Args:
        model: the model.
        prompts: the cases: of several the means, with intervals.
        top: how many.
        seed: of the resamples of intervals.
    """
    split = split_of(model, prompts, seed)
    count, neurons = fitting_top(model, top), _Neurons.of(split)
    flat = neurons.shares.flatten().abs().argsort(descending=True, stable=True)[:count]

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        kept = Directions(model)  # the same neurons are looked at in all cases
        for some in flat.split(CHUNK.get(model.device.type, 256)):
            rows = neurons.rows(some, kept)
            left = [each for each in rows if each["name"] not in done]
            if left:
                yield frame_of(left)

    return Work(count, frames, split.baseline(neurons.sums), memory=_memory(split))


@dataclass(frozen=True)
class _Sources:
    """Heads of the runs of a split, taken apart by the position that each attends to."""

    split: Decomposed
    positions: tuple[int | None, ...]
    tokens: tuple[str | None, ...]

    @torch.no_grad()
    def terms(self, layer: int, heads: Sequence[int]) -> Iterator[tuple[SplitRun, Tensor]]:
        """For each case what some heads of a layer add, by position [heads, n, d]."""
        model = self.split.model
        for case in self.split.cases:
            found = Attention(model, case.encoded.ids).sources(layer, heads).to(model.device)
            yield case, as_added(model, layer, found, case.run)

    def miss(self, layer: int, heads: Sequence[int]) -> float:
        """By how much the terms of a head, together, miss what the head adds."""
        pairs = self.terms(layer, heads)
        found = torch.stack([(each.sum(1) @ case.toward).cpu().double() for case, each in pairs])
        return (found - self.split.shares[layer][:, list(heads)]).abs().max().item()

    @torch.no_grad()
    def frame(self, layer: int, heads: Sequence[int]) -> pl.DataFrame:
        """Rows of some heads of a layer."""
        shares: list[Tensor] = []
        asked: list[Added] = []
        for case, found in self.terms(layer, heads):
            places = [found.sum(1) if each is None else found[:, each] for each in self.positions]
            terms = torch.stack(places, 1).flatten(0, 1)  # [heads · positions, d]
            shares.append(terms @ case.toward)
            asked.append((case, case.run.entering[layer], terms))
        both = torch.stack(shares), torch.stack(increases(asked))
        rows = []
        named_places = zip(self.positions, self.tokens, strict=True)
        for at, (head, (position, token)) in enumerate(product(heads, named_places)):
            ref = HeadRef(layer, head)
            name = f"{ref}" if position is None else f"{ref}@{position}"
            named = {"unit": "source", "name": name, "layer": layer, "head": head}
            named |= {"position": position, "token": token}
            rows.append(self.split.row(named, *(each[:, at] for each in both)))
        return frame_of(rows)


def sources_work(
    model: Model,
    prompts: Sequence[Prompt],
    heads: Sequence[HeadRef],
    positions: Positions = "each",
    seed: int = 0,
) -> Work:
    """Take heads apart by the position that each attends to; one row a head and a position.

    Args:
        model: the model.
        prompts: the cases: of several the means, with intervals.
        heads: which heads.
        positions: which of the positions; of all together a head has one row.
        seed: of the resamples of intervals.

    Raises:
        InputError: there is no such head or position.
    """
    for head in heads:
        model.info.check_head(head)
    split = split_of(model, prompts, seed)
    encoded = [case.encoded for case in split.cases]
    places = positions_of(encoded, positions)
    sources = _Sources(split, places, tuple(token_at(model, encoded, each) for each in places))
    by_layer = {
        layer: [each.index for each in heads if each.layer == layer]
        for layer in sorted({each.layer for each in heads})
    }
    misses = [sources.miss(*each) for each in told(by_layer.items(), "sources of heads, layer")]

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for layer, here in by_layer.items():
            checkpoint()
            frame = sources.frame(layer, here).filter(~pl.col("name").is_in(list(done)))
            if frame.height:
                yield frame

    baseline = split.baseline() | {"sources_off": max(misses)}
    longest = max(len(each.ids) for each in encoded)
    memory = _memory(split) + peak_bytes(model, longest)
    return Work(len(heads) * len(places), frames, baseline, memory=memory)


def _memory(split: Decomposed) -> int:
    """Roughly the most bytes that a split takes: what is kept of each run, and logits at once."""
    info = split.model.info
    runs = len(split.cases) * info.layers * (5 * info.width + info.neurons) * FLOAT32
    return runs + 4 * CHUNK.get(split.model.device.type, 256) * info.vocabulary * FLOAT32
