"""Training LoRA on attention: only the layers from the lowest adapted one up are ever run.

Nothing below an adapted layer changes, so the clean residual stream entering it is kept for every
batch, once for all adapters, and each step starts there: no gradient and no computation goes
further down. A batch is a pack (`analysis.model.packing`): its prompts share the tokens they begin
with. Both are exact. The model itself stays frozen, and wears the adapter only inside `Lora.worn`.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from analysis.changing.tuning import Tuning
from analysis.errors import InputError, first_line
from analysis.model.packing import Pack
from analysis.model.parts import Parts
from analysis.model.passes import CleanPass, Scores, join, score_pack, score_tokens
from analysis.model.tokens import Encoded
from analysis.progress import tell

if TYPE_CHECKING:
    from analysis.model.model import Model

KEPT_BYTES = 2**30
"""Clean residual streams that training keeps; what goes beyond is computed again each time."""


def projections(model: Model, layer: int) -> dict[str, nn.Module]:
    """The projections in the attention of a layer, fused ones too, by their path in the model.

    Raises:
        InputError: it has none that LoRA can be put on.
    """
    from transformers.pytorch_utils import Conv1D

    attention = model.parts.layers[layer].attention
    inside = {
        id(module) for module in attention.modules() if isinstance(module, nn.Linear | Conv1D)
    }
    found = {path: module for path, module in model.hf.named_modules() if id(module) in inside}
    if not found:
        raise InputError(
            f"the attention of layer {layer} of {model.info.name} has no projection that LoRA can "
            f"be put on ({type(attention).__name__}, {model.info.weights or model.info.dtype})"
        )
    return found


class Lora:
    """A fresh LoRA adapter on the attention of some layers.

    Args:
        model: the model. Its own modules are in place whenever the adapter is not worn.
        layers: which layers' attention it is on.
        tuning: its size.
        seed: of its first weights.

    Raises:
        InputError: a layer has nothing to put it on, or the rank is too large.
    """

    def __init__(self, model: Model, layers: Sequence[int], tuning: Tuning, seed: int) -> None:
        from peft import LoraConfig, get_peft_model

        paths = {path: each for layer in layers for path, each in projections(model, layer).items()}
        transposed = any(type(each).__name__ == "Conv1D" for each in paths.values())
        config = LoraConfig(
            r=tuning.rank,
            lora_alpha=tuning.alpha,
            target_modules=list(paths),
            fan_in_fan_out=transposed,
            task_type="CAUSAL_LM",
        )
        self.layers = tuple(layers)
        self._model = model
        # A text seeds the same numbers on every machine.
        first_weights = random.Random(f"{seed} lora {self.layers}").getrandbits(63)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's, on the layouts it guesses
            torch.manual_seed(first_weights)
            try:
                self._peft = get_peft_model(model.hf, config)
            except ValueError as error:
                raise InputError(
                    f"LoRA cannot be put on {model.info.name}: {first_line(error)}"
                ) from error
        self._config = self._peft.peft_config["default"]
        self._config.base_model_name_or_path = model.info.source
        self._config.revision = model.info.revision
        del model.hf.peft_config  # else the next adapter is taken for a second one on top
        self._modules = {path: model.hf.get_submodule(path) for path in paths}
        self._bare = paths
        self._model.put(self._bare)
        self.parameters = [
            each
            for module in self._modules.values()
            for each in module.parameters()
            if each.requires_grad
        ]
        """What is trained, float32."""

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Let the model wear the adapter while the block runs."""
        model, bare = self._model, self._model.parts
        try:
            self._model.put(self._modules)
            # Norms and neurons' values are the model's own, so what is known of them stays.
            model.parts = Parts.find(model.hf, bare.family)
            yield
        finally:
            self._model.put(self._bare)
            model.parts = bare

    def state(self) -> list[Tensor]:
        """A copy of its weights."""
        return [each.detach().clone() for each in self.parameters]

    def load(self, state: Sequence[Tensor]) -> None:
        """Take weights that `state` gave."""
        with torch.no_grad():
            for each, kept in zip(self.parameters, state, strict=True):
                each.copy_(kept)

    def save(self, folder: Path) -> None:
        """Write it as a PEFT folder: a config and safetensors."""
        with self.worn():
            self._peft.save_pretrained(
                str(folder), safe_serialization=True, save_embedding_layers=False
            )
        # A model card with nothing but blanks, and where the base lies on this machine.
        (folder / "README.md").unlink(missing_ok=True)


def clean_pass(model: Model, packed: Pack, layers: Collection[int]) -> CleanPass:
    """A clean run of a pack, ready to go on from the layers that adapters begin at.

    An adapter changes nothing up to its own lowest layer. Only what enters these layers is kept.
    """
    with torch.no_grad():
        calls, final = model.run_packed(packed)
    kept = [
        each
        if number in layers
        else replace(each, entering=torch.empty(0, device=each.entering.device))
        for number, each in enumerate(calls)
    ]
    return CleanPass(packed, kept, final.new_empty(0))


def _bytes_of(clean: CleanPass) -> int:
    """What a kept run takes: its residual streams and its mask."""
    mask = len(clean.packed.tokens) ** 2 * clean.final.element_size()
    return sum(each.entering.nbytes for each in clean.calls) + mask


