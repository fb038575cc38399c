"""Each fast path beside its plain twin, on the same model in the same process.

The plain twins are the obvious way to compute the same numbers: one hooked forward a head, and
every neuron's log-probability over the whole vocabulary, run by run. A fast path pays for all it
does: encoding, the intact run, the estimates shown first, the rows it yields.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.bench.measure import Measured, clocked, measured
from analysis.interventions import Intervention
from analysis.methods.heads import all_heads, batches, sweep_work
from analysis.methods.importance import Geometry, Scored
from analysis.methods.neurons import cna_work
from analysis.model.forward import intervening
from analysis.model.passes import Scores, per_prompt, score_tokens, with_answers
from analysis.model.random_model import random_model
from analysis.model.tokens import Encoded
from analysis.model.trace import trace
from analysis.progress import checkpoint
from analysis.refs import HeadRef
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.bench.peer import TransformerLens
    from analysis.model.model import Model

CHUNK = 256
"""Neurons the plain CNA scores at once."""
Tell = Callable[[str, int, int], None]
"""Takes what is being measured, and how much is done of how much."""
Logprobs = dict[str, Tensor]
"""By the name of the head ablated the log-probability of each answer [P]."""
LogprobsWithout = Callable[[Sequence[Encoded], HeadRef], Tensor]
"""Log-probability of each answer [P] with one head ablated."""


def compared(fast: Measured, plain: Measured, difference: Tensor, forecast: int) -> dict[str, Any]:
    """A fast path beside its plain twin, as JSON.

    Args:
        fast: the fast path's seconds and memory beyond what was in use before.
        plain: the plain twin's.
        difference: of corresponding numbers, any shape, in nats.
        forecast: bytes the fast path had said it would take.
    """
    return {
        "fast_s": fast.seconds,
        "plain_s": plain.seconds,
        "ratio": plain.seconds / fast.seconds,
        "max_difference": difference.abs().max().item(),
        "peak_mb": fast.peak_mb,
        "forecast_mb": forecast / 1e6,
        "plain_peak_mb": plain.peak_mb,
    }


def bench_heads(
    model: Model,
    prompts: PromptSet,
    tell: Tell,
    peer: TransformerLens | None = None,
    peer_heads: int | None = None,
) -> dict[str, Any]:
    """The head sweep: packed and resumed, against one hooked forward a head.

    Args:
        model: the model.
        prompts: what each head is ablated on.
        tell: takes what is being measured, and how much is done of how much.
        peer: another library to run the same sweep in.
        peer_heads: measure the peer on so many heads only and scale up.

    Returns:
        `heads`, a comparison of the whole sweep; `heads_top5`, seconds until the five heads that
        matter most are exact, against the end of the plain sweep; and `peer`, where there is one.
    """
    stage = "head sweep, fast: packed and resumed"
    arrived: dict[str, float] = {}
    found: Logprobs = {}
    with measured(model.device) as fast:
        work = sweep_work(model, prompts.prompts)
        for table in work.frames(()):
            rows = zip(table["name"], table["prompt_logprob"].to_list(), strict=True)
            found |= {name: torch.tensor(values) for name, values in rows}
            arrived |= dict.fromkeys(table["name"], fast.so_far())
            tell(stage, len(found), work.expected)

    def plain_logprobs(encoded: Sequence[Encoded], ref: HeadRef) -> Tensor:
        return plain_scores(model, encoded, (ref,)).logprob[0]

    stage = "head sweep, plain: one hooked forward a head"
    heads = all_heads(model)
    plain, values = one_by_one(model, prompts, heads, plain_logprobs, stage, tell)
    by_prompt = torch.stack([found[name] - values[name] for name in values]).abs().max().item()
    top = sorted(values, key=lambda name: values[name].mean().item())[:5]
    top_s = max(arrived[name] for name in top)
    report: dict[str, Any] = {
        "heads": compared(fast, plain, _apart(found, values), work.memory)
        | {"max_prompt_difference": by_prompt},
        "heads_top5": {
            "fast_s": top_s,
            "plain_s": plain.seconds,
            "ratio": plain.seconds / top_s,
            "heads": top,
        },
    }
    if peer is not None:
        some = heads if peer_heads is None else spread(heads, peer_heads)
        report["peer"] = _beside_peer(model, prompts, tell, peer, some, fast, found)
    return report


def _apart(found: Logprobs, others: Logprobs) -> Tensor:
    """Differences of rows' mean log-probabilities and mean probabilities [2, heads]."""
    pairs = [(found[name].double(), others[name].double()) for name in others]
    return torch.tensor(
        [
            [ours.mean() - theirs.mean() for ours, theirs in pairs],
            [ours.exp().mean() - theirs.exp().mean() for ours, theirs in pairs],
        ]
    )


