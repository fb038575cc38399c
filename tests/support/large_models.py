"""Sweeps and rankings of the size of real models, with made-up numbers; no such model is needed."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.model.info import ModelInfo, Parity
from analysis.steps import HeadsStep, NeuronsStep
from analysis.tasks.standard import task
from screens.workspace import InMemory, Result, Workspace

PROMPTS = task("add1", shots=2)
INTACT = -0.178
"""Log-probability of the answers with all heads in place."""


def info(layers: int, heads: int, neurons: int) -> ModelInfo:
    """A model of that shape."""
    return ModelInfo(
        name=f"large-{layers}x{heads}",
        source="made-up",
        family="llama",
        architecture="LlamaForCausalLM",
        dtype="bfloat16",
        device="cuda",
        layers=layers,
        heads=heads,
        kv_heads=heads,
        neurons=neurons,
        width=heads * 128,
        vocabulary=32_000,
        context=4_096,
        parameters=0,
        parity=Parity(logits=1e-3, residual=1e-3, neurons=1e-3),
    )


def sweep(layers: int, heads: int, exact: float = 1.0) -> Result:
    """A head sweep: most heads hardly matter, a few in the upper half do.

    Args:
        layers: of the model.
        heads: a layer.
        exact: share of the heads, from the first layer on, whose numbers are exact; the others
            are estimates.
    """
    random = np.random.default_rng(7)
    change = random.normal(0, 0.02, (layers, heads))
    for layer, head, harm in zip(
        random.integers(layers // 2, layers, 12),
        random.integers(0, heads, 12),
        -np.geomspace(2.4, 0.3, 12),
        strict=True,
    ):
        change[layer, head] = harm
    frame = pl.DataFrame(
        {
            "name": [f"L{layer}H{head}" for layer in range(layers) for head in range(heads)],
            "layer": np.repeat(np.arange(layers), heads),
            "head": np.tile(np.arange(heads), layers),
            "logprob": INTACT + change.ravel(),
        }
    ).with_columns(accuracy=pl.col("logprob").exp(), prob=pl.col("logprob").exp())
    done = round(exact * frame.height)
    return Result(
        id="001-heads",
        step=HeadsStep(prompts=PROMPTS),
        state="done" if done == frame.height else "stopped",
        held=InMemory(frame.head(done), frame),
        baseline={"accuracy": 1.0, "logprob": INTACT, "prob": float(np.exp(INTACT))},
        expected=frame.height,
        model=info(layers, heads, 11_008),
    )


WORDS = ["eight", " eight", "VIII", "octo", "nine", "seven", "the", " of", "\n", "3"]


def ranking(layers: int, neurons: int, exact: int = 100) -> Result:
    """An importance ranking of all neurons, `exact` of them exact and the others estimates."""
    random = np.random.default_rng(7)
    size = layers * neurons
    layer = np.repeat(np.arange(layers), neurons)
    index = np.tile(np.arange(neurons), layers)
    importance = random.standard_t(2, size) * 0.003 * (1 + layer / layers)
    said = [random.permutation(WORDS)[:5].tolist() for _ in range(50)]
    frame = pl.DataFrame({"layer": layer, "neuron": index, "importance": importance}).select(
        pl.format("L{}N{}", "layer", "neuron").alias("name"),
        pl.col("layer", "neuron").cast(pl.Int32),
        "importance",
        pl.Series("coefficient", random.normal(0, 4, size)),
    )
    best = frame.top_k(exact, by="importance").with_columns(
        pl.Series("tokens", [said[place % 50] for place in range(exact)])
    )
    return Result(
        id="002-neurons",
        step=NeuronsStep(prompt=PROMPTS.prompts[0], top=exact),
        state="done",
        held=InMemory(best, frame),
        baseline={"answer": "8", "prob": 0.992},
        expected=exact,
        model=info(layers, 32, neurons),
    )


def workspace(*results: Result) -> Workspace:
    """A workspace that has these."""
    found = Workspace(PROMPTS)
    found.model = results[0].model
    found.results = list(results)
    found.replaying = True
    return found