class Batches:
    """Cases in fixed batches, with their clean runs up to the layers that adapters begin at.

    Args:
        model: the model; while it wears an adapter only the layers up to its lowest are clean.
        encoded: the cases.
        layers: where adapters begin.
        size: cases in a batch.
        kept_bytes: how much of the clean runs is kept.
    """

    def __init__(
        self,
        model: Model,
        encoded: Sequence[Encoded],
        layers: Collection[int],
        size: int,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._model = model
        self._layers = frozenset(layers)
        self._left = kept_bytes
        self._kept: dict[int, CleanPass] = {}
        parts = [encoded[start : start + size] for start in range(0, len(encoded), size)]
        self._batches = [list(model.packs(part)) for part in parts]

    def __len__(self) -> int:
        return len(self._batches)

    def prepare(self) -> None:
        """Run the model on all that can be kept; it wears nothing."""
        for batch in range(len(self)):
            tell(None, f"intact runs, {batch + 1:,} of {len(self):,}")
            for packed in self._batches[batch]:
                if id(packed) not in self._kept and self._left > 0:
                    clean = clean_pass(self._model, packed, self._layers)
                    self._left -= _bytes_of(clean)
                    if self._left >= 0:
                        self._kept[id(packed)] = clean

    def passes(self, batch: int, lowest: int) -> Iterator[CleanPass]:
        """The packs of a batch, clean up to a layer; what is not kept is run again."""
        for packed in self._batches[batch]:
            yield self._kept.get(id(packed)) or clean_pass(self._model, packed, (lowest,))

    def tokens(self, batch: int) -> int:
        """Answer tokens of a batch."""
        return sum(len(packed.targets) for packed in self._batches[batch])

    @property
    def all_tokens(self) -> int:
        """Answer tokens of all batches."""
        return sum(self.tokens(batch) for batch in range(len(self)))

    @torch.no_grad()
    def scores(self, lowest: int) -> Scores:
        """Scores [1, P] of the model as it is now, changed from a layer up."""
        return join(
            [
                score_pack(self._model, clean.packed, clean.again(lowest))
                for batch in range(len(self))
                for clean in self.passes(batch, lowest)
            ]
        )


def train_batch(
    model: Model, batches: Batches, batch: int, lowest: int, optimizer: torch.optim.Optimizer
) -> float:
    """One step on one batch: the mean loss of its answer tokens before it, in nats.

    The model wears the adapter, whose lowest layer is `lowest`.
    """
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    with torch.enable_grad():
        for clean in batches.passes(batch, lowest):
            logits = model.logits(clean.again(lowest)[0, clean.packed.scored])
            logprob, _ = score_tokens(logits, clean.packed.targets)
            loss = -logprob.sum() / batches.tokens(batch)
            loss.backward()
            total += loss.item()
    optimizer.step()
    return total


@dataclass(frozen=True)
class Epoch:
    """What came of one epoch."""

    rate: float
    number: int
    """From 1."""
    train_loss: float
    """Mean over the answer tokens, each before the step on its batch, in nats."""
    loss: float
    """Mean over the validation cases' answer tokens, in nats."""
    accuracy: float
    """Share of validation cases right."""
    seconds: float

    @property
    def merit(self) -> tuple[float, float]:
        """What epochs are chosen by: accuracy, then loss."""
        return self.accuracy, -self.loss if self.loss == self.loss else float("-inf")


class Fit:
    """An adapter being trained: every learning rate from the same first weights.

    Args:
        model: the model.
        lora: the adapter; when all epochs are done it has the weights of the best.
        train: batches to train on.
        validation: batches to choose by.
        tuning: rates, epochs, size of a batch.
        seed: of the order of the batches.
    """

    def __init__(
        self,
        model: Model,
        lora: Lora,
        train: Batches,
        validation: Batches,
        tuning: Tuning,
        seed: int,
    ) -> None:
        self._model, self._lora, self._tuning, self._seed = model, lora, tuning, seed
        self._train, self._validation = train, validation
        self._lowest = min(lora.layers)
        self.best: Epoch | None = None

    def epochs(self) -> Iterator[Epoch]:
        """Train, epoch by epoch. The model is as it was whenever one is handed out."""
        lora, first = self._lora, self._lora.state()
        best = first
        for rate in self._tuning.rates:
            lora.load(first)
            optimizer = torch.optim.AdamW(lora.parameters, lr=rate)
            for number in range(1, self._tuning.epochs + 1):
                epoch = self._epoch(optimizer, rate, number)
                if self.best is None or epoch.merit > self.best.merit:
                    self.best, best = epoch, lora.state()
                yield epoch
        lora.load(best)

    def _epoch(self, optimizer: torch.optim.Optimizer, rate: float, number: int) -> Epoch:
        begun = time.monotonic()
        order = list(range(len(self._train)))
        random.Random(f"{self._seed} epoch {number}").shuffle(order)
        total = 0.0
        with self._lora.worn():
            for place, batch in enumerate(order):
                loss = train_batch(self._model, self._train, batch, self._lowest, optimizer)
                total += loss * self._train.tokens(batch)
                done = (place + 1) / len(order)
                tell(done, f"epoch {number} loss {loss:.3f}")
            scores = self._validation.scores(self._lowest)
        return Epoch(
            rate,
            number,
            train_loss=total / self._train.all_tokens,
            loss=-scores.logprob.double().sum().item() / self._validation.all_tokens,
            accuracy=scores.correct.double().mean().item(),
            seconds=time.monotonic() - begun,
        )