def _beside_peer(
    model: Model,
    prompts: PromptSet,
    tell: Tell,
    peer: TransformerLens,
    some: Sequence[HeadRef],
    fast: Measured,
    found: Logprobs,
) -> dict[str, Any]:
    """The same sweep in another library, on some heads and scaled up to all."""
    # Ours were warmed up when the time was estimated.
    peer.logprobs_without(with_answers(model, prompts.prompts), some[0])
    stage = f"head sweep in {peer.name} {peer.version}"
    theirs, values = one_by_one(model, prompts, some, peer.logprobs_without, stage, tell)
    seconds = theirs.seconds * len(found) / len(some)
    return {
        "name": peer.name,
        "version": peer.version,
        "fast_s": fast.seconds,
        "plain_s": seconds,
        "ratio": seconds / fast.seconds,
        "max_difference": _apart(found, values).abs().max().item(),
        "plain_peak_mb": theirs.peak_mb,
        "heads": len(some),
        "scaled_up": len(some) < len(found),
    }


def one_by_one(
    model: Model,
    prompts: PromptSet,
    heads: Sequence[HeadRef],
    without: LogprobsWithout,
    stage: str,
    tell: Tell,
) -> tuple[Measured, Logprobs]:
    """A sweep that runs the model once for each head: what it took, and what it found."""
    found: Logprobs = {}
    with measured(model.device) as took:
        encoded = with_answers(model, prompts.prompts)
        for ref in heads:
            found[str(ref)] = without(encoded, ref)
            tell(stage, len(found), len(heads))
    return took, found


