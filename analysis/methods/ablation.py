"""Heads and neurons ablated at single positions, or replaced by what they are in other runs.

Ablation everywhere by zero or by a mean scales whole runs (`analysis.methods.heads`). What is done
at one position, or by the values of another run, is a replacement as in a patch: runs branch off
from those of the cases, from the layer and position that is changed.

Shapes: C cases of n tokens, B rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.errors import InputError
from analysis.interventions import Intervention, Replacement
from analysis.methods.heads import part_means
from analysis.methods.replacing import (
    AlikeCases,
    Part,
    Positions,
    Row,
    Unit,
    Values,
    alike,
    batch_bytes,
    batch_rows,
    positions_of,
    read,
    split,
    token_at,
    values_in,
)
from analysis.model.pairs import encode_pair
from analysis.model.passes import Scores, with_answers
from analysis.options import naming
from analysis.progress import tell
from analysis.tasks.metrics import Metric
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.model.tokens import Encoded
    from analysis.tasks.prompts import PromptSet

PLACES = 8
"""Rows of a frame at least, however many cases each is measured on."""
Layers: TypeAlias = Mapping[Unit, Collection[int]]
"""Where parts of a kind are replaced."""
Constants: TypeAlias = Mapping[Unit, Mapping[int, Tensor]]
"""By kind and layer what all of its parts are everywhere [H · head width] or [N]."""


@torch.no_grad()
def replacement_work(
    model: Model,
    prompts: PromptSet,
    sets: Sequence[Intervention],
    value: Replacement = "zero",
    positions: Positions = "all",
    seed: int = 0,
) -> Work:
    """Replace one set of heads and neurons after the other, at one position after the other.

    Args:
        model: the model.
        prompts: the cases.
        sets: the sets; by its factor so much is left of what stood there.
        value: what replaces it: zero, its mean over all tokens of the cases, or what it is in
            another run: that of the corrupt prompt, or of another case where there is none.
        positions: where.
        seed: of the cases that stand in where there is no corrupt prompt.

    Raises:
        InputError: a part is not in the model, a position is beyond a prompt, or there is no run
            to take values from.
    """
    for each in sets:
        model.info.check_parts(each)
    encoded = with_answers(model, prompts.prompts)
    labels = positions_of(encoded, positions)
    layers = _layers(sets)
    baseline: dict[str, Any] = {"value": value}
    others: Sequence[Encoded] | None = None
    constants: Constants = {}
    if value == "resample":
        others, numbers = _others(model, prompts, encoded, seed)
        baseline["resampled_from"] = _words(numbers)
        baseline["prompt_resampled_from"] = numbers
    elif value == "mean":
        constants = {unit: part_means(model, encoded, unit) for unit in layers}
    else:
        constants = {unit: _zeros(model, unit, some) for unit, some in layers.items()}

    def group(numbers: Sequence[int]) -> Cases:
        own, other = ([each[number] for number in numbers] for each in (encoded, others or encoded))
        tokens = None if others is None else read(model, other)
        return Cases(model, numbers, own, _values(model, layers, constants, own, tokens))

    groups = tuple(map(group, alike(encoded)))
    tokens = tuple(token_at(model, encoded, each) for each in labels)
    ablation = Ablation(model, groups, labels, tokens, prompts.has_wrong)
    places = [(each, at) for each in sets for at in range(len(labels))]
    return Work(
        len(places),
        partial(ablation.frames, places),
        ablation.intact().summary(0) | baseline,
        memory=_peak_bytes(model, groups),
    )


def _layers(sets: Sequence[Intervention]) -> Layers:
    """The layers of each kind of part."""
    found: defaultdict[Unit, set[int]] = defaultdict(set)
    for each in sets:
        for part in _parts(each):
            found[part.unit].add(part.layer)
    return found


def _parts(change: Intervention) -> tuple[Part, ...]:
    heads = (Part("head", ref.layer, ref.index) for ref in change.heads)
    return (*heads, *(Part("neuron", ref.layer, ref.index) for ref in change.neurons))


def _others(
    model: Model, prompts: PromptSet, encoded: Sequence[Encoded], seed: int
) -> tuple[list[Encoded], list[int | None]]:
    """For each case the one whose values stand in, and its number from 1; None: it is corrupt."""
    others: list[Encoded] = []
    numbers: list[int | None] = []
    for place, (case, own) in enumerate(zip(prompts.prompts, encoded, strict=True)):
        case_of = naming(f"case {place + 1} of {prompts.name}")
        with case_of if len(prompts) > 1 else nullcontext():
            if case.corrupt is not None:
                others.append(replace(own, ids=encode_pair(model, case)[1].ids))
                numbers.append(None)
                continue
            fitting = [
                number
                for number, each in enumerate(encoded)
                if len(each.ids) == len(own.ids) and each.ids != own.ids
            ]
            if not fitting:
                raise InputError(
                    "there is no corrupt prompt and no other case of as many tokens to take "
                    "values from; give one, or another --mode"
                )
            drawn = Random(f"{seed} resample {place}").choice(fitting)
            others.append(replace(own, ids=encoded[drawn].ids))
            numbers.append(drawn + 1)
    return others, numbers


def _words(numbers: Sequence[int | None]) -> str:
    drawn = sum(each is not None for each in numbers)
    if not drawn:
        return "the corrupt prompt of each case"
    another = (
        f"for {drawn} of {len(numbers)} cases another one of as many tokens, drawn by the seed"
    )
    return another if drawn == len(numbers) else f"the corrupt prompt, and {another}"


def _zeros(model: Model, unit: Unit, layers: Iterable[int]) -> dict[int, Tensor]:
    last = (model.info.heads if unit == "head" else model.info.neurons) - 1
    nothing = torch.zeros(Part(unit, 0, last).where(model).stop, device=model.device)
    return dict.fromkeys(layers, nothing)


def _values(
    model: Model,
    layers: Layers,
    constants: Constants,
    own: Sequence[Encoded],
    others: Tensor | None,
) -> Values:
    """What replaces parts in cases [C, n, …], from runs of other tokens [C, n] if there are any."""
    if others is not None:
        return {unit: values_in(model, unit, others, some)[0] for unit, some in layers.items()}
    shape = (len(own), len(own[0].read(model.behind)), -1)
    return {
        unit: {layer: constants[unit][layer].expand(shape) for layer in some}
        for unit, some in layers.items()
    }


class Cases(AlikeCases):
    """Cases of equal length, with what replaces parts in them.

    Args:
        model: the model.
        numbers: which cases of the set they are, from 0.
        encoded: these cases.
        values: what replaces parts.
    """

    def __init__(
        self, model: Model, numbers: Sequence[int], encoded: Sequence[Encoded], values: Values
    ) -> None:
        super().__init__(model, numbers, encoded)
        self.values = values

    def intact(self) -> Tensor:
        """What `scores` tells of the runs as they are [1, C, 3]."""
        cases = list(range(len(self.numbers)))
        some = [torch.tensor(each) for each in split(cases, batch_rows(self.model, 1))]
        return torch.cat([self._seen(self.base.final[each], 0, each) for each in some])[None]

    def scores(self, rows: Sequence[tuple[Intervention, int | None]]) -> Tensor:
        """Log-probability, whether right, and logit difference of each case [R, C, 3].

        Args:
            rows: what is replaced, and at which position of the prompts; None: at all.
        """
        count = len(self.numbers)
        branches = [
            Row(case, _parts(change), self._where(position), change.factor)
            for change, position in rows
            for case in range(count)
        ]
        found = torch.empty(len(branches), 3)
        for some, seen in self.branched(branches, self.values, self._seen):
            found[some] = seen
        return found.view(len(rows), count, 3)

    def _where(self, position: int | None) -> slice:
        return slice(0, self.length) if position is None else self.place(position)

    def _seen(self, final: Tensor, start: int, cases: Tensor) -> Tensor:
        """[B, 3] of runs that leave [B, n − start, d]."""
        metrics: tuple[Metric, ...] = ("logprob", "accuracy", "logit_difference")
        logits = self.logits(final, start)
        return torch.stack(
            [self.targets.measure(each, logits, cases) for each in metrics], -1
        ).cpu()


@dataclass(frozen=True)
class Ablation:
    """Groups of cases, and the positions at which parts are replaced in all of them."""

    model: Model
    groups: tuple[Cases, ...]
    positions: tuple[int | None, ...]
    tokens: tuple[str | None, ...]
    """The prompts' token at each position; None where they have different ones."""
    has_wrong: bool
    """Whether there is a logit difference."""

    @torch.no_grad()
    def intact(self) -> Scores:
        """Scores [1, P] with nothing replaced."""
        return self._joined([each.intact() for each in self.groups])

    def _joined(self, found: Sequence[Tensor]) -> Scores:
        """What the groups come to [R, C, 3], in the order of the set."""
        order = torch.tensor([number for each in self.groups for number in each.numbers])
        logprob, right, difference = torch.cat(list(found), 1)[:, order.argsort()].unbind(-1)
        return Scores(logprob, right > 0, difference if self.has_wrong else None)

    def frames(
        self, places: Sequence[tuple[Intervention, int]], done: Collection[str]
    ) -> Iterator[pl.DataFrame]:
        """A frame for each batch of sets and numbers of positions, without those that are done."""
        left = [each for each in places if self.name(*each) not in done]
        cases = sum(len(each.numbers) for each in self.groups)
        longest = max(each.length for each in self.groups)
        size = max(PLACES, batch_rows(self.model, longest) // cases)
        for start in range(0, len(left), size):
            some = left[start : start + size]
            tell(0, f"ablating {self.name(*some[0])} and {len(some) - 1} others")
            rows = [(change, self.positions[at]) for change, at in some]
            with torch.no_grad():  # a generator must not leave it on in its caller
                scores = self._joined([each.scores(rows) for each in self.groups])
            yield frame_of(
                self._named(*place) | scores.summary(row) for row, place in enumerate(some)
            )

    def name(self, change: Intervention, at: int) -> str:
        """`L20H8`, `L20H8,L3N7@13`."""
        position = self.positions[at]
        return change.names if position is None else f"{change.names}@{position}"

    def _named(self, change: Intervention, at: int) -> dict[str, Any]:
        return {
            "name": self.name(change, at),
            "heads": len(change.heads),
            "neurons": len(change.neurons),
            "position": self.positions[at],
            "token": self.tokens[at],
        }


def _peak_bytes(model: Model, groups: Sequence[Cases]) -> int:
    """Roughly the most memory that it takes: what is kept, and the largest batch."""
    info, size = model.info, model.hf.dtype.itemsize
    tokens = sum(len(each.numbers) * each.length for each in groups)
    kept = tokens * info.layers * 3 * info.width * size  # residual stream, keys and values
    kept += sum(
        value.untyped_storage().nbytes()
        for each in groups
        for values in each.values.values()
        for value in values.values()
    )
    return kept + batch_bytes(model, max(each.length for each in groups))
