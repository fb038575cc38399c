"""The deep FFN cut down to the neurons that any case needs, beside a random cut of equal size."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.adapters import check_adapter, wearing
from analysis.cancel import checkpoint
from analysis.columns import schema
from analysis.compact import Forms, Kept, compacted, compare_forms, masked
from analysis.errors import InputError
from analysis.head_sweep import scored
from analysis.interventions import Intervention
from analysis.lora import check_trainable
from analysis.neuron_scores import most_changed
from analysis.refs import NeuronRef
from analysis.scoring import with_answers
from analysis.step import Work
from analysis.tokens import Encoded
from analysis.trace import Trace, trace
from analysis.training import Batches, Epoch, Fit, Lora

if TYPE_CHECKING:
    from analysis.model import Model
    from analysis.steps.prune import PruneStep


def start_prune(step: PruneStep, model: Model) -> Work:
    """Bind a pruning to a model: one row a form of it."""
    pruning = Pruning(step, model)
    return Work(len(step.forms), pruning.frames, pruning.baseline)


class Pruning:
    """A step at work. What several forms need is computed once."""

    def __init__(self, step: PruneStep, model: Model) -> None:
        info = model.info
        model.check_layer(step.from_layer, "--from-layer")
        model.require_editable()
        if step.head is not None:
            model.check_head(step.head)
        if step.adapter is not None:
            check_adapter(step.adapter)
        if step.layer is not None:
            check_trainable(model, [step.layer], step.tuning)
        elif info.adapter is not None:
            raise InputError(f"{info.name} wears an adapter; prune the model itself")
        if step.top > info.layers * info.neurons:
            raise InputError(
                f"--top {step.top:,} is more than the {info.layers * info.neurons:,} neurons of "
                f"{info.name}"
            )
        self.step, self.model = step, model
        split = step.split
        self._train, self._validation, self._test = (
            with_answers(model, cases) for cases in (split.train, split.validation, split.test)
        )
        self._original = scored(self.model, self._test).summary(0)
        self.baseline: dict[str, Any] = self._original | {
            "train_cases": len(split.train),
            "compared_cases": len(self._compared),
            "validation_cases": len(split.validation),
            "test_cases": len(split.test),
        }

    @property
    def _compared(self) -> list[Encoded]:
        return self._train[: self.step.cases]

    @property
    def _deep(self) -> range:
        return range(self.step.from_layer, self.model.info.layers)

    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """A row for each form that is not there yet. The model is whole at each of them."""
        columns = schema(self.step.columns)
        made: dict[str, Callable[[], dict[str, Any]]] = {
            "original": lambda: self._row(nullcontext(), None),
            "LoRA": self._adapted_row,
            "pruned": lambda: self._row(masked(self.model, self.kept), self.kept) | self._size(0),
            "pruned, compact": lambda: (
                self._row(compacted(self.model, self.kept), self.kept) | self._size(1)
            ),
            "pruned + LoRA": lambda: self._trained_row(self.kept),
            "random": lambda: self._row(masked(self.model, self.random), self.random),
            "random + LoRA": lambda: self._trained_row(self.random),
        }
        for name in self.step.forms:
            if name not in done:
                yield pl.DataFrame([{"name": name, **made[name]()}], schema=columns)

    @cached_property
    def kept(self) -> Kept:
        """The deep neurons among the top ones of any case."""
        found: dict[int, set[int]] = {layer: set() for layer in self._deep}
        with torch.no_grad():
            for run, contrast, token in self._pairs():
                top = most_changed(self.model, run, contrast, token, self.step.top)
                for layer, neuron in top[["layer", "neuron"]].iter_rows():
                    if layer in found:
                        found[layer].add(neuron)
        return {layer: _indices(some) for layer, some in found.items()}

    @cached_property
    def random(self) -> Kept:
        """As many random neurons in each layer."""
        drawn = {}
        for layer, some in self.kept.items():
            rng = random.Random(f"{self.step.seed} prune {layer}")
            drawn[layer] = _indices(rng.sample(range(self.model.info.neurons), len(some)))
        return drawn

    def _pairs(self) -> Iterator[tuple[Trace, Trace, int]]:
        """The two runs of each case that CNA compares, and the answer."""
        cases, model = self._compared, self.model
        if self.step.head is not None:
            ablated = [Intervention(heads=(self.step.head,))]
            for each in cases:
                checkpoint()
                contrast = trace(model, each.ids, ablated)
                yield trace(model, each.ids), contrast, each.answer_ids[0]
            return
        with self._wearing():
            adapted = [trace(model, each.ids) for each in cases]
        for each, run in zip(cases, adapted, strict=True):
            checkpoint()
            yield run, trace(model, each.ids), each.answer_ids[0]

    def _wearing(self) -> AbstractContextManager[None]:
        """The model with the adapter that CNA compares it with."""
        if self.step.adapter is not None:
            return wearing(self.model, self.step.adapter)
        return self._fitted[0].worn()

    @cached_property
    def _fitted(self) -> tuple[Lora, Epoch]:
        """The adapter trained on the whole model."""
        return self._fit()

    def _fit(self) -> tuple[Lora, Epoch]:
        """LoRA trained on the model as it is now."""
        step, layer = self.step, self.step.layer
        assert layer is not None
        lora = Lora(self.model, (layer,), step.tuning, step.seed)
        train = Batches(self.model, self._train, (layer,), step.tuning.batch)
        validation = Batches(self.model, self._validation, (layer,), len(self._validation))
        train.prepare()
        validation.prepare()
        fit = Fit(self.model, lora, train, validation, step.tuning, step.seed)
        for _ in fit.epochs():
            pass
        assert fit.best is not None
        return lora, fit.best

    def _adapted_row(self) -> dict[str, Any]:
        row = self._row(self._wearing(), None)
        return row if self.step.adapter is not None else row | _chosen(self._fitted[1])

    def _trained_row(self, kept: Kept) -> dict[str, Any]:
        # In compact form: the same numbers, in less time.
        with compacted(self.model, kept):
            lora, best = self._fit()
            return self._row(lora.worn(), kept) | _chosen(best)

    def _row(self, form: AbstractContextManager[None], kept: Kept | None) -> dict[str, Any]:
        """How the model does in a form."""
        with form:
            found = scored(self.model, self._test).summary(0)
            seen = scored(self.model, self._train).summary(0)
        whole = len(self._deep) * self.model.info.neurons
        count = whole if kept is None else sum(len(some) for some in kept.values())
        return {
            "neurons": count,
            "kept": count / whole,
            **{name: found[name] for name in _MEASURED},
            "train_accuracy": seen["accuracy"],
            "kept_neurons": None if kept is None else _names(kept),
        }

    def _size(self, form: int) -> dict[str, Any]:
        """What the masked (0) or the compact (1) form takes."""
        size = (self._forms.masked, self._forms.compact)[form]
        return {
            "parameters": size.parameters,
            "bytes": size.bytes,
            "seconds": size.seconds,
            "difference": self._forms.difference if form else 0.0,
        }

    @cached_property
    def _forms(self) -> Forms:
        return compare_forms(self.model, self.kept)


_MEASURED = ("accuracy", "logprob", "prompt_correct", "prompt_logprob")


def _chosen(epoch: Epoch) -> dict[str, Any]:
    return {"rate": epoch.rate, "epoch": epoch.number}


def _indices(neurons: Collection[int]) -> Tensor:
    return torch.tensor(sorted(neurons), dtype=torch.long)


def _names(kept: Kept) -> list[str]:
    return [
        str(NeuronRef(layer, neuron)) for layer, some in kept.items() for neuron in some.tolist()
    ]
