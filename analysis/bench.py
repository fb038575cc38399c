"""Each fast path beside its plain twin, on the same model in the same process.

The plain twins are the obvious way to compute the same numbers: one hooked forward a head, and
every neuron's log-probability over the whole vocabulary, run by run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import psutil
import torch
from torch import Tensor

from analysis.head_sweep import all_heads
from analysis.importance import Scored
from analysis.interventions import Intervention
from analysis.plain import plain_scores
from analysis.prompts import Prompt, PromptSet
from analysis.scoring import with_answers
from analysis.step import Step
from analysis.steps import CnaStep, HeadsStep
from analysis.trace import trace

if TYPE_CHECKING:
    from analysis.model import Model

CHUNK = 256
Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """A fast path measured beside its plain twin."""

    fast_s: float
    plain_s: float
    ratio: float
    max_difference: float
    """Largest absolute difference between corresponding numbers, nats."""
    peak_mb: float
    """Most memory the fast path took beyond what was in use before it."""
    plain_peak_mb: float
    """The same of the plain twin."""


class Peak:
    """Memory taken since the start of a measurement, in megabytes."""

    mb: float = 0.0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure the most memory in use while the block runs, beyond what was before."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        torch.cuda.synchronize(device)
        peak.mb = (torch.cuda.max_memory_allocated(device) - before) / 1e6
        return
    process, ended = psutil.Process(), threading.Event()
    start = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(0.01):
            peak.mb = max(peak.mb, (process.memory_info().rss - start) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def bench_heads(model: Model, prompts: PromptSet, say: Say) -> dict[str, Any]:
    """The head sweep: packed and resumed, against one hooked forward a head.

    Returns:
        `heads`, a comparison of the whole sweep, and `heads_top5`: seconds until the five
        heads that matter most are exact, against the end of the plain sweep.
    """
    step = HeadsStep(prompts=prompts)
    say("head sweep, fast")
    fast: dict[str, tuple[float, list[float]]] = {}
    with peak_memory(model.device) as fast_peak:
        begun = time.perf_counter()
        work = step.start(model)
        for table in work.frames(()):
            at = time.perf_counter() - begun
            names, values = table["name"].to_list(), table["prompt_logprob"].to_list()
            fast |= {name: (at, value) for name, value in zip(names, values, strict=True)}
        fast_s = time.perf_counter() - begun

    say("head sweep, plain: one hooked forward a head")
    encoded = with_answers(model, prompts.prompts)
    plain: dict[str, Tensor] = {}
    with peak_memory(model.device) as plain_peak:
        begun = time.perf_counter()
        for ref in all_heads(model):
            plain[str(ref)] = plain_scores(model, encoded, (ref,)).logprob[0]
        plain_s = time.perf_counter() - begun

    difference = max(
        (torch.tensor(fast[name][1]) - values).abs().max().item() for name, values in plain.items()
    )
    top = sorted(plain, key=lambda name: plain[name].mean().item())[:5]
    top_s = max(fast[name][0] for name in top)
    whole = Comparison(fast_s, plain_s, plain_s / fast_s, difference, fast_peak.mb, plain_peak.mb)
    return {
        "heads": asdict(whole),
        "heads_top5": {"fast_s": top_s, "plain_s": plain_s, "ratio": plain_s / top_s, "heads": top},
    }


def bench_cna(
    model: Model, prompt: Prompt, ablate: Intervention, top: int, say: Say
) -> dict[str, Any]:
    """CNA: certified top k, against scoring every neuron in both runs.

    Returns:
        `cna`, a comparison; whether the names agree is part of it as `same_names`.
    """
    step = CnaStep(prompt=prompt, ablate=ablate, top=top)
    say("CNA, fast: certified top k; the first time on a model")
    begun = time.perf_counter()
    list(step.run(model))
    first_s = time.perf_counter() - begun
    say("CNA, fast: again")
    with peak_memory(model.device) as fast_peak:
        begun = time.perf_counter()
        rows = pl.concat(step.run(model))
        fast_s = time.perf_counter() - begun

    say("CNA, plain: every neuron over the whole vocabulary, run by run")
    with peak_memory(model.device) as plain_peak:
        begun = time.perf_counter()
        change = plain_change(model, prompt, ablate).flatten()
        plain_s = time.perf_counter() - begun
    order = change.argsort(descending=True, stable=True)[:top]
    names = [f"L{i // model.info.neurons}N{i % model.info.neurons}" for i in order.tolist()]
    values = torch.tensor(rows["importance_change"].to_list())
    difference = (values - change[order].cpu()).abs().max().item()
    whole = Comparison(fast_s, plain_s, plain_s / fast_s, difference, fast_peak.mb, plain_peak.mb)
    found = {"same_names": set(names) == set(rows["name"]), "top": top, "first_s": first_s}
    return {"cna": asdict(whole) | found}


@torch.no_grad()
def plain_change(model: Model, prompt: Prompt, ablate: Intervention) -> Tensor:
    """Every neuron's importance in the intact run minus that in the ablated one [L, N]."""
    (encoded,) = with_answers(model, [prompt])
    intact = trace(model, encoded.ids)
    readout = intact.freeze(model)
    token = encoded.answer_ids[0]
    runs = (intact, trace(model, encoded.ids, [ablate]))
    first, second = (plain_importance(model, Scored.prepare(run, readout, token)) for run in runs)
    return first - second


@torch.no_grad()
def plain_importance(model: Model, scored: Scored) -> Tensor:
    """Every neuron's importance in one run [L, N], by adding its contribution to the residual."""
    amounts = scored.effective()
    layers = []
    for layer in range(model.info.layers):
        values = model.values(layer)
        residual = scored.run.before_ffn(layer)
        before = scored.readout.log_prob(scored.readout.logits(residual), scored.token)
        parts = []
        for start in range(0, len(values), CHUNK):
            some = slice(start, start + CHUNK)
            after = residual + amounts[layer, some, None] * values[some]
            logits = scored.readout.logits(after)
            parts.append(scored.readout.log_prob(logits, scored.token) - before)
        layers.append(torch.cat(parts))
    return torch.stack(layers)


def bench_growth(model: Model, prompts: PromptSet, case: Prompt, say: Say) -> list[dict[str, Any]]:
    """How the fast paths grow with prompts, with heads and with the neurons asked for."""
    rows = []
    heads = tuple(all_heads(model))
    some = heads[:: max(1, len(heads) // 30)]
    for count in sorted({max(1, len(prompts) // 4), max(1, len(prompts) // 2), len(prompts)}):
        few = prompts.model_copy(update={"prompts": prompts.prompts[:count]})
        say(f"growth: {count} prompts")
        seconds = _timed(HeadsStep(prompts=few, heads=some), model)
        rows.append({"path": "heads", "grows": "prompts", "count": count, "seconds": seconds})
    for share in (4, 2, 1):
        chosen = some[::share]
        say(f"growth: {len(chosen)} heads")
        seconds = _timed(HeadsStep(prompts=prompts, heads=chosen), model)
        rows.append({"path": "heads", "grows": "heads", "count": len(chosen), "seconds": seconds})
    total = model.info.layers * model.info.neurons
    head = Intervention(heads=(heads[-1],))
    for top in (10, 100, 1_000):
        if top > total:
            break
        say(f"growth: top {top} neurons")
        seconds = _timed(CnaStep(prompt=case, ablate=head, top=top), model)
        rows.append({"path": "cna", "grows": "top neurons", "count": top, "seconds": seconds})
    return rows


def _timed(step: Step, model: Model) -> float:
    begun = time.perf_counter()
    for _ in step.run(model):
        pass
    return time.perf_counter() - begun
