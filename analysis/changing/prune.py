"""The deep FFN cut down to the neurons that any case needs, beside a random cut of equal size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.changing.compact import Forms, Kept, compacted, compare_forms, masked
from analysis.changing.lora import check_trainable
from analysis.changing.training import Batches, Epoch, Fit, Lora
from analysis.changing.tuning import Tuning
from analysis.columns import frame_of
from analysis.controls import Control, random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.circuit import neuron_refs
from analysis.methods.neurons import most_changed
from analysis.model.adapters import check_adapter, wearing
from analysis.model.passes import scored, with_answers
from analysis.model.trace import Trace, trace
from analysis.progress import checkpoint
from analysis.refs import HeadRef, NeuronRef
from analysis.tasks.prompts import Split
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model


def prune_work(
    model: Model,
    split: Split,
    forms: Sequence[str],
    from_layer: int,
    top: int = 500,
    head: HeadRef | None = None,
    adapter: Path | None = None,
    cases: int | None = None,
    layer: int | None = None,
    tuning: Tuning | None = None,
    seed: int = 0,
) -> Work:
    """Keep the deep FFN neurons that any case needs; one row a compared case, one a form.

    Args:
        model: the model.
        split: the cases to find neurons and train on, to choose by and to test on.
        forms: names of the forms to measure, as `PruneStep.forms` has them.
        from_layer: the lowest of the deep layers.
        top: neurons of each case, of all layers.
        head: CNA compares the intact model with this head zeroed.
        adapter: CNA compares the model that wears this adapter with the one below. With neither,
            an adapter is trained.
        cases: compare at most so many of the training cases; None: all.
        layer: train LoRA on this layer's attention; None: train nothing.
        tuning: how; None: as usual.
        seed: of the random neurons and of training.
    """
    adapter = None if adapter is None else adapter.expanduser()
    tuning = tuning or Tuning()
    pruning = _Pruning(
        model, split, forms, from_layer, top, head, adapter, cases, layer, tuning, seed
    )
    rows = pruning.cases + len(forms)
    return Work(rows, pruning.frames, pruning.baseline, recall=pruning.recall)


def case_name(number: int) -> str:
    """The name of a compared case's row; cases count from 0, names from 1."""
    return f"case {number + 1}"


@dataclass
class _Pruning:
    """A pruning under way; see `prune_work`. What several forms need is computed once."""

    model: Model
    split: Split
    forms: Sequence[str]
    from_layer: int
    top: int
    head: HeadRef | None
    adapter: Path | None
    compared: int | None
    layer: int | None
    tuning: Tuning
    seed: int

    def __post_init__(self) -> None:
        model, info, split = self.model, self.model.info, self.split
        info.check_layer(self.from_layer, "--from-layer")
        model.require_editable()
        if self.head is not None:
            info.check_head(self.head)
        if self.adapter is not None:
            check_adapter(self.adapter)
        if self.layer is not None:
            check_trainable(model, [self.layer], self.tuning)
        elif info.adapter is not None:
            raise InputError(f"{info.name} wears an adapter; prune the model itself")
        self._deep = range(self.from_layer, info.layers)
        self._train, self._validation, self._test = (
            with_answers(model, some) for some in (split.train, split.validation, split.test)
        )
        self._compared = self._train[: self.compared]
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
            if (names := needed.get(case_name(number))) is not None:
                refs = [NeuronRef.parse(name) for name in names]
                for each in refs:  # records may come from anywhere
                    self.model.info.check_neuron(each)
                self._found[number] = [each for each in refs if each.layer in self._deep]

    @property
    def _whole(self) -> int:
        return len(self._deep) * self.model.info.neurons

    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """A row for each case and form that is not there yet. The model is whole at each."""
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
        for name in self.forms:
            if name not in done:
                if name not in WHOLE:
                    yield from self._needed(done)
                control = self._control if name in CONTROLS else None
                numbers = {} if control and control.missing else made[name]()
                row = {"name": name, "control_note": control and control.note, **numbers}
                yield frame_of([row])

    def _needed(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """A row for each case: the deep neurons among its top ones."""
        left = [number for number in range(self.cases) if number not in self._found]
        worn = self._worn_runs(left)
        for number in left:
            checkpoint()
            found = self._found[number] = self._most_changed(number, worn.get(number))
            name = case_name(number)
            if name not in done:
                row = {
                    "name": name,
                    "neurons": len(found),
                    "kept": len(found) / self._whole,
                    "kept_neurons": [str(ref) for ref in found],
                }
                yield frame_of([row])

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
        return random_like(kept, f"{self.seed} prune", neurons=self.model.info.neurons)

    def _layers(self, refs: Iterable[NeuronRef]) -> Kept:
        found: dict[int, set[int]] = {layer: set() for layer in self._deep}
        for ref in refs:
            found[ref.layer].add(ref.index)
        return {layer: _indices(some) for layer, some in found.items()}

    @torch.no_grad()
    def _worn_runs(self, numbers: list[int]) -> dict[int, Trace]:
        """Runs of cases with the adapter, all at once: putting it on takes a while."""
        if self.head is not None or not numbers:
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
        case, model, head = self._compared[number], self.model, self.head
        ablated = [] if head is None else [Intervention(heads=(head,))]
        run = worn or trace(model, case.ids)
        contrast = trace(model, case.ids, ablated)
        top = most_changed(model, run, contrast, case.first, self.top)
        return [ref for ref in neuron_refs(top) if ref.layer in self._deep]

    def _wearing(self) -> AbstractContextManager[bool | None]:
        """The model with the adapter that CNA compares it with; False: of other neurons."""
        if self.adapter is not None:
            return wearing(self.model, self.adapter)
        return self._fitted[0].worn()

    @cached_property
    def _fitted(self) -> tuple[Lora, Epoch]:
        """The adapter trained on the whole model."""
        return self._fit()

    def _fit(self) -> tuple[Lora, Epoch]:
        """LoRA trained on the model as it is now."""
        layer = self.layer
        assert layer is not None
        lora = Lora(self.model, (layer,), self.tuning, self.seed)
        train = Batches(self.model, self._train, (layer,), self.tuning.batch)
        validation = Batches(self.model, self._validation, (layer,), len(self._validation))
        train.prepare()
        validation.prepare()
        fit = Fit(self.model, lora, train, validation, self.tuning, self.seed)
        for _ in fit.epochs():
            pass
        assert fit.best is not None
        return lora, fit.best

    def _adapted_row(self) -> dict[str, Any]:
        row = self._row(self._wearing(), None)
        return row if self.adapter is not None else row | _chosen(self._fitted[1])

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
