"""The neurons a head drives, masked, kept alone, or left without their lowest, case by case.

All changed runs of a case are rows of one batch: they share the clean residual stream entering the
head's layer and differ in which neurons are silent above it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import schema
from analysis.controls import Control, random_like
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.ablation import ablated
from analysis.methods.heads import CleanPass, batch_rows, clean_passes, join
from analysis.methods.neurons import start_cna
from analysis.model.forward import before
from analysis.model.scoring import Scores, score_pack, with_answers
from analysis.progress import checkpoint
from analysis.refs import NeuronRef
from analysis.step import Work
from analysis.steps.cna import CnaStep

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.circuit import CircuitStep
    from analysis.tasks.prompts import Prompt


@torch.no_grad()
def start_circuit(step: CircuitStep, model: Model) -> Work:
    """Bind the interventions to a model; one row a case and number of neurons."""
    model.check_head(step.head)
    deep = (model.info.layers - step.head.layer) * model.info.neurons
    if max(step.tops) > deep:
        raise InputError(
            f"{max(step.tops):,} neurons are more than the {deep:,} from {step.head}'s layer up "
            f"in {model.info.name}; ask for fewer"
        )
    encoded = with_answers(model, step.prompts.prompts)
    passes = clean_passes(model, encoded)
    intact = join([score_pack(model, each.packed, each.final) for each in passes])
    without = ablated(model, passes, Intervention(heads=(step.head,)))
    columns = schema(step.columns)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for number, prompt in enumerate(step.prompts.prompts):
            tops = [top for top in step.tops if _name(number, top) not in done]
            if not tops:
                continue
            known = _outcome(intact, number, "intact") | _outcome(without, number, "head")
            (clean,) = clean_passes(model, encoded[number : number + 1])
            case = _Case(model, step, number, clean, driven(model, step, prompt))
            rows = [known | row for row in case.rows(tops)]
            yield pl.DataFrame(rows, schema=columns)

    baseline = intact.summary(0) | {
        f"{name}_without_head": value
        for name, value in without.summary(0).items()
        if not name.startswith("prompt_")
    }
    return Work(len(step.prompts) * len(step.tops), frames, baseline)


def driven(model: Model, step: CircuitStep, prompt: Prompt) -> pl.DataFrame:
    """The neurons whose importance the head changes most, from its layer up, by CNA."""
    change = Intervention(heads=(step.head,))
    wanted = max(step.tops)
    for top in (wanted, None):
        cna = CnaStep(prompt=prompt, ablate=change, top=top)
        rows = cna.ranked(pl.concat(list(start_cna(cna, model).frames(()))))
        found = rows.filter(pl.col("layer") >= step.head.layer).head(wanted)
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
    step: CircuitStep
    number: int
    clean: CleanPass
    driven: pl.DataFrame

    def rows(self, tops: list[int]) -> list[dict[str, Any]]:
        """A row for each number of neurons, from one batch of changed runs."""
        plans = [self._plan(top) for top in tops]
        silent = torch.cat([plan.silent for plan in plans])
        scores, coefficients = silenced(self.model, self.clean, self.step.head.layer, silent)
        rows = []
        for place, plan in enumerate(plans):
            start = place * len(_RUNS)
            here = slice(start, start + len(_RUNS))
            outcomes = Scores(scores.logprob[here], scores.correct[here])
            rows.append(self._row(plan, outcomes, coefficients[here]))
        return rows

    def _plan(self, top: int) -> _Plan:
        """Which neurons fall silent in each of the runs."""
        step, info = self.step, self.model.info
        chosen = self.driven.head(top)
        lowest = chosen.filter(pl.col("layer") == pl.col("layer").min()).sort(
            "importance", descending=True
        )
        refs = neuron_refs(chosen)
        first = NeuronRef(*lowest[["layer", "neuron"]].row(0))
        control = random_like(
            refs,
            f"{step.seed} {self.number} {top}",
            neurons=info.neurons,
            avoiding=neuron_refs(self.driven),
        )
        others = control.parts
        stand_in = others[refs.index(first)] if others else None
        every = torch.ones(
            info.layers - step.head.layer, info.neurons, dtype=torch.bool, device=self.model.device
        )
        runs = {
            "mask": self._marked(refs),
            "mask_random": self._marked(others),
            "keep": every & ~self._marked(refs),
            "keep_random": every & ~self._marked(others),
            "lowest": self._marked([first]),
            "lowest_random": self._marked([stand_in] if stand_in else []),
        }
        return _Plan(
            chosen, refs, control, first, stand_in, torch.stack([runs[name] for name in _RUNS])
        )

    def _marked(self, refs: Iterable[NeuronRef]) -> Tensor:
        """[D, N] bool, true at these neurons of the D layers from the head's up."""
        lowest = self.step.head.layer
        info = self.model.info
        marked = torch.zeros(info.layers - lowest, info.neurons, dtype=torch.bool)
        for ref in refs:
            marked[ref.layer - lowest, ref.index] = True
        return marked.to(self.model.device)

    def _row(self, plan: _Plan, outcomes: Scores, coefficients: Tensor) -> dict[str, Any]:
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
            "lowest": str(plan.lowest),
            "lowest_random": None if plan.stand_in is None else str(plan.stand_in),
        }
        for name in ("mask", "mask_random", "keep", "keep_random"):
            row |= _outcome(outcomes, 0, name, _RUNS.index(name))
        for name in ("lowest", "lowest_random"):
            row[f"{name}_decrease"] = self._decrease(plan, coefficients[_RUNS.index(name)])
        if plan.stand_in is None:
            row |= dict.fromkeys(_OF_CONTROL)
        return row

    def _decrease(self, plan: _Plan, coefficients: Tensor) -> float | None:
        """What the top neurons but the lowest lose in a run with these coefficients [D, N]."""
        others = [place for place, ref in enumerate(plan.refs) if ref != plan.lowest]
        layers = torch.tensor([plan.refs[i].layer - self.step.head.layer for i in others])
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
class _Plan:
    """The runs for one number of neurons."""

    chosen: pl.DataFrame
    refs: list[NeuronRef]
    control: Control[NeuronRef]
    """As many random ones of the same layers."""
    lowest: NeuronRef
    stand_in: NeuronRef | None
    """Which of them stands in for the lowest; None: there is no control."""
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
            x = clean.calls[lowest].entering.expand(len(rows), -1, -1)
            for call in clean.calls[lowest:]:
                checkpoint()
                x = call.again(x.to(call.entering.device))
        scores.append(score_pack(model, clean.packed, x.to(clean.final.device)))
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
