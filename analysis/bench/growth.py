"""How the fast paths grow, and how long a benchmark will take."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from analysis.bench.measure import clocked
from analysis.bench.sweeps import CHUNK, Tell, plain_change, spread
from analysis.interventions import Intervention
from analysis.methods.heads import all_heads
from analysis.methods.plain import plain_scores
from analysis.model.random_model import random_model
from analysis.model.scoring import with_answers
from analysis.model.trace import trace
from analysis.step import Step
from analysis.steps import CnaStep, HeadsStep
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

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
    model.geometry  # noqa: B018 – worked out once a model, by whichever CNA comes first
    jobs: list[tuple[str, str, int, Step]] = []
    some = tuple(spread(all_heads(model), HEADS))
    for share in (4, 2, 1):
        few = prompts.model_copy(update={"prompts": prompts.prompts[: -(-len(prompts) // share)]})
        jobs.append(("heads", "prompts", len(few), HeadsStep(prompts=few, heads=some)))
    for share in (4, 2, 1):
        chosen = tuple(spread(some, -(-len(some) // share)))
        jobs.append(("heads", "heads", len(chosen), HeadsStep(prompts=prompts, heads=chosen)))
    total = model.info.layers * model.info.neurons
    jobs += [
        ("cna", "top", top, CnaStep(prompt=case, ablate=ablate, top=top))
        for top in TOPS
        if top <= total
    ]
    rows: list[dict[str, Any]] = []
    for path, grows, count, step in jobs:
        tell(f"growth: {path}, {grows}", len(rows), len(jobs))
        seconds = _seconds_of(step, model)
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
        model.geometry  # noqa: B018
        seconds = _seconds_of(CnaStep(prompt=case, ablate=ablate, top=100), model)
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
        _seconds_of(HeadsStep(prompts=prompts, heads=(middle,)), model)
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
    return sum(seconds[part] for part in parts)


def _seconds_of(step: Step, model: Model) -> float:
    """How long a step takes from its start to its last row."""

    def run() -> None:
        for _ in step.run(model):
            pass

    return _timed(run, model)


def _timed(work: Callable[[], object], model: Model) -> float:
    with clocked(model.device) as took:
        work()
    return took.seconds
