"""The neurons a head drives, masked, kept alone, or left without their lowest, case by case.

All changed runs of a case are rows of one batch: they share the clean residual stream entering the
head's layer and differ in which neurons are silent above it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.controls import Control, random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.heads import ablated, batch_rows
from analysis.methods.neurons import cna_work
from analysis.model.forward import before
from analysis.model.passes import (
    CleanPass,
    Scores,
    clean_passes,
    intact_scores,
    score_pack,
    with_answers,
)
from analysis.refs import HeadRef, NeuronRef
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt


@torch.no_grad()
def circuit_work(
    model: Model, prompts: Sequence[Prompt], head: HeadRef, tops: Sequence[int], seed: int = 0
) -> Work:
    """Find the neurons that a head drives, case by case, and intervene on them.

    Args:
        model: the model.
        prompts: the cases.
        head: the head.
        tops: how many of the neurons to intervene on; one row a case and number.
        seed: of the random controls.
    """
    model.info.check_head(head)
    deep = (model.info.layers - head.layer) * model.info.neurons
    if max(tops) > deep:
        raise InputError(
            f"{max(tops):,} neurons are more than the {deep:,} from {head}'s layer up "
            f"in {model.info.name}; ask for fewer"
        )
    encoded = with_answers(model, prompts)
    passes = clean_passes(model, encoded)
    intact = intact_scores(model, passes)
    without = ablated(model, passes, Intervention(heads=(head,)))

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for number, prompt in enumerate(prompts):
            left = [top for top in tops if _name(number, top) not in done]
            if not left:
                continue
            known = _outcome(intact, number, "intact") | _outcome(without, number, "head")
            (clean,) = clean_passes(model, encoded[number : number + 1])
            found = driven(model, prompt, head, max(tops))
            case = _Case(model, head.layer, number, clean, found, seed)
            yield frame_of(known | row for row in case.rows(left))

    baseline = intact.summary(0) | {
        f"{name}_without_head": value
        for name, value in without.summary(0).items()
        if not name.startswith("prompt_")
    }
    return Work(len(prompts) * len(tops), frames, baseline)


def driven(model: Model, prompt: Prompt, head: HeadRef, wanted: int) -> pl.DataFrame:
    """The neurons whose importance the head changes most, from its layer up, by CNA."""
    for top in (wanted, None):
        work = cna_work(model, prompt, [Intervention(heads=(head,))], top=top)
        rows = pl.concat(list(work.frames(())))
        rows = rows.sort("importance_change", descending=True, maintain_order=True)
        found = rows.filter(pl.col("layer") >= head.layer).head(wanted)
        if found.height == wanted:
            break  # else too few gain from the head: those it changes nothing in came before
    return found


def neuron_refs(rows: pl.DataFrame) -> list[NeuronRef]:
    """The neurons that rows with `layer` and `neuron` are about, in their order."""
    return [NeuronRef(layer, neuron) for layer, neuron in rows[["layer", "neuron"]].iter_rows()]


def decrease(coefficients: Tensor, changed: Tensor) -> float | None:
    """Share of coefficients [c] that is lost in a changed run: `1 − Σ sign(m)·m′ / Σ |m|`.

    0: as before; 1: gone; more than 1: the sign turned. None for no neurons.
    """
    total = coefficients.abs().sum()
    if total == 0:
        return None
    return (1 - (coefficients.sign() * changed).sum() / total).item()


def _name(case: int, top: int) -> str:
    return f"{case} top {top}"


def _outcome(scores: Scores, number: int, name: str, row: int = 0) -> dict[str, Any]:
    return {
        f"{name}_correct": scores.correct[row, number].item(),
        f"{name}_logprob": scores.logprob[row, number].item(),
    }


@dataclass(frozen=True)
class _Case:
    """One case, with the neurons its head drives."""

    model: Model
    lowest: int
    """The head's layer."""
    number: int
    clean: CleanPass
    driven: pl.DataFrame
    seed: int

    def rows(self, tops: list[int]) -> list[dict[str, Any]]:
        """A row for each number of neurons, from one batch of changed runs."""
        plans = [self._runs(top) for top in tops]
        silent = torch.cat([plan.silent for plan in plans])
        scores, coefficients = silenced(self.model, self.clean, self.lowest, silent)
        rows = []
        for place, plan in enumerate(plans):
            start = place * len(_RUNS)
            here = slice(start, start + len(_RUNS))
            outcomes = Scores(scores.logprob[here], scores.correct[here])
            rows.append(self._row(plan, outcomes, coefficients[here]))
        return rows

    def _runs(self, top: int) -> _TopRuns:
        """Which neurons fall silent in each of the runs."""
        info = self.model.info
        chosen = self.driven.head(top)
        lowest = chosen.filter(pl.col("layer") == pl.col("layer").min()).sort(
            "importance", descending=True
        )
        refs = neuron_refs(chosen)
        first = NeuronRef(*lowest[["layer", "neuron"]].row(0))
        control = random_like(
            refs,
            f"{self.seed} {self.number} {top}",
            neurons=info.neurons,
            avoiding=neuron_refs(self.driven),
        )
        others = control.parts
        stand_in = others[refs.index(first)] if others else None
        every = torch.ones(
            info.layers - self.lowest, info.neurons, dtype=torch.bool, device=self.model.device
        )
        runs = {
            "mask": self._marked(refs),
            "mask_random": self._marked(others),
            "keep": every & ~self._marked(refs),
            "keep_random": every & ~self._marked(others),
            "lowest": self._marked([first]),
            "lowest_random": self._marked([stand_in] if stand_in else []),
        }
        return _TopRuns(
            chosen, refs, control, first, stand_in, torch.stack([runs[name] for name in _RUNS])
        )

    def _marked(self, refs: Iterable[NeuronRef]) -> Tensor:
        """[D, N] bool, true at these neurons of the D layers from the head's up."""
        info = self.model.info
        marked = torch.zeros(info.layers - self.lowest, info.neurons, dtype=torch.bool)
        for ref in refs:
            marked[ref.layer - self.lowest, ref.index] = True
        return marked.to(self.model.device)

    def _row(self, plan: _TopRuns, outcomes: Scores, coefficients: Tensor) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": _name(self.number, len(plan.refs)),
            "case": self.number,
            "top": len(plan.refs),
            "neurons": [str(ref) for ref in plan.refs],
            "neurons_random": [str(ref) for ref in plan.control.parts],
            "control_note": plan.control.note,
            "coefficient_decrease": decrease(
                torch.tensor(plan.chosen["coefficient"].to_list()),
                torch.tensor(plan.chosen["coefficient_contrast"].to_list()),
            ),
            "lowest": str(plan.first),
            "lowest_random": None if plan.stand_in is None else str(plan.stand_in),
        }
        for name in ("mask", "mask_random", "keep", "keep_random"):
            row |= _outcome(outcomes, 0, name, _RUNS.index(name))
        for name in ("lowest", "lowest_random"):
            row[f"{name}_decrease"] = self._decrease(plan, coefficients[_RUNS.index(name)])
        if plan.stand_in is None:
            row |= dict.fromkeys(_OF_CONTROL)
        return row

    def _decrease(self, plan: _TopRuns, coefficients: Tensor) -> float | None:
        """What the top neurons but the lowest lose in a run with these coefficients [D, N]."""
        others = [place for place, ref in enumerate(plan.refs) if ref != plan.first]
        layers = torch.tensor([plan.refs[i].layer - self.lowest for i in others])
        neurons = torch.tensor([plan.refs[i].index for i in others])
        if not others:
            return None
        intact = torch.tensor(plan.chosen["coefficient"].to_list())[others]
        return decrease(intact, coefficients.cpu()[layers, neurons])


