"""How much memory a step will take beyond the model: told before it runs.

Rough on purpose: the largest tensors that live at the same time, counted in the dtype they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.methods.importance import AT_ONCE, CLOSELY, FAVOURED
from analysis.model.packing import PACK_NODES
from analysis.model.weights import CHUNK

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from analysis.changing.tuning import Tuning
    from analysis.model.model import Model
    from analysis.model.tokens import Encoded

_FLOAT = 4
KEPT_BYTES = 2**30
"""Clean residual streams that training keeps; what goes beyond is computed again each time."""


def sweep_bytes(model: Model, packs: int, nodes: int, scored: int, rows: int) -> int:
    """Peak of a head sweep.

    Args:
        model: the model.
        packs: packed sequences whose clean residual streams are kept.
        nodes: tokens in the largest of them.
        scored: answer tokens scored in the largest of them.
        rows: heads that travel in one batch.
    """
    info = model.info
    size = model.hf.dtype.itemsize
    kept = packs * nodes * info.width * (info.layers + 1) * size
    # In a layer: residual and normed copies, queries to outputs, gate, up and their product.
    layer = rows * nodes * (6 * info.width + 3 * info.neurons) * size
    attention = rows * info.heads * nodes * nodes * size
    logits = 2 * rows * scored * info.vocabulary * _FLOAT
    # The estimates' backward pass keeps every layer's activations of one row.
    backward = nodes * info.layers * (8 * info.width + 4 * info.neurons) * size
    return kept + max(layer + attention, logits, backward)


def scores_bytes(model: Model, runs: int, chunk: int, promising: int) -> int:
    """Peak of scoring neurons.

    Args:
        model: the model.
        runs: in how many runs.
        chunk: neurons scored exactly at once.
        promising: neurons whose bounds are looked at closely.
    """
    info = model.info
    base = 3 * runs * info.layers * info.vocabulary * _FLOAT
    # Every neuron of a layer with few tokens; twice its share of the promising ones with many.
    close = min(2 * promising // info.layers, info.neurons, AT_ONCE)
    bounds = 4 * max(info.neurons * FAVOURED, close * min(CLOSELY, info.vocabulary)) * _FLOAT
    exact = 4 * chunk * info.vocabulary * _FLOAT
    copied = 0 if model.hf.dtype.itemsize == _FLOAT else info.vocabulary * info.width * _FLOAT
    # A layer's values, where packed weights must be asked for them.
    asked = 0 if info.weights is None else info.neurons * (info.width + CHUNK) * _FLOAT
    return base + max(bounds, exact) + copied + asked


def hidden_bytes(model: Model, attention_layers: int, neurons: int, rows: int, few: int) -> int:
    """Peak of counting concept tokens behind attention layers.

    Args:
        model: the model.
        attention_layers: how many layers' maps are kept.
        neurons: neurons read together.
        rows: vectors compared with the whole vocabulary at once.
        few: tokens that the bounds look at.
    """
    info = model.info
    copied = 0 if model.hf.dtype.itemsize == _FLOAT else info.vocabulary * info.width * _FLOAT
    maps = attention_layers * info.width * info.width * _FLOAT
    # The values behind every layer, and what norming them makes on the way.
    vectors = 4 * (attention_layers + 1) * min(neurons, info.neurons) * info.width * _FLOAT
    logits = 2 * max(rows * info.vocabulary, neurons * few) * _FLOAT
    return copied + maps + few * info.width * _FLOAT + vectors + logits


def training_bytes(
    model: Model,
    begins: Collection[int],
    train: Sequence[Encoded],
    others: Sequence[Encoded],
    tuning: Tuning,
) -> int:
    """Peak of training LoRA.

    Args:
        model: the model.
        begins: the lowest layer of each adapter.
        train: cases to train on.
        others: cases to choose by and to test on.
        tuning: rank and size of a batch.
    """
    info = model.info
    size = model.hf.dtype.itemsize
    # As if no two prompts shared a token.
    lengths = sorted(len(each.ids) + len(each.answer_ids) for each in train)
    cases = [*train, *others]
    every = sum(len(each.ids) + len(each.answer_ids) for each in cases)
    nodes = min(sum(lengths[-tuning.batch :]), PACK_NODES.get(model.device.type, 1_024))
    answers = sum(sorted(len(each.answer_ids) for each in train)[-tuning.batch :])
    kept = min(3 * KEPT_BYTES, every * info.width * len(begins) * size)
    above = info.layers - min(begins)
    activations = nodes * above * (10 * info.width + 4 * info.neurons) * size
    attention = above * info.heads * nodes * nodes * size
    logits = 4 * answers * info.vocabulary * _FLOAT
    return kept + activations + attention + logits
