"""Screen 3, Neurons: the ranking of a run or of a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.interventions import Intervention
from analysis.refs import NeuronRef
from analysis.steps import AblateStep, CnaStep, NeuronsStep, ProjectStep
from screens.base import WorkbenchScreen
from screens.messages import ResumeRequested, StepRequested
from screens.text import count, number, probability, visible
from screens.widgets.bars import layer_histogram
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_column import TableColumn
from screens.workspace import Result


def _nats(value: Any) -> str:
    return number(value, 3)


def _change(value: Any) -> str:
    return number(value, 3, sign=True)


def _coefficient(value: Any) -> str:
    return number(value, 2)


def _tokens(value: Any) -> str:
    return " ".join(visible(token, quote=False) for token in value) if value else ""


NAME = TableColumn("name", "neuron", 10, sort_by=("layer", "neuron"), descending=False)
SAYS = TableColumn("tokens", "says", 14, format=_tokens, grow=True)
IMPORTANCE = TableColumn("importance", "importance", 10, "right", _nats)
COEFFICIENT = TableColumn("coefficient", "coefficient", 11, "right", _coefficient)
COLUMNS = {
    "neurons": [NAME, IMPORTANCE, COEFFICIENT, SAYS],
    "cna": [
        NAME,
        TableColumn("importance_change", "change", 8, "right", _change),
        IMPORTANCE,
        TableColumn("importance_contrast", "contrast", 8, "right", _nats, min_terminal_width=100),
        COEFFICIENT,
        TableColumn(
            "coefficient_contrast", "contrast", 8, "right", _coefficient, min_terminal_width=110
        ),
        SAYS,
    ],
}


class NeuronsScreen(WorkbenchScreen):
    """A virtual table of neurons; exact rows first, estimated ones dim behind them."""

    NAME = "neurons"
    KINDS = ("cna", "neurons")
    TABLE = "#neurons"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "tokens", "Its tokens", priority=True),
        Binding("s", "sort", "Sort"),
        Binding("slash", "filter", "Filter"),
        Binding("space", "mark", "Mark", priority=True),
        Binding("a", "ablate", "Ablate marked"),
        Binding("A", "ablate_all", "Ablate marked on all prompts", show=False),
        Binding("i", "importance", "Importance"),
        Binding("e", "everything", "All exact", show=False),
        Binding("r", "run", "Resume", show=False),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Table, and where the important ones are."""
        yield FrameTable(
            COLUMNS["cna"],
            id="neurons",
            key="name",
            estimated="estimated",
            search=("name", "tokens"),
        )
        yield Static(id="histogram", markup=False)

    def on_mount(self) -> None:
        """The table takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self.query_one("#neurons").focus()

    @property
    def result(self) -> Result | None:
        """The ranking chosen last, of either kind."""
        return self.workspace.current(*self.KINDS)

    def update(self) -> None:
        """Show the ranking as far as it is."""
        result, table = self.result, self.table
        if result is None:
            self.set_title("Neurons")
            self.set_empty(
                "Which FFN neurons matter for the answer.\n\n"
                "Press i to rank those of this prompt's own run, or choose a head on screen 2 and "
                "press enter to see the neurons it drives."
            )
            return
        self.set_empty(None)
        self.set_title(result.step.title, self._answer(result))
        view = (result.number, result.rows.height, result.estimates is None)
        if view != self._drawn:
            if not self._drawn or self._drawn[0] != result.number:
                table.set_columns(COLUMNS[result.step.kind])
                # A filter or an order left from other rows would hide what is new.
                table.filter("")
                table.sort(None)
            self._drawn = view
            table.set_frame(result.table())
        self._show_histogram(result)

    def _answer(self, result: Result) -> str:
        base = result.baseline
        if not base:
            return ""
        before = f"{visible(base['answer'])} {probability(base['prob'])}"
        after = base.get("prob_contrast")
        certified = "   certified" if base.get("certified") else ""
        return (f"{before} → {probability(after)}" if after is not None else before) + certified

    def _show_histogram(self, result: Result) -> None:
        """How much of the ranking stands in each layer."""
        model, ranked = result.model, result.step.ranked_by
        if model is None or not result.rows.height:
            waiting = "waiting" if result.active else result.state
            self.query_one("#histogram", Static).update(Text(f" {waiting}", style="dim"))
            return
        gains = result.rows.group_by("layer").agg(pl.col(ranked).clip(lower_bound=0).sum())
        sums = dict(gains.iter_rows())
        values = [float(sums.get(layer, 0.0)) for layer in range(model.layers)]
        total = model.layers * model.neurons
        table = self.table
        line = Text(" ") + layer_histogram(values, width=self.size.width - 30)
        line.append(f"   {count(result.rows.height)} exact of {count(total)}", style="dim")
        agreement = None if result.active else result.step.agreement(result.rows, result.estimates)
        if agreement is not None and self.size.width >= 100:
            line.append(f"   rank agreement of the estimates {number(agreement, 2)}", style="dim")
        if table.filter_text:
            line.append(f"   / {table.filter_text}: {count(table.shown)}", style="bold")
        if table.marked:
            line.append(f"   {len(table.marked)} marked", style="bold")
        self.query_one("#histogram", Static).update(line)

    @on(FrameTable.RowSelected, "#neurons")
    def _open(self, event: FrameTable.RowSelected) -> None:
        self._read(event.key)

    def action_tokens(self) -> None:
        """Show what the neuron under the cursor promotes and suppresses."""
        key = self.table.current_key
        if key is not None:
            self._read(key)

    def _read(self, name: str) -> None:
        result = self.result
        prompt = getattr(result.step, "prompt", None) if result else None
        self.request(StepRequested(ProjectStep(source=name, prompt=prompt)))

    def action_mark(self) -> None:
        """Mark the neuron under the cursor."""
        self.table.action_mark()

    @on(FrameTable.Filtered, "#neurons")
    @on(FrameTable.MarksChanged, "#neurons")
    def _count_marks(self) -> None:
        if self.result is not None:
            self._show_histogram(self.result)

    def _marked(self) -> Intervention | None:
        """The marked neurons taken away; None if there are none, which is said."""
        marked = self.table.marked
        if not marked:
            self.notify("Mark neurons with space first; a compares with and without them.")
            return None
        return Intervention(neurons=tuple(sorted(NeuronRef.parse(name) for name in marked)))

    def action_ablate(self) -> None:
        """Compare the intact run with one without the marked neurons."""
        if (ablate := self._marked()) is not None:
            self.request(StepRequested(CnaStep(prompt=self.workspace.prompt, ablate=ablate)))

    def action_ablate_all(self) -> None:
        """Measure all prompts without the marked neurons; the answer stands beside the heads."""
        if (ablate := self._marked()) is not None:
            step = AblateStep(prompts=self.workspace.prompts, sets=(ablate,))
            self.request(StepRequested(step))

    def action_importance(self) -> None:
        """Rank the neurons of the case's own run."""
        self.request(StepRequested(NeuronsStep(prompt=self.workspace.prompt)))

    def action_everything(self) -> None:
        """Score every neuron of this ranking exactly."""
        result = self.result
        if isinstance(result.step if result else None, CnaStep | NeuronsStep):
            assert result is not None
            self.request(StepRequested(result.step.model_copy(update={"top": None})))

    def action_run(self) -> None:
        """Go on where a ranking stopped."""
        result = self.result
        if result is not None and result.state in ("stopped", "interrupted", "failed"):
            self.post_message(ResumeRequested(result.id))
