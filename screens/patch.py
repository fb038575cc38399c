"""Screen 9, Patch: what each unit, put from one prompt's run into the other's, brings back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, get_args

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Step
from analysis.steps import CnaStep, LensStep, PatchStep, ProjectStep
from analysis.steps.patch import Unit
from analysis.tasks.metrics import Metric
from analysis.tasks.prompts import Prompt, PromptSet
from screens.attention import look_at
from screens.beside import SecondRun, turn_second
from screens.by_shape import VIEWS
from screens.corpus import fires_on, part_named
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.shape_screen import ShapeScreen
from screens.text import count, counted, number, one_line, visible
from screens.views import MapView, ShapeView
from screens.widgets.cell_map import CellMap
from screens.widgets.frame_table import FrameTable
from screens.widgets.lines import Legend
from screens.workspace import Result
from sessions import View

UNITS: tuple[Unit, ...] = get_args(Unit)
METRICS: tuple[Metric, ...] = get_args(Metric)
HEAD_AND_NEURON = "Changes are of heads and neurons; <patch.unit> patches these."
PAIR = (
    "Which parts carry the difference between the two prompts.\n\n"
    "Press <patch.patch>: the residual stream of the one is put into the run on the other, at each "
    "layer and position. Then <patch.unit> patches attention, FFN, heads or neurons."
)
NO_PAIR = (
    "Which parts carry the difference between two prompts: each is taken from the run on the one "
    "and put into the run on the other.\n\n"
    "Press <prompts.new-prompt> on screen <app.prompts> and type a corrupt prompt too, or take a "
    "task that has them, as ioi, with <prompts.task>. Then press <patch.patch>."
)
ANOTHER = "<patch.unit>, <patch.positions>, <patch.metric> and <patch.noising> patch otherwise."


class PatchScreen(ShapeScreen):
    """Layers by positions, heads, or neurons: the share of the difference that each brings back."""

    NAME = "patch"
    KINDS = ("patch",)
    TABLE = "#rows"
    LIVE = frozenset({"run", "stage"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Patch", id="patch.patch"),
        Binding("enter", "open", "Open", priority=True, id="patch.open"),
        Binding("u", "unit", "Unit", id="patch.unit"),
        Binding("p", "positions", "Positions", id="patch.positions"),
        Binding("m", "metric", "Metric", id="patch.metric"),
        Binding("d", "noising", "Noising", id="patch.noising"),
        Binding("w", "second", "Beside", id="patch.beside"),
        Binding("x", "stage", "Stage a change", id="patch.stage-a-change"),
        unlisted("f", "fires", "Fires on", id="patch.fires-on"),
        unlisted("v", "look", "What it looks at", id="patch.what-it-looks-at"),
        unlisted("b", "best", "Strongest", id="patch.strongest"),
        unlisted("slash", "filter", "Filter", id="patch.filter"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """The pictures of one run, and those of a second beside them."""
        self._second = SecondRun(self.workspace)
        self._scale: tuple[float, float] | None = None
        self._others = {each: each() for each in VIEWS.values() if issubclass(each, MapView)}
        yield from super().compose_body()

    def pictures(self) -> Iterator[Widget]:
        """Those of the second run stand to the right."""
        yield from super().pictures()
        yield from self._others.values()

    def nothing(self) -> None:
        """Two prompts are needed."""
        self.set_title("Patch")
        self.set_empty(PAIR if _paired(self.workspace.prompts) else NO_PAIR)

    def head(self, result: Result) -> tuple[str, str]:
        """The unit, the direction, what the ends mean, and how much is exact."""
        step = result.step
        assert isinstance(step, PatchStep)
        way = "noising" if step.noising else "denoising"
        where = "all positions" if step.all_at_once else "each position"
        parts = (step.unit, where, way, _metric(result).replace("_", " "))
        title = f"patch · {' · '.join(parts)} · {step.prompts.title}"
        return title, f"exact {count(result.done)} of {count(result.expected)}"

    def drawn(self, result: Result) -> tuple[object, ...]:
        """The scale follows the second run too."""
        return (*super().drawn(result), self._scale)

    def update(self) -> None:
        """Show the run, and the second one beside it on the same scale."""
        second = self.second
        self._scale = self._shared(self.result, second)
        for view, other in self._others.items():
            other.display = self._scale is not None and isinstance(self.shown, view)
        for each in (*self._views.values(), *self._others.values()):
            if isinstance(each, MapView):
                each.scale = self._scale
        super().update()
        shown = self.shown
        if isinstance(shown, MapView) and isinstance(step := self.step, PatchStep):
            ends = ("clean", "corrupt") if step.noising else ("corrupt", "clean")
            shown.query_one(Legend).set_note("0 is the {} run, 1 the {} one".format(*ends))
        if second is not None and self._scale is not None and isinstance(shown, MapView):
            self._others[type(shown)].show(second)

    @property
    def second(self) -> Result | None:
        """The run beside the one in sight."""
        return self._second.beside(self.result)

    @staticmethod
    def _shared(result: Result | None, second: Result | None) -> tuple[float, float] | None:
        """The scale that two maps share; None where there is one, or the two are no like maps."""
        if result is None or second is None or result.step.shape != second.step.shape:
            return None
        values = [value for each in (result, second) for value in each.rows["recovered"].to_list()]
        known = [value for value in values if value is not None and value == value]
        return (min(known), max(known)) if known else None

    def reading(self) -> Text:
        """The place, what comes back there, its rank, and what was estimated."""
        result, row = self.result, self.shown.row()
        if result is None or row is None or row.get("recovered") is None:
            return super().reading()
        text = Text(f" {one_line(str(row['name']))}", style="bold")
        if row.get("token") is not None:
            text.append(f"  {visible(str(row['token']))}")
        exact = result.rows.filter(name=row["name"]).height > 0
        share = number(row["recovered"], decimals=3)
        text.append(f"   {'' if exact else '~'}{share}", style="bold" if exact else "dim")
        noising = isinstance(result.step, PatchStep) and result.step.noising
        text.append(" of the difference is lost" if noising else " of the difference comes back")
        if exact:
            place = result.rows.filter(result.rows["recovered"] > row["recovered"]).height + 1
            text.append(f"   rank {place} of {count(result.expected)}", style="dim")
            if (guess := _estimate(result, row["name"])) is not None:
                text.append(f"   estimated {number(guess, decimals=3)}~", style="dim")
        text.append(f"\n {self._sides(result)}", style="dim")
        if (second := self._beside_at(row["name"])) is not None:
            text.append(f"   beside it {number(second, decimals=3)}")
        return text

    def _sides(self, result: Result) -> str:
        """The two runs' own metric, and how well estimates do."""
        base = result.baseline
        parts = [
            f"{side} {number(base[side], decimals=3)}"
            for side in ("clean", "corrupt")
            if isinstance(base.get(side), float)
        ]
        agreement = result.step.agreement(result.rows, result.estimates)
        if agreement is not None:
            parts.append(f"estimates agree {number(agreement, decimals=2)}")
        if left_out := base.get("left_out"):
            parts.append(f"{counted(len(left_out), 'case')} left out")
        return " · ".join(parts)

    def _beside_at(self, name: Any) -> float | None:
        second = self.second
        found = [] if second is None else second.rows.filter(name=name)["recovered"].to_list()
        return found[0] if found else None

    @on(ShapeView.Moved)
    def _follow(self) -> None:
        """The second map's cursor goes with the first's."""
        shown = self.shown
        if isinstance(shown, MapView) and (other := self._others[type(shown)]).display:
            other.map.move_to(shown.map.cursor)

    @property
    def step(self) -> PatchStep | None:
        """The run in sight, or the one that the prompts at hand would have; None: they are no
        pairs."""
        if self.result is not None:
            assert isinstance(self.result.step, PatchStep)
            return self.result.step
        prompts = self.workspace.prompts
        return PatchStep(prompts=prompts) if _paired(prompts) else None

    def action_run(self) -> None:
        """Patch the prompts at hand as those in sight were, or go on where that stopped."""
        prompts, result = self.workspace.prompts, self.result
        if self.go_on() or (result is not None and result.active):
            return
        if not _paired(prompts):
            self.notify(NO_PAIR.partition("\n\n")[2], severity="warning")
        else:
            self._have(prompts=prompts)

    def _have(self, **changed: Any) -> None:
        """Show the run with other parameters: one that is there, or a new one."""
        step = self.step
        if step is None:
            self.action_run()
            return
        self.have(PatchStep, **(dict(step) | changed))

    def action_unit(self) -> None:
        """Patch the next kind of unit."""
        if (step := self.step) is not None:
            following = UNITS[(UNITS.index(step.unit) + 1) % len(UNITS)]
            self._have(unit=following, positions=None, heads=None, neurons=None)
        else:
            self.action_run()

    def action_positions(self) -> None:
        """Patch at each position, or at all of them at once."""
        step = self.step
        self._have(positions="each" if step is not None and step.all_at_once else "all")

    def action_metric(self) -> None:
        """Measure by the next metric."""
        if self.result is None:
            self.action_run()
            return
        known = [each for each in METRICS if each != "logit_difference" or self._has_wrong]
        here = _metric(self.result)
        place = known.index(here) + 1 if here in known else 0
        self._have(metric=known[place % len(known)])

    @property
    def _has_wrong(self) -> bool:
        step = self.step
        return step is not None and any(each.wrongs for each in step.prompts.prompts)

    def action_noising(self) -> None:
        """Put corrupt values into the clean run, or the other way round."""
        step = self.step
        self._have(noising=step is not None and not step.noising)

    def action_second(self) -> None:
        """Put another run beside this one, or take it away."""
        turn_second(self, self._second, ANOTHER)

    def action_best(self) -> None:
        """Go to the place that brings back most."""
        if isinstance(shown := self.shown, MapView):
            shown.to_strongest()

    @on(CellMap.CellSelected)
    @on(FrameTable.RowSelected)
    def action_open(self) -> None:
        """Open what stands under the cursor."""
        result, row = self.result, self.shown.row()
        if result is None or row is None or row.get("layer") is None:
            return
        step = result.step
        assert isinstance(step, PatchStep)
        if step.unit in ("attention", "ffn"):
            self._open_parts(row["layer"], row.get("position"), step.unit)
        else:
            self.request(StepRequested(self._opened(step, row)))

    def _opened(self, step: PatchStep, row: dict[str, Any]) -> Step:
        """The lens of a place of the residual stream, the neurons of a head, a neuron's tokens."""
        prompt = self._prompt(step)
        if step.unit == "head":
            head = HeadRef(row["layer"], row["head"])
            return CnaStep(prompt=prompt, ablate=Intervention(heads=(head,)))
        if step.unit == "neuron":
            read = ProjectStep(prompt=prompt, source=str(NeuronRef(row["layer"], row["neuron"])))
            return read.telling_more(self.workspace.model)
        return LensStep(prompt=prompt)

    def _open_parts(self, layer: int, position: int | None, unit: Unit) -> None:
        """The heads that make up attention's output at a place, or the neurons of the FFN's."""
        model = self.result.model if self.result else None
        if model is None:
            return
        at = "all" if position is None else (position,)
        if unit == "attention":
            heads = tuple(HeadRef(layer, each) for each in range(model.heads))
            self._have(unit="head", heads=heads, positions=at)
        else:
            neurons = tuple(NeuronRef(layer, each) for each in range(model.neurons))
            self._have(unit="neuron", neurons=neurons, positions=at)

    def _prompt(self, step: PatchStep) -> Prompt:
        """The case at hand where it is one of these, else the first."""
        prompts, here = step.prompts.prompts, self.workspace.prompt
        return here if here in prompts else prompts[0]

    def action_fires(self) -> None:
        """Show what the neuron or the head under the cursor fires on."""
        fires_on(self, part_named((self.shown.row() or {}).get("name")))

    def action_look(self) -> None:
        """Show what the head under the cursor looks at."""
        result, row = self.result, self.shown.row()
        if result is not None and row is not None and isinstance(result.step, PatchStep):
            of_head = result.step.unit == "head"
            head = HeadRef(row["layer"], row["head"]) if of_head else None
            look_at(self, head, self._prompt(result.step))

    def action_stage(self) -> None:
        """Stage the head, the neuron, or the heads of the layer under the cursor."""
        result, row = self.result, self.shown.row()
        if result is None or row is None or not isinstance(result.step, PatchStep):
            return
        unit, layer = result.step.unit, row["layer"]
        if unit == "head":
            self.stage(Intervention(heads=(HeadRef(layer, row["head"]),)))
        elif unit == "neuron":
            self.stage(Intervention(neurons=(NeuronRef(layer, row["neuron"]),)))
        else:
            self.notify(HEAD_AND_NEURON)

    def view(self) -> View:
        """How the picture is looked at, and the run beside it."""
        return {**super().view(), "second": self._second.kept}

    def show_view(self, view: View) -> None:
        """Put these back."""
        self._second.put_back(self.result, view.get("second"))
        super().show_view(view)
        self.update()


def _paired(prompts: PromptSet) -> bool:
    """Whether every case has two prompts."""
    return all(each.corrupt is not None for each in prompts.prompts)


def _metric(result: Result) -> str:
    """What a run was measured by, as its record says."""
    return str(result.baseline.get("metric") or "metric")


def _estimate(result: Result, name: str) -> float | None:
    if result.estimates is None or "recovered" not in result.estimates.columns:
        return None
    found = result.estimates.filter(name=name)["recovered"].to_list()
    return found[0] if found else None
