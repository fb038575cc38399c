"""One LoRA adapter after the other: trained, tested, kept, and compared neuron by neuron."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from analysis.changing.training import KEPT_BYTES, Batches, Epoch, Fit, Lora, projections
from analysis.changing.tuning import TOPS, Tuning
from analysis.columns import frame_of
from analysis.controls import random_like
from analysis.errors import InputError
from analysis.folders import written_aside
from analysis.methods.circuit import decrease, neuron_refs
from analysis.methods.neurons import most_changed
from analysis.model.adapters import RECORD, training_record
from analysis.model.packing import PACK_NODES
from analysis.model.passes import scored, with_answers
from analysis.model.tokens import Encoded
from analysis.model.trace import Trace, trace
from analysis.model.weights import FLOAT32
from analysis.refs import NeuronRef
from analysis.tasks.prompts import PromptSet, Split
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model


def lora_work(
    model: Model,
    adapters: Mapping[str, tuple[int, ...]],
    split: Split,
    tuning: Tuning,
    seed: int = 0,
    compared: PromptSet | None = None,
    watched: Sequence[NeuronRef] = (),
    out: Path | None = None,
    cases: str = "",
    recipe: str = "",
) -> Work:
    """Train adapters one after the other; a row an epoch, and one a finished adapter.

    Args:
        model: the model.
        adapters: by name the layers that each is on.
        split: the cases to train on, to choose by and to test on.
        tuning: size, learning rates, epochs.
        seed: of first weights, the order of cases and the random neurons.
        compared: cases on which neurons of the original and the adapted model are compared.
        watched: neurons whose coefficients are kept, of the first compared case.
        out: where adapters are kept; None: where whoever runs the work keeps files.
        cases: what to call the cases in the record beside each adapter.
        recipe: says all that the adapters are made of: in `out`, training of the same recipe may
            write over what is there, and no other.
    """
    training = _Training(
        model, adapters, split, tuning, seed, compared, watched, out, cases, recipe
    )
    return Work(
        len(adapters) * (len(tuning.rates) * tuning.epochs + 1),
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
        model.info.check_layer(layer, "layer")
        projections(model, layer)
    if tuning.rank > model.info.width:
        raise InputError(
            f"rank {tuning.rank} is more than the width {model.info.width} of {model.info.name}"
        )


@dataclass
class _Training:
    """Adapters being trained, one after the other; see `lora_work`."""

    model: Model
    adapters: Mapping[str, tuple[int, ...]]
    split: Split
    tuning: Tuning
    seed: int
    compared: PromptSet | None
    watched: Sequence[NeuronRef]
    out: Path | None
    cases: str
    recipe: str

    def __post_init__(self) -> None:
        model, split = self.model, self.split
        every = sorted({layer for layers in self.adapters.values() for layer in layers})
        check_trainable(model, every, self.tuning)
        made_of = self.recipe, model.info.source
        self._fingerprint = hashlib.sha256(repr(made_of).encode()).hexdigest()
        train, validation, test = (
            with_answers(model, cases) for cases in (split.train, split.validation, split.test)
        )
        begins = {min(layers) for layers in self.adapters.values()}
        self._train = Batches(model, train, begins, self.tuning.batch)
        self._validation = Batches(model, validation, begins, len(validation))
        self._test = Batches(model, test, begins, len(test))
        if self.compared is not None:
            check_compared(model, self.compared, self.watched)
        self._folder: Path | None = None
        self._out = None if self.out is None else self.out.expanduser()
        if self._out is not None:
            self._check_free(self._out)
        self._original = scored(model, test).summary(0)
        self.baseline: dict[str, Any] = self._original | {
            "train_cases": len(split.train),
            "validation_cases": len(split.validation),
            "test_cases": len(split.test),
        }
        self.memory = _peak_bytes(model, begins, train, validation + test, self.tuning)

    def place(self, folder: Path) -> None:
        """Keep adapters here, where no folder was named."""
        self._folder = self._out or folder

    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        """Each epoch as it ends, each adapter when it is finished; begun ones start over."""
        left = {name: each for name, each in self.adapters.items() if name not in done}
        if left:
            for batches in (self._train, self._validation, self._test):
                batches.prepare()
        for name, layers in left.items():
            yield from self._one(name, layers, done)

    def _one(
        self, name: str, layers: tuple[int, ...], done: Collection[str]
    ) -> Iterator[pl.DataFrame]:
        begun = time.monotonic()
        lora = Lora(self.model, layers, self.tuning, self.seed)
        fit = Fit(self.model, lora, self._train, self._validation, self.tuning, self.seed)
        for epoch in fit.epochs():
            row = _epoch_row(f"{name} rate {epoch.rate:g} epoch {epoch.number}", layers, epoch)
            if row["name"] not in done:
                yield frame_of([row])
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
        if self.compared is not None:
            row |= rises(self.model, lora, self.compared, self.watched, self.seed)
        if self._folder is not None:
            self._save(lora, self._folder / row["adapter"], row)
        yield frame_of([row | {"seconds": time.monotonic() - begun}])

    def _save(self, lora: Lora, folder: Path, row: dict[str, Any]) -> None:
        facts = {
            "training": self._fingerprint,
            "layers": lora.layers,
            "tuning": self.tuning.model_dump(mode="json"),
            "cases": self.cases,
            **{name: row[name] for name in _RECORDED},
            "model": self.model.info.model_dump(mode="json"),
        }
        with written_aside(folder) as aside:
            lora.save(aside)
            (aside / RECORD).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")

    def _check_free(self, out: Path) -> None:
        """Refuse to write over what other training, or somebody, has put there."""
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out.name} is a file; name a folder for the adapters")
        for name in self.adapters:
            folder = out / f"lora-{name}"
            if folder.exists() and training_record(folder).get("training") != self._fingerprint:
                raise InputError(
                    f"{out.name} has another {folder.name} already; choose another --out"
                )


def _peak_bytes(
    model: Model,
    begins: Collection[int],
    train: Sequence[Encoded],
    others: Sequence[Encoded],
    tuning: Tuning,
) -> int:
    """Roughly the most memory that training takes: the largest tensors alive together.

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
    logits = 4 * answers * info.vocabulary * FLOAT32
    return kept + activations + attention + logits


