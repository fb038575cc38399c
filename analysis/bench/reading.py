"""Reading a corpus beside the bare forward of the same batches: what looking on costs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from analysis.bench.measure import Measured, measured
from analysis.bench.sweeps import Tell
from analysis.methods.corpus.reading import BATCH, corpus_work
from analysis.methods.corpus.windows import Windows
from analysis.methods.specific import specific
from analysis.progress import checkpoint
from analysis.refs import HeadRef, NeuronRef
from analysis.tasks.corpora import Corpus

if TYPE_CHECKING:
    from analysis.model.model import Model

SHARE = {"cpu": 1 / 64, "cuda": 1.0}
"""How much of the text that comes along is read, by device."""
SOME = 50
"""Parts that are read together."""
WINDOW = 512


def bench_corpus(model: Model, tell: Tell) -> dict[str, Any]:
    """Parts of the last layer, all its neurons, and parts of the middle one, beside bare forwards.

    Returns:
        `corpus`, a comparison for each by name: tokens a second of the reading, of the bare
        forward, and their ratio.
    """
    texts = _beginning(model)
    last, middle = model.info.layers - 1, model.info.layers // 2
    whole = [NeuronRef(last, index) for index in range(model.info.neurons)]
    asked: dict[str, Sequence[HeadRef | NeuronRef]] = {
        "last": _some(model, last),
        "layer": whole,
        "middle": _some(model, middle),
    }
    bare(model, texts[:1])  # what is loaded on first use
    for layer in (last, middle):  # what is worked out of the weights once
        specific(model, model.values(layer, torch.tensor([0]))[0], layer)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text("\n\n".join(texts), "utf-8")
        corpus = Corpus.at(path)
        found = {}
        for place, (name, parts) in enumerate(asked.items()):
            tell("corpus: bare forwards and readings, by turns", place, len(asked))
            found[name] = _beside_bare(model, corpus, texts, parts)
    return {"corpus": found}


def _beside_bare(
    model: Model, corpus: Corpus, texts: Sequence[str], parts: Sequence[HeadRef | NeuronRef]
) -> dict[str, Any]:
    """One reading; how large heads' outputs are is found before the clock runs, once a text."""
    plain, tokens = bare(model, texts)
    work = corpus_work(model, corpus, parts, window=WINDOW)
    with measured(model.device) as read:
        deque(work.frames(()), maxlen=0)
    return {
        "parts": len(parts),
        "tokens": tokens,
        "fast_s": read.seconds,
        "plain_s": plain.seconds,
        "ratio": plain.seconds / read.seconds,
        "peak_mb": read.peak_mb,
        "forecast_mb": work.memory / 1e6,
    }


def expected_reading(model: Model) -> float:
    """Roughly how many seconds that will take, from a few documents."""
    texts = _beginning(model)
    taken, _ = bare(model, texts[:3])
    return 6 * taken.seconds * len("".join(texts)) / len("".join(texts[:3]))


def _beginning(model: Model) -> list[str]:
    share = SHARE.get(model.device.type, SHARE["cpu"])
    documents = takewhile(lambda each: each.share <= share, Corpus.shipped().open()(0))
    return [each.text for each in documents]


def _some(model: Model, layer: int) -> list[HeadRef | NeuronRef]:
    """Neurons of a layer, evenly, and its first heads."""
    heads = [HeadRef(layer, index) for index in range(min(SOME // 5, model.info.heads))]
    count = min(SOME - len(heads), model.info.neurons)
    return [
        *(NeuronRef(layer, place * model.info.neurons // count) for place in range(count)),
        *heads,
    ]


@torch.no_grad()
def bare(model: Model, texts: Sequence[str]) -> tuple[Measured, int]:
    """The whole model on the same batches, nothing looked at and no logits but one a row's."""
    with measured(model.device) as taken:
        windows = Windows(model, WINDOW, BATCH.get(model.device.type, BATCH["cpu"]), 0)
        every = windows.of(texts, 0)
        for batch in windows.batches(every):
            checkpoint()
            model.hf(input_ids=batch.tokens, use_cache=False, logits_to_keep=1)
    return taken, sum(len(each.ids) - each.skip for each in every)
