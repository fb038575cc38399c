"""Whether and where a model's weights differ from a base: tensors, heads, neurons.

Both folders are read tensor by tensor; neither model is loaded. Where a tensor is an attention
output or down projection its differing columns are named: blocks of them are heads, single ones
neurons.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from analysis.errors import InputError
from analysis.model import weights
from analysis.model.families import family_of
from analysis.model.loading import read_config
from analysis.model.parts import Parts
from analysis.progress import checkpoint
from analysis.refs import HeadRef, NeuronRef

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Kind: TypeAlias = Literal["tensor", "head", "neuron"]
SCALED = 1e-6
"""How far, relative to their largest entry, columns may be from a multiple of the base's."""
_SHAPE = ("model_type", "num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size")


@dataclass(frozen=True)
class Difference:
    """One thing that differs."""

    kind: Kind
    name: str
    layer: int | None
    largest: float | None
    """Largest absolute difference of an entry; none for a tensor that one side lacks."""
    changed: float
    """Share of the entries that differ, 0 to 1."""
    factor: float | None
    """What the base is multiplied by, where it is a multiple; 0: taken away."""
    note: str = ""


@dataclass(frozen=True)
class Inspection:
    """What two models have in common, and what not."""

    tensors: int
    """How many were compared."""
    differences: list[Difference]
    rounded: str | None = None
    """The dtype that the base was rounded to for comparing: the folder stores less."""

    def of(self, kind: Kind) -> list[Difference]:
        """The differences of one kind."""
        return [each for each in self.differences if each.kind == kind]

    @property
    def verdict(self) -> str:
        """Whether they differ and where, in one line."""
        tensors = self.of("tensor")
        if not tensors:
            rounded = f" to the base rounded to {self.rounded}" if self.rounded else ""
            return f"no difference: all {self.tensors} tensors are equal{rounded}"
        words = [f"{len(tensors)} of {self.tensors} tensors differ"]
        heads, neurons = self.of("head"), self.of("neuron")
        words += [_counted(found, noun) for found, noun in ((heads, "head"), (neurons, "neuron"))]
        return "; ".join(each for each in words if each)


def _counted(found: list[Difference], noun: str) -> str:
    if not found:
        return ""
    scaled = sum(each.factor is not None and each.factor != 0 for each in found)
    zeroed = sum(each.factor == 0 for each in found)
    kinds = ((zeroed, "zeroed"), (scaled, "scaled"), (len(found) - zeroed - scaled, "otherwise"))
    told = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    return f"{len(found):,} {noun}{'' if len(found) == 1 else 's'} ({told})"


def inspect(folder: Path, base: Path) -> Inspection:
    """Compare two model folders.

    Args:
        folder: the model that may have been changed.
        base: what it is compared with.

    Raises:
        InputError: one of them cannot be read, or they are not of one shape.
    """
    config = read_config(folder)
    _check_shape(config, read_config(base), folder.name, base.name)
    columns = _columns(config)
    with ExitStack() as stack:
        own, others = (_tensors(each, stack) for each in (folder, base))
        prefix = _prefix(config)
        mine, theirs = ({_bare(name, prefix): name for name in each} for each in (own, others))
        skipped = _tied(config, set(mine), set(theirs))
        names = [name for name in theirs if name not in skipped]
        names += [name for name in mine if name not in theirs and name not in skipped]
        differences: list[Difference] = []
        rounded = None
        for name in names:
            checkpoint()
            if name not in mine or name not in theirs:
                side = folder.name if name in mine else base.name
                note = f"only in {side}"
                differences.append(Difference("tensor", name, None, None, 1.0, None, note))
                continue
            tensor = own[mine[name]].get_tensor(mine[name])
            other = others[theirs[name]].get_tensor(theirs[name])
            if tensor.itemsize < other.itemsize:
                rounded = _dtype(tensor)
            differences += _compared(name, tensor, other, columns.get(name))
    return Inspection(len(names), differences, rounded)


@dataclass(frozen=True)
class _Columns:
    """A projection whose columns belong to heads or neurons."""

    layer: int
    heads: int | None
    """How many heads share the columns; None: each is a neuron."""
    transposed: bool


