"""LoRA layer by layer, what it raises, and a deep FFN cut down (Figure 2, Tables 9–11)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.bootstrap import Estimate, mean
from analysis.changing.tuning import TOPS, Tuning
from analysis.paper import published
from analysis.paper.outcome import Cell, Claim, Outcome, Verdict, percent
from analysis.paper.scale import Scale
from analysis.refs import NeuronRef
from analysis.step import Found, Step
from analysis.steps.layers import GainsStep
from analysis.steps.lora import LoraStep
from analysis.steps.neurons import NeuronsStep
from analysis.steps.prune import PruneStep
from analysis.tasks.prompts import PromptSet

Values: TypeAlias = NDArray[np.float64]

WATCHED = 3
"""Neurons of the case study: deep ones, which adapters below them can reach."""
_LOOKED_AT = 100
"""Most important neurons of the case that these are taken from."""
TESTABLE = 10
"""Fewer test cases than this say nothing about an adapter."""
_PAPER_LAYERS = 32
_GROUPS = {"shallow": (1, 9), "middle": (10, 16), "deep": (17, 30)}
"""Of the paper's layers; the first and the last are in none."""


def group_of(layer: int, depth: int) -> str | None:
    """Which of the paper's three groups a layer belongs to by its relative depth."""
    if not 0 < layer < depth - 1:
        return None
    place = layer / (depth - 1) * (_PAPER_LAYERS - 1)
    ends = {name: last + 0.5 for name, (_, last) in _GROUPS.items()}
    return next(name for name, end in ends.items() if place < end)


def chosen_layers(depth: int, count: int | None) -> tuple[int, ...]:
    """So many layers, evenly spread between the first and the last; None: all."""
    if count is None or count >= depth:
        return tuple(range(depth))
    places = np.linspace(min(1, depth - 1), max(depth - 2, 0), count)
    return tuple(sorted({round(float(place)) for place in places}))


def _deep(layer: int, depth: int) -> int:
    """One of the paper's layers at the same relative depth."""
    return min(round(layer / _PAPER_LAYERS * depth), depth - 1)


def _depth(scale: Scale) -> Generator[Step, Found, int]:
    found = yield GainsStep(prompt=scale.case)
    layers: list[int] = found.rows["layer"].to_list()
    return max(layers) + 1


class Trained:
    """A finished `LoraStep`, layer by layer."""

    def __init__(self, found: Found, depth: int, seed: int) -> None:
        self._rows = {row["layer"]: row for row in LoraStep.finished(found.rows).to_dicts()}
        self._seed = seed
        self.depth = depth
        self.original: Values = np.asarray(found.baseline["prompt_correct"], float)
        """[P] whether each test case is answered right without any adapter."""

    @property
    def layers(self) -> list[int]:
        """The adapted layers, lowest first."""
        return sorted(self._rows)

    def of(self, column: str, layer: int) -> Values:
        """A list column of one layer: a value a case, or a neuron."""
        values = self._rows[layer][column] or ()
        return np.asarray([np.nan if each is None else each for each in values], float)

    def grouped(self, column: str, group: str) -> Values | None:
        """A list column's mean over a group's layers, case by case; None for no layers."""
        layers = [each for each in self.layers if group_of(each, self.depth) == group]
        if not layers:
            return None
        together: Values = np.mean([self.of(column, each) for each in layers], axis=0)
        return together

    def share(self, values: Values | None) -> Estimate:
        """Mean over the cases, in percent."""
        return mean(() if values is None else values, self._seed)

    def beyond(self, column: str) -> Estimate:
        """How far the shallow layers are above the deep ones, in points, cases in pairs."""
        shallow, deep = self.grouped(column, "shallow"), self.grouped(column, "deep")
        return self.share(None if shallow is None or deep is None else shallow - deep)


