"""One LoRA adapter after the other: trained, tested, kept, and compared neuron by neuron."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.changing.amplification import check_compared, rises
from analysis.changing.training import Batches, Epoch, Fit, Lora, projections
from analysis.columns import schema
from analysis.errors import InputError
from analysis.folders import written_aside
from analysis.methods.forecast import training_bytes
from analysis.methods.heads import scored
from analysis.model.adapters import RECORD, training_record
from analysis.model.scoring import with_answers
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.changing.tuning import Tuning
    from analysis.model.model import Model
    from analysis.steps.lora import LoraStep


def start_lora(step: LoraStep, model: Model) -> Work:
    """Bind the training of adapters to a model."""
    training = _Training(step, model)
    rows = len(step.tuning.rates) * step.tuning.epochs + 1
    return Work(
        len(step.adapters) * rows,
        training.frames,
        training.baseline,
        place=training.place,
        memory=training.memory,
    )


def check_trainable(model: Model, layers: Collection[int], tuning: Tuning) -> None:
    """Refuse what LoRA cannot be trained on.

    Raises:
        InputError: says what and why.
    """
    if model.info.adapter is not None:
        raise InputError(
            f"{model.info.name} wears the adapter {model.info.adapter} already; train on the model "
            "itself, without --adapter"
        )
    for layer in layers:
        model.check_layer(layer, "layer")
        projections(model, layer)
    if tuning.rank > model.info.width:
        raise InputError(
            f"rank {tuning.rank} is more than the width {model.info.width} of {model.info.name}"
        )


class _Training:
    """The adapters of a step, one after the other."""

    def __init__(self, step: LoraStep, model: Model) -> None:
        check_trainable(model, step.layers, step.tuning)
        self.step, self.model = step, model
        self._folder: Path | None = None
        self._columns = schema(step.columns)
        split = step.split
        train, validation, test = (
            with_answers(model, cases) for cases in (split.train, split.validation, split.test)
        )
        begins = {min(layers) for layers in step.adapters.values()}
        self._train = Batches(model, train, begins, step.tuning.batch)
        self._validation = Batches(model, validation, begins, len(validation))
        self._test = Batches(model, test, begins, len(test))
        if step.compared is not None:
            check_compared(model, step.compared, step.watched)
        self._out = None if step.out is None else step.out.expanduser()
        if self._out is not None:
            self._check_free(self._out)
        self._original = scored(model, test).summary(0)
        self.baseline: dict[str, Any] = self._original | {
            "train_cases": len(split.train),
            "validation_cases": len(split.validation),
            "test_cases": len(split.test),
        }
        self.memory = training_bytes(model, begins, train, validation + test, step.tuning)

    def place(self, folder: Path) -> None:
        """Keep adapters here, or where the step says."""
        self._folder = self._out or folder

    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """Each epoch as it ends, each adapter when it is finished; begun ones start over."""
        left = {name: each for name, each in self.step.adapters.items() if name not in done}
        if left:
            for batches in (self._train, self._validation, self._test):
                batches.prepare()
        for name, layers in left.items():
            yield from self._one(name, layers, done)

    def _one(
        self, name: str, layers: tuple[int, ...], done: Collection[str]
    ) -> Iterator[pl.DataFrame]:
        step, begun = self.step, time.monotonic()
        lora = Lora(self.model, layers, step.tuning, step.seed)
        fit = Fit(self.model, lora, self._train, self._validation, step.tuning, step.seed)
        for epoch in fit.epochs():
            row = _epoch_row(f"{name} rate {epoch.rate:g} epoch {epoch.number}", layers, epoch)
            if row["name"] not in done:
                yield self._frame(row)
        assert fit.best is not None
        with lora.worn():
            found = self._test.scores(layers[0]).summary(0)
        row = _epoch_row(name, layers, fit.best) | {
            "accuracy": found["accuracy"],
            "original_accuracy": self._original["accuracy"],
            "logprob": found["logprob"],
            "adapter": f"lora-{name}",
            "prompt_correct": found["prompt_correct"],
            "prompt_logprob": found["prompt_logprob"],
        }
        if step.compared is not None:
            row |= rises(self.model, lora, step.compared, step.watched, step.seed)
        if self._folder is not None:
            self._save(lora, self._folder / row["adapter"], row)
        yield self._frame(row | {"seconds": time.monotonic() - begun})

    def _frame(self, row: dict[str, Any]) -> pl.DataFrame:
        return pl.DataFrame([row], schema=self._columns)

    def _save(self, lora: Lora, folder: Path, row: dict[str, Any]) -> None:
        facts = {
            "training": self._fingerprint,
            "layers": lora.layers,
            "tuning": self.step.tuning.model_dump(mode="json"),
            "cases": self.step.prompts.title,
            **{name: row[name] for name in _TOLD},
            "model": self.model.info.model_dump(mode="json"),
        }
        with written_aside(folder) as aside:
            lora.save(aside)
            (aside / RECORD).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")

    @property
    def _fingerprint(self) -> str:
        """What the adapters are made of, in short."""
        made_of = self.step.model_dump_json(exclude={"out", "layers"}), self.model.info.source
        return hashlib.sha256(repr(made_of).encode()).hexdigest()

    def _check_free(self, out: Path) -> None:
        """Refuse to write over what other training, or somebody, has put there."""
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out.name} is a file; name a folder for the adapters")
        for name in self.step.adapters:
            folder = out / f"lora-{name}"
            if folder.exists() and training_record(folder).get("training") != self._fingerprint:
                raise InputError(
                    f"{out.name} has another {folder.name} already; choose another --out"
                )


_TOLD = (
    "rate",
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "accuracy",
    "original_accuracy",
)


def _epoch_row(name: str, layers: tuple[int, ...], epoch: Epoch) -> dict[str, Any]:
    return {
        "name": name,
        "layer": layers[0],
        "rate": epoch.rate,
        "epoch": epoch.number,
        "train_loss": epoch.train_loss,
        "validation_loss": epoch.loss,
        "validation_accuracy": epoch.accuracy,
        "seconds": epoch.seconds,
    }