def _compared(
    name: str, tensor: Tensor, other: Tensor, columns: _Columns | None
) -> Iterator[Difference]:
    """A tensor's difference from the base's, then those of its heads or neurons."""
    if tensor.shape != other.shape:
        raise InputError(
            f"{name} has the shape {list(tensor.shape)}, in the base {list(other.shape)}: "
            "these are not one model before and after a change"
        )
    if tensor.dtype == other.dtype and torch.equal(tensor, other):
        return
    note = "" if tensor.dtype == other.dtype else f"{_dtype(tensor)}, in the base {_dtype(other)}"
    if tensor.itemsize < other.itemsize:  # rounding on storing is no change
        other = other.to(tensor.dtype)
    tensor, other = tensor.float(), other.float()
    if torch.equal(tensor, other):  # stored otherwise, the same numbers
        return
    yield _difference(
        "tensor", name, None if columns is None else columns.layer, tensor, other, note
    )
    if columns is None or tensor.dim() != 2:
        return
    if columns.transposed:
        tensor, other = tensor.T, other.T  # [outputs, inputs]
    layer, count = columns.layer, columns.heads or tensor.shape[1]
    blocks = [each.unflatten(1, (count, -1)) for each in (tensor, other)]  # [d, count, width]
    for index in (blocks[0] != blocks[1]).any(2).any(0).nonzero()[:, 0].tolist():
        ref = NeuronRef(layer, index) if columns.heads is None else HeadRef(layer, index)
        kind: Kind = "neuron" if columns.heads is None else "head"
        yield _difference(kind, str(ref), layer, *(each[:, index] for each in blocks))


def _difference(
    kind: Kind, name: str, layer: int | None, tensor: Tensor, other: Tensor, note: str = ""
) -> Difference:
    apart = (tensor - other).abs()
    return Difference(
        kind,
        name,
        layer,
        apart.max().item(),
        (apart > 0).double().mean().item(),
        None if kind == "tensor" else _factor(tensor, other),
        note,
    )


def _factor(tensor: Tensor, other: Tensor) -> float | None:
    """What `other` is multiplied by to give `tensor`; None if nothing does."""
    tensor, other = tensor.double(), other.double()
    size = other.square().sum()
    if size == 0:
        return None
    factor = (tensor * other).sum() / size
    limit = SCALED * torch.maximum(tensor.abs().max(), other.abs().max())
    if (tensor - factor * other).abs().max() > limit:
        return None
    return float(f"{factor.item():.6g}") + 0.0  # no minus before a zero


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _check_shape(config: PretrainedConfig, base: PretrainedConfig, name: str, other: str) -> None:
    """Raise InputError where two models are not of one architecture and shape."""
    for field in _SHAPE:
        mine, theirs = (getattr(each, field, None) for each in (config, base))
        if mine != theirs:
            raise InputError(
                f"{name} and {other} are different models: {field} is {mine}, not {theirs}"
            )


def _columns(config: PretrainedConfig) -> dict[str, _Columns]:
    """The projections whose columns are heads or neurons, by the bare names of their tensors."""
    from transformers import AutoModelForCausalLM

    family = family_of(config.model_type)
    with torch.device("meta"):  # the modules without their weights
        hf: Any = AutoModelForCausalLM.from_config(config)
    parts = Parts.find(hf, family)
    names = {module: name for name, module in hf.named_modules()}
    prefix = _prefix(config)
    found = {}
    for layer, part in enumerate(parts.layers):
        for module, heads in ((part.attention_out, parts.heads), (part.ffn_out, None)):
            name = _bare(f"{names[module]}.weight", prefix)
            found[name] = _Columns(layer, heads, weights.is_transposed(module))
    return found


def _prefix(config: PretrainedConfig) -> str:
    """What stands before the names of some models' tensors and not of others'."""
    return family_of(config.model_type).layers.partition(".")[0] + "."


def _bare(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _tied(config: PretrainedConfig, mine: set[str], theirs: set[str]) -> set[str]:
    """Tensors that need not be there, because the unembedding is the embedding."""
    if not config.get_text_config().tie_word_embeddings:
        return set()
    unembedding = family_of(config.model_type).unembedding.split("|")
    return {f"{each}.weight" for each in unembedding} & (mine ^ theirs)


def _tensors(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """For each tensor of a folder the open file that holds it.

    Raises:
        InputError: there is none, or a file is damaged.
    """
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            opened = stack.enter_context(safe_open(file, framework="pt"))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{folder.name}/{file.name} is damaged: {error}") from error
        found |= dict.fromkeys(opened.keys(), opened)
    if not found:
        raise InputError(f"{folder.name} holds no weights: .safetensors files are missing")
    return found
