"""The deep FFN cut down to the neurons that any case needs, beside a random cut of equal size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.changing.compact import Forms, Kept, compacted, compare_forms, masked
from analysis.changing.lora import check_trainable
from analysis.changing.training import Batches, Epoch, Fit, Lora
from analysis.columns import schema
from analysis.controls import Control, random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.heads import scored
from analysis.methods.neurons import most_changed
from analysis.model.adapters import check_adapter, wearing
from analysis.model.scoring import with_answers
from analysis.model.tokens import Encoded
from analysis.model.trace import Trace, trace
from analysis.progress import checkpoint
from analysis.refs import NeuronRef
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.prune import PruneStep


def start_prune(step: PruneStep, model: Model) -> Work:
    """Bind a pruning to a model: one row a compared case, and one a form of the model."""
    pruning = Pruning(step, model)
    rows = pruning.cases + len(step.forms)
    return Work(rows, pruning.frames, pruning.baseline, recall=pruning.recall)


class Pruning:
    """A step at work. What several forms need is computed once."""

    def __init__(self, step: PruneStep, model: Model) -> None:
        info = model.info
        model.check_layer(step.from_layer, "--from-layer")
        model.require_editable()
        if step.head is not None:
            model.check_head(step.head)
        if step.adapter is not None:
            check_adapter(step.adapter.expanduser())
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
        self._found: dict[int, list[NeuronRef]] = {}
        self._original = scored(self.model, self._test).summary(0)
        self.baseline: dict[str, Any] = self._original | {
            "train_cases": len(split.train),
            "compared_cases": self.cases,
            "validation_cases": len(split.validation),
            "test_cases": len(split.test),
        }

    @property
    def cases(self) -> int:
        """How many CNA compares."""
        return len(self._compared)

    def recall(self, rows: pl.DataFrame) -> None:
        """Take what cases need from the rows of an earlier run, so that it is not found again."""
        needed = dict(rows.select("name", "kept_neurons").iter_rows())
        for number in range(self.cases):
            if (names := needed.get(self.step.case(number))) is not None:
                refs = [NeuronRef.parse(name) for name in names]
                for each in refs:  # records may come from anywhere
                    self.model.check_neuron(each)
                self._found[number] = [each for each in refs if each.layer in self._deep]

    @property
    def _compared(self) -> list[Encoded]:
        return self._train[: self.step.cases]

    @property
    def _deep(self) -> range:
        return range(self.step.from_layer, self.model.info.layers)

    @property
    def _whole(self) -> int:
        return len(self._deep) * self.model.info.neurons

    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """A row for each case and form that is not there yet. The model is whole at each."""
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
                if name not in WHOLE:
                    yield from self._needed(done)
                control = self._control if name in CONTROLS else None
                numbers = {} if control and control.missing else made[name]()
                row = {"name": name, "control_note": control and control.note, **numbers}
                yield pl.DataFrame([row], schema=columns)

    def _needed(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """A row for each case: the deep neurons among its top ones."""
        left = [number for number in range(self.cases) if number not in self._found]
        worn = self._worn_runs(left)
        for number in left:
            checkpoint()
            found = self._found[number] = self._most_changed(number, worn.get(number))
            name = self.step.case(number)
            if name not in done:
                row = {
                    "name": name,
                    "neurons": len(found),
                    "kept": len(found) / self._whole,
                    "kept_neurons": [str(ref) for ref in found],
                }
                yield pl.DataFrame([row], schema=schema(self.step.columns))

    @cached_property
    def kept(self) -> Kept:
        """The deep neurons among the top ones of any case."""
        return self._layers(chain.from_iterable(self._found.values()))

    @cached_property
    def random(self) -> Kept:
        """As many others of the same layers."""
        return self._layers(self._control.parts)

    @cached_property
    def _control(self) -> Control[NeuronRef]:
        kept = sorted({*chain.from_iterable(self._found.values())})
        return random_like(kept, f"{self.step.seed} prune", neurons=self.model.info.neurons)

    def _layers(self, refs: Iterable[NeuronRef]) -> Kept:
        found: dict[int, set[int]] = {layer: set() for layer in self._deep}
        for ref in refs:
            found[ref.layer].add(ref.index)
        return {layer: _indices(some) for layer, some in found.items()}

    @torch.no_grad()
    def _worn_runs(self, numbers: list[int]) -> dict[int, Trace]:
        """Runs of cases with the adapter, all at once: putting it on takes a while."""
        if self.step.head is not None or not numbers:
            return {}
        with self._wearing() as same_values:
            if same_values is False:
                raise InputError(
                    "the adapter changes down projections or the unembedding, so its neurons are "
                    "not the original's; choose neurons by one on attention, gate and up"
                )
            return {each: trace(self.model, self._compared[each].ids) for each in numbers}

    @torch.no_grad()
    def _most_changed(self, number: int, worn: Trace | None) -> list[NeuronRef]:
        """CNA of a case: of the adapted against the original model, or of that without the head."""
        case, model, head = self._compared[number], self.model, self.step.head
        ablated = [] if head is None else [Intervention(heads=(head,))]
        run = worn or trace(model, case.ids)
        contrast = trace(model, case.ids, ablated)
        top = most_changed(model, run, contrast, case.first, self.step.top)
        found = (NeuronRef(*each) for each in top[["layer", "neuron"]].iter_rows())
        return [ref for ref in found if ref.layer in self._deep]

    def _wearing(self) -> AbstractContextManager[bool | None]:
        """The model with the adapter that CNA compares it with; False: of other neurons."""
        if self.step.adapter is not None:
            return wearing(self.model, self.step.adapter.expanduser())
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

    def _row(self, form: AbstractContextManager[Any], kept: Kept | None) -> dict[str, Any]:
        """How the model does in a form."""
        with form:
            found = scored(self.model, self._test).summary(0)
            seen = scored(self.model, self._train).summary(0)
        count = self._whole if kept is None else sum(len(some) for some in kept.values())
        return {
            "neurons": count,
            "kept": count / self._whole,
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


WHOLE = ("original", "LoRA")
"""Forms in which nothing is pruned."""
CONTROLS = ("random", "random + LoRA")
"""Forms that keep random neurons instead; without numbers where there are too few others."""
_MEASURED = ("accuracy", "logprob", "prompt_correct", "prompt_logprob")


def _chosen(epoch: Epoch) -> dict[str, Any]:
    return {"rate": epoch.rate, "epoch": epoch.number}


def _indices(neurons: Collection[int]) -> Tensor:
    return torch.tensor(sorted(neurons), dtype=torch.long)


def _names(kept: Kept) -> list[str]:
    return [
        str(NeuronRef(layer, neuron)) for layer, some in kept.items() for neuron in some.tolist()
    ]