def _trained(scale: Scale) -> Generator[Step, Found, tuple[Trained, list[str]]]:
    """The adapters that all of these tables share, and the neurons watched under them."""
    depth = yield from _depth(scale)
    top = yield NeuronsStep(prompt=scale.case, top=_LOOKED_AT)
    deep = top.rows.filter(pl.col("layer") >= _deep(published.PRUNED_FROM, depth))
    names = deep["name"].to_list()[:WATCHED]
    lora = scale.lora
    prompts, test = scale.tuning_sets
    cases = (scale.case, *[each for each in test.prompts if each != scale.case])
    found = yield LoraStep(
        prompts=prompts,
        test=test,
        layers=chosen_layers(depth, lora.layers),
        tuning=Tuning(rates=lora.rates, epochs=lora.epochs),
        compared=PromptSet(name="compared", prompts=cases[: lora.compared]),
        watched=tuple(NeuronRef.parse(name) for name in names),
        seed=scale.seed,
    )
    return Trained(found, depth, scale.seed), names


def by_layer(scale: Scale) -> Generator[Step, Found, Outcome]:
    """Accuracy with LoRA on each single attention layer (Figure 2)."""
    trained, _ = yield from _trained(scale)
    cells = [
        Cell("original", "accuracy", trained.share(trained.original), paper=published.LORA_ORIGINAL)
    ]
    for layer in trained.layers:
        group = group_of(layer, trained.depth)
        cells.append(
            Cell(
                f"L{layer}",
                "accuracy",
                trained.share(trained.of("prompt_correct", layer)),
                paper_text=published.LORA_ACCURACY.get(group or ""),
                text=group,
            )
        )
    claim = "LoRA on any single layer helps, and on shallow layers more than on deep ones"
    note = f"test cases: {len(trained.original)}; one adapter a layer, best of rates and epochs"
    return Outcome(cells, Claim(claim, *_shallow_helps(trained)), [note])


def _shallow_helps(trained: Trained) -> tuple[Verdict, str]:
    cases = len(trained.original)
    beyond = trained.beyond("prompt_correct")
    if cases < TESTABLE or beyond.low is None:
        return "undecided", f"{cases} test cases, {len(trained.layers)} layers: too few to tell"
    helping = [
        layer
        for layer in trained.layers
        if trained.of("prompt_correct", layer).mean() > trained.original.mean()
    ]
    finding = (
        f"{len(helping)} of {len(trained.layers)} layers beat the original "
        f"{percent(trained.share(trained.original), 1)}; shallow layers are {percent(beyond, 1)} "
        "above deep ones"
    )
    held = len(helping) == len(trained.layers) and beyond.low > 0
    return "held" if held else "failed", finding


def one_case(scale: Scale) -> Generator[Step, Found, Outcome]:
    """Important neurons' coefficients under each adapter, one case (Table 9)."""
    trained, names = yield from _trained(scale)
    cells, raised = [], []
    for place, name in enumerate(names):
        own = published.LORA_CASE[place] if place < len(published.LORA_CASE) else None
        first = trained.of("watched_original", trained.layers[0])[place]
        cells.append(
            Cell(
                name,
                "original",
                Estimate.certain(abs(first)),
                paper=own[1][0] if own else None,
                paper_text=own[0] if own else None,
            )
        )
        changed = [
            trained.of("watched_coefficient", layer)[place] * np.sign(first)
            for layer in trained.layers
        ]
        raised.append(sum(value > abs(first) for value in changed))
        cells += [
            Cell(name, f"LoRA L{layer}", Estimate.certain(float(value)))
            for layer, value in zip(trained.layers, changed, strict=True)
        ]
    claim = "adapters raise the coefficients of the neurons that matter for a case"
    finding = ", ".join(
        f"{name} in {count} of {len(trained.layers)}"
        for name, count in zip(names, raised, strict=True)
    )
    held = sum(2 * count > len(trained.layers) for count in raised) * 2 > len(names)
    notes = [
        "coefficients with the sign they have in the original model; the three deep neurons of "
        "largest importance there; a case study, no interval",
        "paper: L25N7164 and L19N5769 rise under LoRA on layers 9, 15, 16 and 19, L28N3696 falls",
    ]
    finding = f"higher under an adapter: {finding}"
    return Outcome(cells, Claim.tested(claim, held, finding), notes)


