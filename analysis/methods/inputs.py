"""Which tokens of a prompt the answer comes from, by gradients at their embeddings.

Integrated gradients go from a baseline input, the mean embedding of the vocabulary in the place of
every token, straight to the prompt's own embeddings. Over all tokens they sum to what the metric
gains on the way. A model may turn round within a hundredth of it, where evenly spread gradients
see nothing, so they are taken where the sum misses the gain, which is known of every part of the
way; what is left open in the end is told.

Shapes: B inputs of n tokens, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.methods.edges import measure_of
from analysis.model.forward import after, rewriting
from analysis.model.passes import with_answers
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, tell
from analysis.tasks.metrics import Metric
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.methods.attribution import Measure
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt

AT_ONCE = 512
"""Tokens in one backward pass."""
PARTS = 8
"""Of the way, at first."""
CLOSE, WIDE = 0.02, 1 / 32
"""A part of the way is halved while it misses more than this share of how far the metric moves on
all of it, times its length or this one if that is shorter."""
CHUNK = 8_192
"""Tokens of the vocabulary that are embedded at once."""


def inputs_work(model: Model, prompt: Prompt, steps: int) -> Work:
    """What each token of a prompt adds to the metric, by two methods; one row a token.

    The metric is the logit difference where the case has a wrong answer, else the answer's
    log-probability.

    Args:
        model: the model.
        prompt: the case.
        steps: gradients on the way from the baseline input, at most.
    """
    (encoded,) = with_answers(model, [prompt])
    metric: Metric = "logit_difference" if encoded.wrong else "logprob"
    measure, ids = measure_of(model, encoded, metric), encoded.ids
    own = _embedded(model, torch.tensor([ids], device=model.device))[0]  # [n, d]
    neutral = model.once(mean_embedding).expand_as(own)
    way = _Way(model, ids, neutral, own, measure)
    integrated = way.along(steps).tolist()
    product = (way.slopes[1.0] * own).sum(-1).tolist()
    tokens = [*map(model.token, ids)]
    rows = [
        {
            "name": f"@{place}",
            "position": place,
            "token": token,
            "gradient_input": product[place],
            "integrated": integrated[place],
        }
        for place, token in enumerate(tokens)
    ]

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = [row for row in rows if row["name"] not in done]
        if left:
            yield frame_of(left)

    total = sum(integrated)
    baseline: dict[str, Any] = {
        "answer": model.token(encoded.first[0]),
        "metric": metric,
        metric: way.values[1.0],
        "at_baseline_input": way.values[0.0],
        "difference": way.gained,
        "sum": total,
        "off": abs(total - way.gained),
        "gradients": len(way.values),
        "baseline_input": "the mean embedding at every position",
        "tokens": tokens,
    }
    if encoded.wrong:
        baseline["wrong"] = [*map(model.token, encoded.wrong)]
    info = model.info
    memory = max(AT_ONCE, len(ids)) * info.layers * (10 * info.width + 4 * info.neurons) * FLOAT32
    return Work(len(rows), frames, baseline, memory=memory)


class _Way:
    """The straight way from one input to another, with the gradients at some of its points.

    Args:
        model: the model.
        ids: the prompt's tokens.
        start: [n, d] their embeddings at the beginning.
        end: [n, d] at the end.
        measure: the metric.
    """

    def __init__(
        self, model: Model, ids: tuple[int, ...], start: Tensor, end: Tensor, measure: Measure
    ) -> None:
        self._model, self._ids, self._measure = model, ids, measure
        self._start, self._apart = start, end - start
        self.values: dict[float, float] = {}
        """The metric by the share of the way."""
        self.slopes: dict[float, Tensor] = {}
        """[n, d] its gradient there."""
        self._integrals: dict[tuple[float, float], Tensor] = {}

    @property
    def gained(self) -> float:
        """What the metric gains on the way."""
        return self.values[1.0] - self.values[0.0]

    def look(self, points: Iterable[float]) -> None:
        """Find the metric and its gradient at points of the way."""
        new = [each for each in dict.fromkeys(points) if each not in self.values]
        size = max(1, AT_ONCE // len(self._ids))
        for some in (new[first : first + size] for first in range(0, len(new), size)):
            tell(None, f"gradient {len(self.values) + 1:,}")
            shares = torch.tensor(some).to(self._start)[:, None, None]
            inputs = self._start + shares * self._apart
            values, slopes = gradients(self._model, self._ids, inputs, self._measure)
            self.values |= dict(zip(some, values, strict=True))
            self.slopes |= dict(zip(some, slopes, strict=True))

    def integral(self, first: float, last: float) -> Tensor:
        """[n] what each token adds from one point to another, by Simpson's rule."""
        if (first, last) not in self._integrals:
            middle = (first + last) / 2
            mean = self.slopes[first] + 4 * self.slopes[middle] + self.slopes[last]
            mean = mean * ((last - first) / 6)
            self._integrals[first, last] = (mean * self._apart).sum(-1).double().cpu()
        return self._integrals[first, last]

    def miss(self, first: float, last: float) -> float:
        """By how much the tokens together miss what the metric gains there, which is known."""
        gained = self.values[last] - self.values[first]
        return abs(self.integral(first, last).sum().item() - gained)

    def along(self, most: int) -> Tensor:
        """[n] what each token adds on the whole way.

        Where the tokens miss what the metric gains the way is looked at more closely.

        Args:
            most: gradients at most, about.
        """
        left = [(place / PARTS, (place + 1) / PARTS) for place in range(PARTS)]
        settled: list[tuple[float, float]] = []
        while left:
            self.look(each for first, last in left for each in (first, (first + last) / 2, last))
            values = self.values.values()
            allowed = CLOSE * (max(values) - min(values))
            bad = [
                each for each in left if self.miss(*each) > allowed * max(each[1] - each[0], WIDE)
            ]
            bad.sort(key=lambda each: -self.miss(*each))
            bad = bad[: max(0, (most - len(self.values)) // 2)]
            settled += [each for each in left if each not in bad]
            halves = [(first, (first + last) / 2, last) for first, last in bad]
            left = [part for a, b, c in halves for part in ((a, b), (b, c))]
        return torch.stack([self.integral(*each) for each in settled]).sum(0)


def gradients(
    model: Model, ids: tuple[int, ...], embedded: Tensor, measure: Measure
) -> tuple[list[float], Tensor]:
    """The metric of runs whose tokens are embedded so [B, n, d], and its gradients there."""
    checkpoint()
    tokens = torch.tensor([list(ids)] * len(embedded), device=model.device)
    dtype = model.parts.dtype
    with torch.enable_grad():
        leaf = embedded.detach().clone().requires_grad_()
        with rewriting(model.parts.embedding, lambda x: leaf.to(x.device, dtype)):
            _, final = model.run(tokens)
        values = measure(model.logits(final[:, -1]))
        (slopes,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach().tolist(), slopes


@torch.no_grad()
def _embedded(model: Model, tokens: Tensor) -> Tensor:
    """[…, d] float32 what the embedding makes of tokens."""
    seen: list[Tensor] = []
    embedding = model.parts.embedding
    with after(embedding, seen.append):
        embedding(tokens.to(next(embedding.parameters()).device))
    return seen[0].float().to(model.device)


@torch.no_grad()
def mean_embedding(model: Model) -> Tensor:
    """[d] the mean of what the embedding makes of all tokens."""
    rows = model.parts.embedding_weight.shape[0]
    total = torch.zeros(model.info.width, device=model.device)
    for some in torch.arange(rows).split(CHUNK):
        total += _embedded(model, some).sum(0)
    return total / rows