_RUNS = ("mask", "mask_random", "keep", "keep_random", "lowest", "lowest_random")
"""The changed runs of each number of neurons, in the order of a batch's rows."""
_OF_CONTROL = (
    "mask_random_correct",
    "mask_random_logprob",
    "keep_random_correct",
    "keep_random_logprob",
    "lowest_random_decrease",
)
"""What is null where there is no control."""


@dataclass(frozen=True)
class _TopRuns:
    """The runs for one number of neurons."""

    chosen: pl.DataFrame
    refs: list[NeuronRef]
    control: Control[NeuronRef]
    """As many random ones of the same layers."""
    first: NeuronRef
    """The most important of the top neurons in their lowest layer."""
    stand_in: NeuronRef | None
    """Which of them stands in for the first; None: there is no control."""
    silent: Tensor
    """[runs, D, N] bool."""


@torch.no_grad()
def silenced(model: Model, clean: CleanPass, lowest: int, silent: Tensor) -> tuple[Scores, Tensor]:
    """Run a pack of one prompt with different neurons silent in each row.

    Args:
        model: the model.
        clean: the intact pass over the prompt.
        lowest: the first of the D layers that have silent neurons, all of them up to the last.
        silent: [B, D, N] bool.

    Returns:
        Scores [B, 1], and the coefficients [B, D, N] float32 where the answer is predicted.
    """
    scores, coefficients = [], []
    position = int(clean.packed.scored[0])
    for rows in silent.split(batch_rows(model, len(clean.packed.tokens))):
        seen: list[Tensor] = []
        with _silencing(model, lowest, rows, position, seen):
            x = clean.again(lowest, len(rows))
        scores.append(score_pack(model, clean.packed, x))
        coefficients.append(torch.stack(seen, 1))
    together = Scores(
        torch.cat([each.logprob for each in scores]), torch.cat([each.correct for each in scores])
    )
    return together, torch.cat(coefficients)


@contextmanager
def _silencing(
    model: Model, lowest: int, silent: Tensor, position: int, seen: list[Tensor]
) -> Iterator[None]:
    """Zero neurons row by row, and keep every coefficient at one position."""

    def change(x: Tensor, number: int) -> Tensor:
        # Some families flatten rows and positions before the down projection.
        rows = x.reshape(len(silent), -1, x.shape[-1])
        rows = rows.masked_fill(silent[:, number, None].to(x.device), 0)
        seen.append(rows[:, position].float().to(model.device))
        return rows.reshape(x.shape)

    with ExitStack() as stack:
        for number, layer in enumerate(model.parts.layers[lowest:]):
            hook = before(layer.ffn_out, lambda x, number=number: change(x, number))  # type: ignore[misc]
            stack.enter_context(hook)
        yield