def increases(scale: Scale) -> Generator[Step, Found, Outcome]:
    """How far adapters raise the coefficients of the top neurons, by depth (Table 10)."""
    trained, _ = yield from _trained(scale)
    cells = []
    for group, paper in published.LORA_INCREASE.items():
        for place, top in enumerate(TOPS):
            name = f"case_increase_{top}"
            cells.append(
                Cell(
                    group,
                    f"top {top}",
                    trained.share(trained.grouped(name, group)),
                    trained.share(trained.grouped(f"{name}_random", group)),
                    paper[place],
                )
            )
    claim = "LoRA raises the coefficients of the neurons that matter, on shallow layers the most"
    finding = [trained.beyond(f"case_increase_{top}") for top in TOPS]
    above = sum(each.positive for each in finding)
    rising = sum(cell.measured is not None and cell.measured.positive for cell in cells)
    words = (
        f"{rising} of {len(cells)} means are clearly above 0; shallow clearly above deep for "
        f"{above} of {len(TOPS)} sizes"
    )
    verdict: Verdict = "held" if rising == len(cells) and above == len(TOPS) else "failed"
    if any(each.low is None for each in finding):
        verdict = "undecided"
    layers = ", ".join(f"L{layer}" for layer in trained.layers)
    notes = [
        f"adapted layers: {layers}; groups are the paper's by relative depth",
        "neurons: the top ones by CNA of the adapted against the original model, for each case "
        "and adapter; control: as many random neurons of the same layers",
    ]
    return Outcome(cells, Claim(claim, verdict, words), notes)


def pruned(scale: Scale) -> Generator[Step, Found, Outcome]:
    """The deep FFN cut down to the neurons that CNA finds, with LoRA on top (Table 11)."""
    depth = yield from _depth(scale)
    lora = scale.lora
    prompts, test = scale.tuning_sets
    found = yield PruneStep(
        prompts=prompts,
        test=test,
        top=lora.top,
        from_layer=_deep(published.PRUNED_FROM, depth),
        cases=lora.found_on,
        layer=_deep(published.PRUNED_LORA, depth),
        tuning=Tuning(rates=lora.rates, epochs=lora.epochs),
        seed=scale.seed,
    )
    step = found.step
    assert isinstance(step, PruneStep)
    rows = {row["name"]: row for row in step.finished(found.rows).to_dicts()}
    right = {name: np.asarray(row["prompt_correct"], float) for name, row in rows.items()}
    cells = []
    for name in step.forms:
        control = {"pruned": "random", "pruned + LoRA": "random + LoRA"}.get(name)
        if name != "pruned, compact":
            cells.append(
                Cell(
                    name,
                    "accuracy",
                    mean(right[name], scale.seed),
                    None if control is None else mean(right[control], scale.seed),
                    published.PRUNED.get(name),
                )
            )
    share = 100 * rows["pruned"]["kept"]
    cells.append(Cell("deep neurons kept", "share", Estimate.certain(share), paper=5.0))
    notes = [
        f"from layer {step.from_layer}, top {step.top} of each of "
        f"{found.baseline['compared_cases']} training cases; LoRA on layer {step.layer}; "
        "control: as many random neurons in each layer",
        step.summary(found.rows),
    ]
    return Outcome(cells, _still_works(right, scale.seed), notes)


def _still_works(right: dict[str, Values], seed: int) -> Claim:
    claim = (
        "cut down to the neurons that CNA finds and fine-tuned, the model is better than the whole "
        "original one; cut down at random it is not"
    )
    cases = len(right["original"])
    kept, drawn = right["pruned + LoRA"], right["random + LoRA"]
    better = mean(kept - right["original"], seed)
    beyond = mean(kept - drawn, seed)
    if cases < TESTABLE or better.low is None or beyond.low is None:
        return Claim(claim, "undecided", f"{cases} test cases are too few to tell")
    finding = (
        f"original {percent(mean(right['original'], seed), 1)}, LoRA "
        f"{percent(mean(right['LoRA'], seed), 1)}, pruned + LoRA {percent(mean(kept, seed), 1)}, "
        f"random + LoRA {percent(mean(drawn, seed), 1)}"
    )
    control_helps = drawn.mean() > right["original"].mean()
    held = better.low > 0 and beyond.low > 0 and not control_helps
    return Claim.tested(claim, held, finding)
