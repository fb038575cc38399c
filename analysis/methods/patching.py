"""Activation patching: one unit's value from one run put into another, and what that brings back.

Of each case there are two runs, clean and corrupt. Denoising starts from the corrupt run and puts
in clean values; noising goes the other way. What is patched at layer l and position p changes
nothing below l and nothing before p (`analysis.model.branching`); and where all tokens up to a
position are the same in both runs, what stands there is the same, so that patching it does nothing.

Shapes: C cases of n tokens, P positions, U units of a kind in a layer, L layers, d width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.errors import InputError
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
    through,
    token_at,
    values_in,
)
from analysis.model.forward import before, resumed
from analysis.model.pairs import encode_pairs, strips
from analysis.model.tokens import Encoded
from analysis.progress import checkpoint, tell
from analysis.refs import HeadRef, NeuronRef
from analysis.tasks.metrics import Metric, metric_of
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import PromptSet

LEAST = 0.1
"""What the metric must differ by between the two runs of a case for a share of it to mean much."""
PLACES = 8
"""Places of a frame at least, however many cases each is patched in."""
GRADIENT_TOKENS = 512
"""Tokens at once of the runs that estimates are made of."""


class Group(AlikeCases):
    """Cases of equal length, with both their runs.

    Args:
        model: the model.
        numbers: which cases of the set they are, from 0.
        pairs: their clean and their corrupt sides.
        unit: what is patched.
        noising: whether corrupt values are put into the clean run.
        metric: what runs are measured by.
    """

    def __init__(
        self,
        model: Model,
        numbers: Sequence[int],
        pairs: Sequence[tuple[Encoded, Encoded]],
        unit: Unit,
        noising: bool,
        metric: Metric,
    ) -> None:
        base, other = zip(*(pair if noising else pair[::-1] for pair in pairs), strict=True)
        super().__init__(model, numbers, base)
        self.unit, self.metric = unit, metric
        source = read(model, other)
        differing = (source != self.base.tokens).any(0).nonzero()
        self.first = int(differing[0]) if len(differing) else self.length
        """The first position at which any of the pairs differ."""
        values, final = values_in(model, unit, source)
        self.values: Values = {unit: values}
        self.from_base, self.from_source = self.measured(self.base.final), self.measured(final)
        """[C] the metric of the two runs."""

    @torch.no_grad()
    def measured(self, final: Tensor, start: int = 0, cases: Tensor | None = None) -> Tensor:
        """The metric [B] float64 of runs that leave [B, n − start, d], on the CPU."""
        found = self.targets.measure(self.metric, self.logits(final, start), cases)
        return found.double().cpu()

    def where(self, position: int | None) -> slice:
        """A position of the prompts, or all that may differ, as a slice of the sequence."""
        return slice(self.first, self.length) if position is None else self.place(position)

    def patched(self, rows: Sequence[Row]) -> Tensor:
        """The metric [B] float64 of patched runs."""
        found = self.from_base[[row.case for row in rows]]
        for some, metrics in self.branched(rows, self.values, self.measured, self.first):
            found[some] = metrics
        return found

    def estimates(self, kept: Sequence[int], positions: Sequence[int | None]) -> Tensor:
        """First-order change of the metric, summed over cases [L, P, U] float64 on the CPU.

        Attribution patching: the gradient in the base run, times what patching would add. One
        backward pass a case, of several at once.

        Args:
            kept: which of the cases.
            positions: of the prompts; None: all together.
        """
        total: Tensor | None = None
        for cases in split(list(kept), max(1, GRADIENT_TOKENS // self.length)):
            checkpoint()
            layers = []
            for number, (value, gradient) in enumerate(self._gradients(cases)):
                away = self.values[self.unit][number][cases].to(value) - value
                share = (gradient * away).float().sum(0)  # [n, …]
                at = [share[self.where(each)].sum(0) for each in positions]
                layers.append(torch.stack(at).double().cpu())
            found = torch.stack(layers)  # [L, P, …]
            total = found if total is None else total + found
        assert total is not None
        if self.unit == "neuron":
            return total
        units = self.model.info.heads if self.unit == "head" else 1
        shares: Tensor = total.unflatten(-1, (units, -1)).sum(-1)
        return shares

    def _gradients(self, cases: list[int]) -> list[tuple[Tensor, Tensor]]:
        """For each layer a unit's values [c, n, …] in base runs, and the metric's gradient."""
        found: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            x.retain_grad()
            found.append(x)
            return x.clone()  # some families add to what they are given

        calls, _ = self.base.calls_from(0)
        x = self.base.entering[0][cases].detach().clone().requires_grad_()
        with torch.enable_grad(), ExitStack() as stack:
            for layer in range(len(calls)):
                if self.unit != "residual":
                    stack.enter_context(through(self.model, self.unit, layer, keep))
                else:
                    stack.enter_context(before(calls[layer].layer, keep))
            final = resumed(calls, x)[:, self.scored]
            logits = self.model.logits(final.to(self.base.final.device))
            self.targets.measure(self.metric, logits, torch.tensor(cases)).sum().backward()
        shape = (len(cases), self.length, -1)
        pairs = []
        for each in found:
            assert each.grad is not None
            pairs.append((each.detach().reshape(shape), each.grad.reshape(shape)))
        return pairs


@dataclass(frozen=True)
class Patching:
    """What is patched in which cases, with what is known before the first patch."""

    model: Model
    unit: Unit
    groups: tuple[Group, ...]
    kept: tuple[tuple[int, ...], ...]
    """Of each group the cases that are not left out."""
    positions: tuple[int | None, ...]
    tokens: tuple[str | None, ...]
    """The prompts' token at each position; None where they have different ones."""

    @property
    def difference(self) -> float:
        """Source minus base, summed over the cases: the whole of what patches bring back."""
        return sum(
            (group.from_source - group.from_base)[list(kept)].sum().item()
            for group, kept in self._each()
        )

    @property
    def cases(self) -> int:
        """How many are not left out."""
        return sum(map(len, self.kept))

    @cached_property
    def order(self) -> list[int]:
        """Places of the cases, group behind group, in the order of the set."""
        numbers = [group.numbers[case] for group, kept in self._each() for case in kept]
        return sorted(range(len(numbers)), key=numbers.__getitem__)

    def _each(self) -> Iterator[tuple[Group, tuple[int, ...]]]:
        return zip(self.groups, self.kept, strict=True)

    def estimates(self) -> Tensor:
        """Shares that are recovered, to first order [L, P, U]."""
        found = [group.estimates(kept, self.positions) for group, kept in self._each() if kept]
        return torch.stack(found).sum(0) / self.difference

    def rows(self, places: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
        """Exact rows of places: layer, number of the position, index of the unit."""
        metrics: list[list[float]] = [[] for _ in places]
        total = [0.0] * len(places)
        for group, kept in self._each():
            parts = [self.part(layer, index) for layer, _, index in places]
            slices = [group.where(self.positions[at]) for _, at, _ in places]
            rows = [
                Row(case, (part,), where)
                for part, where in zip(parts, slices, strict=True)
                for case in kept
            ]
            found = group.patched(rows).view(len(places), len(kept))
            gained = (found - group.from_base[list(kept)]).sum(-1)
            for number, values in enumerate(found.tolist()):
                metrics[number] += values
                total[number] += gained[number].item()
        return [
            self._named(place)
            | {
                "recovered": total[number] / self.difference,
                "metric": sum(metrics[number]) / len(metrics[number]),
                "case_metric": [metrics[number][at] for at in self.order],
            }
            for number, place in enumerate(places)
        ]

    def frames(
        self, places: Sequence[tuple[int, int, int]], done: Collection[str]
    ) -> Iterator[pl.DataFrame]:
        """A frame for each batch of places, in their order, without those that are done."""
        left = [each for each in places if self.name(each) not in done]
        longest = max(1, *(group.length - group.first for group in self.groups))
        size = max(PLACES, batch_rows(self.model, longest) // self.cases)
        for start in range(0, len(left), size):
            some = left[start : start + size]
            tell(0, f"patching {self.name(some[0])} and {len(some) - 1} others")
            with torch.no_grad():  # a generator must not leave it on in its caller
                rows = self.rows(some)
            yield frame_of(rows)

    def part(self, layer: int, index: int) -> Part:
        """A unit by its layer and its index there."""
        return Part(self.unit, layer, index if self.unit in ("head", "neuron") else None)

    def name(self, place: tuple[int, int, int]) -> str:
        """`L16@9`, `L20H8`, `L28N3696@13`."""
        position = self.positions[place[1]]
        where = "" if position is None else f"@{position}"
        return f"{self.part(place[0], place[2]).name}{where}"

    def _named(self, place: tuple[int, int, int]) -> dict[str, Any]:
        layer, at, index = place
        own = {self.unit: index} if self.unit in ("head", "neuron") else {}
        return {
            "unit": self.unit,
            "name": self.name(place),
            "layer": layer,
            "position": self.positions[at],
            "token": self.tokens[at],
        } | own

    def estimated(self, places: Sequence[tuple[int, int, int]], shares: Tensor) -> pl.DataFrame:
        """Rows of places with their first-order values."""
        return frame_of(
            self._named(place) | {"recovered": shares[place].item()} for place in places
        )


@torch.no_grad()
def patch_work(
    model: Model,
    prompts: PromptSet,
    unit: Unit = "residual",
    positions: Positions | None = None,
    noising: bool = False,
    metric: Metric | None = None,
    parts: Sequence[HeadRef] | Sequence[NeuronRef] | None = None,
    top: int = 100,
) -> Work:
    """Patch one unit after the other: estimates of all now, exact values the most promising first.

    Args:
        model: the model.
        prompts: cases with a corrupt prompt each.
        unit: what is patched.
        positions: where; None: each position of residual stream, attention and FFN, all positions
            at once of heads and neurons.
        noising: put corrupt values into the clean run, instead of clean ones into the corrupt run.
        metric: what runs are measured by; None: the logit difference where there are wrong answers.
        parts: only these heads or neurons; None: all heads, the most promising neurons.
        top: how many neurons.

    Raises:
        InputError: a case is no pair, a position is beyond a prompt, or no case differs enough.
    """
    for ref in parts or ():
        model.info.check_head(ref) if isinstance(ref, HeadRef) else model.info.check_neuron(ref)
    metric = metric_of(prompts, metric)
    pairs = encode_pairs(model, prompts)
    clean = [each for each, _ in pairs]
    labels = positions_of(clean, positions or ("all" if unit in ("head", "neuron") else "each"))
    groups = _groups(model, pairs, unit, noising, metric)
    patching = Patching(
        model,
        unit,
        groups,
        tuple(_kept(group) for group in groups),
        labels,
        tuple(token_at(model, clean, each) for each in labels),
    )
    if not patching.cases:
        raise _too_alike(prompts, groups)
    differentiable = metric != "accuracy"
    shares = patching.estimates() if differentiable else _unknown(patching)
    places = _places(patching, shares, parts, top)

    return Work(
        len(places),
        partial(patching.frames, places),
        _baseline(patching, prompts, pairs, noising, metric),
        patching.estimated(places, shares) if differentiable else None,
        _peak_bytes(patching),
    )


def _groups(
    model: Model,
    pairs: Sequence[tuple[Encoded, Encoded]],
    unit: Unit,
    noising: bool,
    metric: Metric,
) -> tuple[Group, ...]:
    return tuple(
        Group(model, numbers, [pairs[each] for each in numbers], unit, noising, metric)
        for numbers in alike([clean for clean, _ in pairs])
    )


def _kept(group: Group) -> tuple[int, ...]:
    apart = (group.from_source - group.from_base).abs() >= LEAST
    return tuple(apart.nonzero()[:, 0].tolist())


def _too_alike(prompts: PromptSet, groups: Sequence[Group]) -> InputError:
    most = max((group.from_source - group.from_base).abs().max().item() for group in groups)
    what = "the case" if len(prompts) == 1 else f"none of the {len(prompts)} cases"
    verb = "differs" if len(prompts) > 1 else "does not differ"
    return InputError(
        f"{what} {verb} enough between its two prompts: the metric by {most:.3g} at most, and a "
        f"share of less than {LEAST} says nothing"
    )


def _unknown(patching: Patching) -> Tensor:
    info = patching.model.info
    units = {"head": info.heads, "neuron": info.neurons}.get(patching.unit, 1)
    return torch.zeros(info.layers, len(patching.positions), units)


def _places(
    patching: Patching,
    shares: Tensor,
    parts: Sequence[HeadRef] | Sequence[NeuronRef] | None,
    top: int,
) -> list[tuple[int, int, int]]:
    """What is patched, the most promising first: layer, number of the position, index."""
    _, positions, units = shares.shape
    if parts is not None:
        places = [(ref.layer, at, ref.index) for ref in parts for at in range(positions)]
        return sorted(places, key=lambda place: -abs(shares[place].item()))
    order = shares.abs().flatten().argsort(descending=True, stable=True)
    if patching.unit == "neuron":
        order = order[:top]
    unit, place = order % units, order // units
    return list(
        zip(
            (place // positions).tolist(),
            (place % positions).tolist(),
            unit.tolist(),
            strict=True,
        )
    )


def _baseline(
    patching: Patching,
    prompts: PromptSet,
    pairs: Sequence[tuple[Encoded, Encoded]],
    noising: bool,
    metric: Metric,
) -> dict[str, Any]:
    """What is known of the two runs."""
    sides: dict[str, dict[int, float]] = {"clean": {}, "corrupt": {}}
    kept: set[int] = set()
    base, source = ("clean", "corrupt") if noising else ("corrupt", "clean")
    for group, some in zip(patching.groups, patching.kept, strict=True):
        sides[base] |= dict(zip(group.numbers, group.from_base.tolist(), strict=True))
        sides[source] |= dict(zip(group.numbers, group.from_source.tolist(), strict=True))
        kept |= {group.numbers[case] for case in some}
    found: dict[str, Any] = {
        "metric": metric,
        "direction": "noising" if noising else "denoising",
        **{side: sum(values[each] for each in kept) / len(kept) for side, values in sides.items()},
        "cases": len(kept),
        "left_out": [
            f"case {each + 1} of {prompts.name}: the metric differs by "
            f"{abs(sides['clean'][each] - sides['corrupt'][each]):.3g}"
            for each in range(len(prompts))
            if each not in kept
        ],
        "case_numbers": sorted(kept),
        **{
            f"case_{side}": [values[each] for each in sorted(kept)]
            for side, values in sides.items()
        },
        "runs_from": "the patched layer and position"
        if all(group.base.carries for group in patching.groups)
        else "the patched layer; this model cannot carry keys",
    }
    if len(prompts) == 1:
        both = strips(patching.model, prompts.prompts[0])
        found |= {"tokens": list(both.prompt), "corrupt_tokens": list(both.corrupt)}
        found["answer"] = patching.model.token(pairs[0][0].answer_ids[0])
    return found


def _peak_bytes(patching: Patching) -> int:
    """Roughly the most memory that patching takes: what is kept, and the largest batch."""
    info, size = patching.model.info, patching.model.hf.dtype.itemsize
    widths = {"neuron": info.neurons}
    tokens = sum(len(group.numbers) * group.length for group in patching.groups)
    kept = tokens * info.layers * (3 * info.width + widths.get(patching.unit, info.width)) * size
    longest = max(group.length for group in patching.groups)
    at_once = max(longest, min(GRADIENT_TOKENS, tokens))
    backward = at_once * info.layers * (8 * info.width + 4 * info.neurons) * size
    return kept + max(batch_bytes(patching.model, longest), backward)