def spread(heads: Sequence[HeadRef], count: int) -> list[HeadRef]:
    """So many heads, evenly over the layers."""
    count = min(count, len(heads))
    return [heads[(2 * place + 1) * len(heads) // (2 * count)] for place in range(count)]


def bench_cna(
    model: Model, prompt: Prompt, ablate: Intervention, top: int, tell: Tell
) -> dict[str, Any]:
    """CNA: certified top k, against scoring every neuron in both runs.

    Returns:
        `cna`: a comparison of a model's second and later CNA; `first_s` and `first_ratio` of the
        first one, which also reads the weights once; whether both find the same neurons.
    """
    model.forget()  # what an earlier analysis worked out of the weights
    taken = []
    for stage in ("CNA, fast: certified top k, the first on this model", "CNA, fast: again"):
        tables = []
        with measured(model.device) as took:
            work = cna_work(model, prompt, [ablate], top=top)
            for table in work.frames(()):
                tables.append(table)
                tell(stage, sum(each.height for each in tables), work.expected)
        taken.append(took)
    first, fast = taken
    rows = pl.concat(tables)

    stage = "CNA, plain: every neuron over the whole vocabulary, run by run"
    with measured(model.device) as plain:
        change = plain_change(model, prompt, ablate, lambda *done: tell(stage, *done)).flatten()
    change = change.cpu()
    largest = change.argsort(descending=True, stable=True)[: rows.height]
    flat = rows["layer"].cast(pl.Int64) * model.info.neurons + rows["neuron"]
    named = torch.tensor(flat.to_list())
    values = torch.tensor(rows["importance_change"].to_list())
    # Neuron by neuron, and rank by rank: the second tells if a larger one was missed.
    difference = torch.cat([values - change[named], values - change[largest]])
    return {
        "cna": compared(fast, plain, difference, work.memory)
        | {
            "first_s": first.seconds,
            "first_ratio": plain.seconds / first.seconds,
            "same_names": set(named.tolist()) == set(largest.tolist()),
            "top": rows.height,
        }
    }


@torch.no_grad()
def plain_change(
    model: Model,
    prompt: Prompt,
    ablate: Intervention,
    tell: Callable[[int, int], None] = lambda done, expected: None,
) -> Tensor:
    """Every neuron's importance in the intact run minus that in the ablated one [L, N]."""
    (encoded,) = with_answers(model, [prompt])
    intact = trace(model, encoded.ids)
    readout = intact.freeze(model)
    token = encoded.answer_ids[0]
    runs = (intact, trace(model, encoded.ids, [ablate]))
    layers: list[Tensor] = []
    for run in runs:
        for layer in plain_importance(model, Scored.prepare(run, readout, token)):
            layers.append(layer)
            tell(len(layers), len(runs) * model.info.layers)
    first, second = torch.stack(layers).chunk(2)
    return first - second


def plain_importance(model: Model, scored: Scored) -> Iterator[Tensor]:
    """Every neuron's importance in one run, layer by layer [N]: add it to the residual and look."""
    amounts = scored.effective()
    for layer in range(model.info.layers):
        values = model.values(layer)
        residual = scored.run.before_ffn(layer)
        before = scored.log_prob(scored.readout.logits(residual))
        parts = []
        for start in range(0, len(values), CHUNK):
            checkpoint()
            some = slice(start, start + CHUNK)
            after = residual + amounts[layer, some, None] * values[some]
            logits = scored.readout.logits(after)
            parts.append(scored.log_prob(logits) - before)
        yield torch.cat(parts)


@torch.no_grad()
def plain_scores(
    model: Model,
    encoded: Sequence[Encoded],
    heads: Sequence[HeadRef],
    means: Mapping[int, Tensor] | None = None,
) -> Scores:
    """Scores [1, P] of the model with these heads ablated together."""
    return intervened_scores(model, encoded, [Intervention(heads=tuple(heads))], means)


@torch.no_grad()
def intervened_scores(
    model: Model,
    encoded: Sequence[Encoded],
    interventions: Sequence[Intervention],
    means: Mapping[int, Tensor] | None = None,
) -> Scores:
    """Scores [1, P] of the model with these interventions."""
    logprob = torch.zeros(1, len(encoded))
    correct = torch.zeros(1, len(encoded), dtype=torch.bool)
    with intervening(model.parts, interventions, means):
        for places, tokens, answers in batches(model, encoded):
            checkpoint()
            keep = answers.shape[1]
            output = model.hf(input_ids=tokens, use_cache=False, logits_to_keep=keep + model.behind)
            logits = output.logits[:, -keep - model.behind :][:, :keep]
            scored, matched = score_tokens(logits, answers)
            row = per_prompt(scored.flatten()[None], matched.flatten()[None], [keep] * len(places))
            logprob[:, places] = row.logprob
            correct[:, places] = row.correct
    return Scores(logprob, correct)


HEADS = 30
"""Heads swept, evenly over the layers, where the number of prompts grows."""
TOPS = (10, 100, 1_000)
SIZES = (512, 1_024, 2_048, 4_096)
"""Neurons a layer of the random models that show growth with the size of a model."""
SIZED = "llama-small"
"""What else these models are like."""


def bench_growth(
    model: Model, prompts: PromptSet, case: Prompt, ablate: Intervention, tell: Tell
) -> list[dict[str, Any]]:
    """How the head sweep grows with prompts and heads, and CNA with neurons asked for and had.

    Returns:
        Rows of `path`, `grows`, `count`, `seconds`; `plain_s` where the plain twin ran too.
    """
    model.once(Geometry.of)  # worked out once a model, by whichever CNA comes first
    jobs: list[tuple[str, str, int, Callable[[], Work]]] = []
    some, cases = spread(all_heads(model), HEADS), prompts.prompts
    for share in (4, 2, 1):
        few = cases[: -(-len(cases) // share)]
        jobs.append(("heads", "prompts", len(few), partial(sweep_work, model, few, some)))
    for share in (4, 2, 1):
        chosen = spread(some, -(-len(some) // share))
        jobs.append(("heads", "heads", len(chosen), partial(sweep_work, model, cases, chosen)))
    total = model.info.layers * model.info.neurons
    jobs += [
        ("cna", "top", top, partial(cna_work, model, case, [ablate], top=top))
        for top in TOPS
        if top <= total
    ]
    rows: list[dict[str, Any]] = []
    for path, grows, count, begin in jobs:
        tell(f"growth: {path}, {grows}", len(rows), len(jobs))
        seconds = _seconds_of(begin, model)
        rows.append({"path": path, "grows": grows, "count": count, "seconds": seconds})
    return rows + model_sizes(model, case, tell)


def model_sizes(like: Model, case: Prompt, tell: Tell) -> list[dict[str, Any]]:
    """CNA and its plain twin on random models with more and more neurons."""
    rows = []
    for place, neurons in enumerate(SIZES):
        tell("growth: cna, neurons of a random model", place, len(SIZES))
        device, dtype = str(like.device), like.info.dtype
        model = random_model(SIZED, neurons=neurons, dtype=dtype, device=device)
        ablate = Intervention(heads=(all_heads(model)[0],))
        model.once(Geometry.of)
        seconds = _seconds_of(partial(cna_work, model, case, [ablate], top=100), model)
        with clocked(model.device) as plain:
            plain_change(model, case, ablate)
        row = {"path": "cna", "grows": "neurons", "count": neurons * model.info.layers}
        rows.append(row | {"seconds": seconds, "plain_s": plain.seconds})
    return rows


def expected_seconds(
    model: Model,
    prompts: PromptSet,
    case: Prompt,
    parts: Collection[str],
    peer_heads: int = 0,
) -> float:
    """Roughly how long a benchmark will take: one small piece of each twin, timed and counted up.

    This also warms up both ways, so that neither pays for what is loaded on first use.

    Args:
        model: the model.
        prompts: of the head sweep.
        case: of CNA.
        parts: which of `heads`, `cna` and `growth` will run.
        peer_heads: how many heads will be measured in another library.
    """
    heads = all_heads(model)
    middle = heads[len(heads) // 2]
    seconds = dict.fromkeys(("heads", "cna", "growth"), 0.0)
    if "heads" in parts or "growth" in parts:
        _seconds_of(partial(sweep_work, model, prompts.prompts, [middle]), model)
        encoded = with_answers(model, prompts.prompts)
        one = min(_timed(lambda: plain_scores(model, encoded, (middle,)), model) for _ in range(2))
        # The fast sweep takes about a fifth of the plain one, another library somewhat longer.
        seconds["heads"] = one * (1.2 * len(heads) + 1.4 * peer_heads)
        seconds["growth"] = one * 3.5 * HEADS / 5
    if "cna" in parts or "growth" in parts:
        (encoded_case,) = with_answers(model, [case])
        run = trace(model, encoded_case.ids)
        readout = run.freeze(model)
        residual = run.final.expand(CHUNK, -1)
        one = min(
            _timed(lambda: readout.log_prob(readout.logits(residual), [0]), model) for _ in "ab"
        )
        chunks = -(-model.info.neurons // CHUNK) * model.info.layers
        seconds["cna"] = one * 2 * chunks * 1.3
        seconds["growth"] += seconds["cna"] * 0.3 + 15
    return sum(seconds.get(part, 0.0) for part in parts)


def _seconds_of(begin: Callable[[], Work], model: Model) -> float:
    """How long work takes from its start to its last row."""

    def run() -> None:
        for _ in begin().frames(()):
            pass

    return _timed(run, model)


def _timed(work: Callable[[], object], model: Model) -> float:
    with clocked(model.device) as took:
        work()
    return took.seconds