_RECORDED = (
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


def check_compared(model: Model, cases: PromptSet, watched: Sequence[NeuronRef]) -> None:
    """Refuse cases and neurons that cannot be compared.

    Raises:
        InputError: a case has no answer, the model lacks a neuron, or has too few.
    """
    cases.require_answers()
    for ref in watched:
        model.info.check_neuron(ref)
    total = model.info.layers * model.info.neurons
    if total < max(TOPS):
        raise InputError(
            f"{model.info.name} has {total} neurons; comparing takes at least {max(TOPS)}"
        )


@torch.no_grad()
def rises(
    model: Model, lora: Lora, cases: PromptSet, watched: Sequence[NeuronRef], seed: int
) -> dict[str, Any]:
    """Compare the adapted with the original model, case by case.

    Returns:
        For each of `TOPS` the mean increase of the neurons whose importance gains most, and of as
        many random neurons of the same layers, and which these are; each case's own values; the
        watched coefficients.
    """
    encoded = with_answers(model, cases.prompts)
    with lora.worn():
        adapted = [trace(model, each.ids) for each in encoded]
    values: dict[str, list[float | None]] = {
        f"increase_{top}{kind}": [] for top in TOPS for kind in ("", "_random")
    }
    kept: dict[str, Any] = {f"drawn_{top}": [] for top in TOPS}
    notes: dict[str, None] = {}
    for number, (each, run) in enumerate(zip(encoded, adapted, strict=True)):
        original = trace(model, each.ids)
        found = neuron_refs(most_changed(model, run, original, each.first, max(TOPS)))
        for top in TOPS:
            control = random_like(
                found[:top], f"{seed} {number} {top}", neurons=model.info.neurons, avoiding=found
            )
            for kind, refs in (("", found[:top]), ("_random", control.parts)):
                values[f"increase_{top}{kind}"].append(increase(original, run, refs))
            kept[f"drawn_{top}"].append(",".join(map(str, control.parts)))
            if control.note is not None:
                notes[control.note] = None
        if number == 0 and watched:
            kept["watched_coefficient"] = _coefficients(run, watched).tolist()
            kept["watched_original"] = _coefficients(original, watched).tolist()
    for name, each_case in values.items():
        known = [value for value in each_case if value is not None]
        kept[name] = sum(known) / len(known) if known else None
        kept[f"case_{name}"] = each_case
    return kept | {"control_note": "; ".join(notes) or None}


def increase(original: Trace, adapted: Trace, refs: Sequence[NeuronRef]) -> float | None:
    """Share by which coefficients rise: `Σ sign(m)·m′ / Σ |m| − 1`; None where all were 0.

    None for no neurons as well.
    """
    lost = decrease(_coefficients(original, refs), _coefficients(adapted, refs))
    return None if lost is None else -lost


def _coefficients(run: Trace, refs: Sequence[NeuronRef]) -> torch.Tensor:
    layers = torch.tensor([ref.layer for ref in refs], dtype=torch.long)
    neurons = torch.tensor([ref.index for ref in refs], dtype=torch.long)
    return run.coefficients.cpu()[layers, neurons]
