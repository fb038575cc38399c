"""Screen 6, Change: what is staged on the left, what it does on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static
from textual_plotext import PlotextPlot

from analysis.changes import Changes
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Step
from analysis.steps import CnaStep, EvaluateStep, LoraStep, PairsStep, PruneStep
from analysis.tasks.pairs import PromptPair, measured_on
from analysis.tasks.standard import ONE_DIGIT, task
from analysis.tasks.texts import Text as RunningText
from screens.base import NOTHING_STAGED, READONLY, WorkbenchScreen
from screens.dialogs import Ask, Confirm
from screens.forms import export_form
from screens.keys import unlisted
from screens.messages import (
    ChangesStaged,
    ExportRequested,
    HistoryRequested,
    StepRequested,
    VariantRequested,
)
from screens.origin import origin_of
from screens.text import count, figure, number, tokens_of
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from screens.workspace import UNFINISHED, Result


def _factor(value: Any) -> str:
    return "zeroed" if value == 0 else f"× {value:g}"


def _percent(value: Any) -> str:
    return "" if value is None else f"{number(100 * value, 1)} %"


def _rate(value: Any) -> str:
    return "" if value is None else f"{value:g}"


_change = partial(figure, sign=True)

STAGED = [
    TableColumn("name", "part", 10),
    TableColumn("factor", "", 8, format=_factor),
]
MEASURES = {
    "evaluate": [
        TableColumn("name", "measure", 16, grow=True, most=28),
        TableColumn("before", "before", 7, "right", figure, min_terminal_width=80),
        TableColumn("after", "after", 7, "right", figure),
        TableColumn("change", "change", 7, "right", _change, min_terminal_width=70),
        TableColumn("interval", "95 %", 18, min_terminal_width=100),
        TableColumn("control", "random", 7, "right", figure),
        TableColumn("cases", "cases", 5, "right", min_terminal_width=110),
    ],
    "lora": [
        TableColumn("name", "layer", 14, grow=True, most=28, sort_by=("layer",), descending=False),
        TableColumn("accuracy", "tested", 7, "right", _percent),
        TableColumn("original_accuracy", "before", 7, "right", _percent),
        TableColumn("validation_accuracy", "valid.", 7, "right", _percent),
        TableColumn("train_loss", "loss", 6, "right", figure),
        TableColumn("rate", "rate", 7, "right", _rate),
        TableColumn("epoch", "epoch", 5, "right", min_terminal_width=100),
    ],
    "prune": [
        TableColumn("name", "model", 15, grow=True, most=28),
        TableColumn("accuracy", "tested", 7, "right", _percent),
        TableColumn("kept", "kept", 7, "right", _percent),
        TableColumn("neurons", "neurons", 7, "right", count),
        TableColumn("parameters", "parameters", 11, "right", count, min_terminal_width=90),
        TableColumn("seconds", "s", 6, "right", figure, min_terminal_width=100),
    ],
    "pairs": [
        TableColumn("name", "neuron", 10, sort_by=("layer", "neuron"), descending=False),
        TableColumn("importance_change", "change", 8, "right", _change),
        TableColumn("tokens", "says", 14, format=tokens_of, grow=True),
    ],
}
"""By kind of step."""


def measured(step: Step, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as the table shows them: the ends of an interval as one column, no single cases."""
    rows = step.ranked(rows)
    if isinstance(step, PruneStep):
        return step.finished(rows)
    if isinstance(step, LoraStep):
        # What came of each layer stands above how it got there.
        return rows.sort(pl.col("accuracy").is_null(), maintain_order=True)
    if "change_low" not in rows.columns:
        return rows
    ends = pl.struct("change_low", "change_high")
    return rows.with_columns(interval=ends.map_elements(_interval, return_dtype=pl.String))


def _interval(ends: dict[str, float | None]) -> str:
    low, high = ends["change_low"], ends["change_high"]
    return "" if low is None or high is None else f"({_change(low)}…{_change(high)})"


TICKS = 15
"""Layers named below a curve, at most."""
MARGIN = 5
"""Percent above and below it."""


class LayerCurve(PlotextPlot):
    """Accuracy by layer, filling while layers are trained; not there where there is no curve."""

    def show(self, step: Step, rows: pl.DataFrame, room: bool) -> None:
        """Draw the finished layers of a training, if it is one and there is room."""
        done = LoraStep.finished(rows) if isinstance(step, LoraStep) else rows.clear()
        self.display = done.height > 1 and room
        if not self.display:
            return
        done = done.sort("layer")
        plot = self.plt
        plot.clear_data()
        layers, tested = done["layer"].to_list(), (100 * done["accuracy"]).to_list()
        original = 100 * done["original_accuracy"][0]
        plot.plot(layers, tested, marker="braille")
        plot.hline(original)
        plot.xticks(layers[:: -(-len(layers) // TICKS)])
        plot.ylim(
            max(0, min(*tested, original) - MARGIN), min(100, max(*tested, original) + MARGIN)
        )
        plot.title(f"tested, % by layer; the line: before, {original:.1f}")
        self.refresh()


RANDOM = "random: as many parts of the same layers instead"
AFTER = "<change.undo> undoes, <change.write> writes"
EMPTY = (
    "Heads and neurons taken away or scaled: measured, used in every analysis, "
    "undone, exported.\n\n"
)
BEGIN = (
    "<heads.stage-a-change>  stages a head (<app.heads>), <neurons.stage-a-change> a neuron "
    "(<app.neurons>), <chain.stage-a-change> a node (<app.chain>)\n"
    "<change.factor>  names parts to stage here, as L24N1493=0.5\n"
    "<change.pairs>  finds neurons that tell pairs of prompts apart\n"
    "<change.lora>  trains LoRA, <change.prune> prunes the FFN, on prompts of screen <app.prompts>"
)
READ_ONLY = (
    "<change.pairs>  finds neurons that tell pairs of prompts apart, as woman from man\n\n"
    "The workbench is read-only: nothing is staged, trained or pruned."
)


def found_in(result: Result) -> tuple[NeuronRef, ...]:
    """The neurons that a comparison over pairs was to find, the most changed first."""
    assert isinstance(result.step, PairsStep)
    names = result.step.ranked(result.rows)["name"]
    return tuple(
        map(NeuronRef.parse, names if result.step.top is None else names[: result.step.top])
    )


def studied(results: Sequence[Result], changes: Changes) -> tuple[PromptPair, ...] | None:
    """The pairs to measure changes on: those whose neurons they are, every one of them."""
    staged = {part for part, _ in changes.factors}
    for each in reversed(results):
        if isinstance(each.step, PairsStep) and staged and staged <= {*found_in(each)}:
            return measured_on(each.step.pairs)
    return None


def edit_of(result: Result | None) -> Changes:
    """The changes that a result measures; none if it is of another kind."""
    step = result.step if result is not None else None
    return Changes.of(step.edit) if isinstance(step, EvaluateStep) else Changes()


def unmeasured(result: Result | None, results: Sequence[Result], changes: Changes) -> str:
    """In place of rows that are not there yet, with actions in place of their keys."""
    if result is not None and result.active:
        return "the first rows are being computed"
    if result is not None and not isinstance(result.step, EvaluateStep):
        return f"{result.state}; <change.resume> goes on"
    if result is not None and not changes:
        return f"{result.state}; there are no rows of it"
    return f"not measured yet; <change.measure> measures {_measured(results, changes)}"


def next_words(
    result: Result | None, results: Sequence[Result], changes: Changes, fixed: bool
) -> str:
    """What to press next, with actions in place of their keys, or what stands in the table.

    Args:
        result: what is shown.
        results: all there are.
        changes: what is staged.
        fixed: whether nothing can be staged, trained or measured now.
    """
    if result is None or (not result.rows.height and not edit_of(result)):
        return ""
    if isinstance(result.step, EvaluateStep):
        if not changes and not fixed:
            return f"<change.stage> stages this change again · {RANDOM}"
        edited = edit_of(result) == changes and result.state == "done"
        return f"{RANDOM} · {AFTER}" if edited and not fixed else RANDOM
    if fixed:
        return ""
    if result.state in UNFINISHED:
        return "<change.resume> goes on where it stopped"
    if isinstance(result.step, PruneStep) and result.active:
        cases = result.rows.height - result.step.finished(result.rows).height
        return (
            f"compared by CNA: {count(cases)} of {count(result.baseline['compared_cases'])} cases"
        )
    if not isinstance(result.step, PairsStep) or result.active:
        return ""
    found = found_in(result)
    if {*found} <= {part for part, _ in changes.factors}:
        return f"staged; <change.measure> measures {_measured(results, changes)}"
    return f"<change.stage> stages these {count(len(found))} neurons to be zeroed"


def _measured(results: Sequence[Result], changes: Changes) -> str:
    pairs = studied(results, changes)
    if pairs is None:
        return "the task at hand, other tasks and a text"
    return f"the gap of {count(len(pairs))} pairs of their kind, and a text"


FOUND = 18
"""Neurons that the paper edits (section 6.2)."""
SHOTS = 2
"""Worked examples of the tasks that should not suffer."""

OF_STAGED = frozenset({"evaluate", "drop", "discard", "variant", "neurons", "export"})
"""Actions on what is staged."""
TO_BEGIN = frozenset({"pairs", "lora", "prune", "stage"})
"""Actions that make way for these in the line of keys once something is staged."""
CHANGING = OF_STAGED | {"lora", "prune", "stage", "factor", "history"}
"""Actions that read-only refuses."""

TALL = 28
"""Lines of a terminal in which there is room for a curve."""


class ChangeScreen(WorkbenchScreen):
    """Heads and neurons to scale, staged, undone, measured and exported from here."""

    NAME = "change"
    KINDS = ("evaluate", "lora", "prune", "pairs")
    TABLE = "#measures"
    LIVE = CHANGING | {"pairs", "run"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "pairs", "Pairs", id="change.pairs"),
        Binding("t", "lora", "LoRA", id="change.lora"),
        Binding("p", "prune", "Prune", id="change.prune"),
        Binding("x", "stage", "Stage", id="change.stage"),
        Binding("e", "evaluate", "Measure", id="change.measure"),
        Binding("u", "history(-1)", "Undo", id="change.undo"),
        unlisted("U", "history(1)", "Redo", id="change.redo"),
        Binding("f", "factor", "Factor", id="change.factor"),
        Binding("d", "drop", "Drop", id="change.drop"),
        unlisted("D", "discard", "Drop all", id="change.drop-all"),
        Binding("v", "variant", "Use", id="change.use"),
        Binding("n", "neurons", "CNA", id="change.cna"),
        Binding("w", "export", "Write", id="change.write"),
        unlisted("r", "run", "Resume", id="change.resume"),
        unlisted("tab", "app.focus_next", "Measures", id="change.measures"),
        unlisted("slash", "filter", "Filter", id="change.filter"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Staged parts, measures beside them, and in words what holds now."""
        yield Horizontal(
            FrameTable(STAGED, id="staged", search=("name",)),
            Vertical(
                LayerCurve(id="curve"),
                FrameTable(MEASURES["evaluate"], id="measures", search=("name",)),
                Static(id="no-measures", markup=False),
            ),
            id="change",
        )
        yield Static(id="variant", markup=False)

    def on_mount(self) -> None:
        """The list takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self.query_one("#staged").focus()

    @property
    def _changes(self) -> Changes:
        """What is staged: in a replay nothing is, whatever waits for the live session."""
        return Changes() if self.workspace.replaying else self.workspace.staged.changes

    @property
    def result(self) -> Result | None:
        """What was looked at last; of evaluations, the latest of what is staged if something is."""
        chosen, changes = self.workspace.current(*self.KINDS), self._changes
        if not changes or (chosen is not None and not isinstance(chosen.step, EvaluateStep)):
            return chosen
        own = [each for each in self.workspace.results if edit_of(each) == changes]
        return next(reversed(own), None)

    def update(self) -> None:
        """Show what is staged and what it does."""
        changes, result = self._changes, self.result
        if not changes and result is None:
            self.set_title("Change")
            self.set_empty(EMPTY + (READ_ONLY if self.workspace.readonly else BEGIN))
            return
        self.set_empty(None)
        if result is None or isinstance(result.step, EvaluateStep):
            self.set_title(f"{self._what()} · {changes or edit_of(result)}", self._state())
        else:
            self.set_title(
                result.step.title, result.state if result.state != "done" else _gap(result)
            )
        self._show_parts(changes or edit_of(result))
        self._show_measures(result)
        self.query_one("#variant", Static).update(self._words(result))

    def origin(self) -> list[str]:
        """From which steps what is staged comes, or what was changed."""
        changes = self._changes or edit_of(self.result)
        if not changes:
            return super().origin()
        names = [str(part) for part, _ in changes.factors]
        return origin_of(names, self.workspace, None if self._changes else self.result)

    def _what(self) -> str:
        """Of which changes the measures are."""
        live = not (self._changes or self.workspace.replaying)
        return "Nothing is staged · measured before" if live else "Change"

    def _state(self) -> str:
        staged = self.workspace.staged
        if not self._changes:
            return "as recorded"
        saved = "not exported" if staged.unsaved else "exported"
        return f"{'in use' if staged.in_use else 'not in use'} · {saved}"

    def _show_parts(self, changes: Changes) -> None:
        rows = [{"name": str(part), "factor": factor} for part, factor in changes.factors]
        schema = {"name": pl.String, "factor": pl.Float64}
        staged = self.query_one("#staged", FrameTable)
        staged.set_frame(pl.DataFrame(rows, schema=schema))
        if staged.display != bool(rows):  # the room goes to the measures, and the keys with it
            staged.display = bool(rows)
            (staged if rows else self.table).focus()

    def _show_measures(self, result: Result | None) -> None:
        measures, none = self.table, self.query_one("#no-measures", Static)
        there = result is not None and result.rows.height > 0
        measures.display, none.display = there, not there
        if not there or result is None:
            words = unmeasured(result, self.workspace.results, self._changes)
            none.update(Text(f" {self.workspace.keys.fill(words)}", "dim"))
            return
        if (view := (result.id, result.rows.height)) != self._drawn:
            if not self._drawn or self._drawn[0] != result.id:
                ranked = isinstance(result.step, PairsStep)
                order = (result.step.ordered_by, result.step.descending) if ranked else None
                measures.set_columns(MEASURES[result.step.kind], order)
            self._drawn = view
            measures.set_frame(measured(result.step, result.rows))
            self.query_one(LayerCurve).show(result.step, result.rows, self.size.height >= TALL)

    def _words(self, result: Result | None) -> Text:
        """What the numbers are, and what to press."""
        workspace, changes = self.workspace, self._changes
        text = Text(" ", style="dim", no_wrap=True, overflow="ellipsis")
        if changes and workspace.staged.in_use:
            words = "every analysis runs on this variant; <change.use> goes back\n "
            text.append(workspace.keys.fill(words), style="bold")
        fixed = workspace.replaying or workspace.readonly
        words = next_words(result, workspace.results, changes, fixed)
        return text.append(workspace.keys.fill(words))

    # What can be done

    def refusal(self, action: str) -> str | None:
        """Nothing is changed where that is not wanted, and what needs something staged waits."""
        if (reason := super().refusal(action)) is not None:
            return reason
        if self.workspace.readonly and action in CHANGING:
            return READONLY
        if action == "export":  # a model that nothing is changed in can be written too
            return None
        return NOTHING_STAGED if action in OF_STAGED and not self._changes else None

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """All keys that work; shown are those likely next, which is as many as fit 80 columns."""
        staged, model = self.workspace.staged, self.workspace.model
        shown = {
            **dict.fromkeys(TO_BEGIN, not self._changes),
            "export": bool(self._changes or (model and model.adapter)),
            "history(-1)": staged.undoable,
            "history(1)": staged.redoable and not self._changes,
        }
        return {
            key: each._replace(binding=replace(each.binding, show=shown[each.binding.action]))
            if each.binding.action in shown
            else each
            for key, each in super().active_bindings.items()
        }

    def action_evaluate(self) -> None:
        """Measure the staged changes: on the pairs they were found on, else on the task at hand."""
        workspace, edit, text = self.workspace, self._changes.interventions, RunningText.sample()
        if (pairs := studied(workspace.results, self._changes)) is not None:
            self.request(StepRequested(EvaluateStep(edit=edit, pairs=pairs, text=text)))
            return
        own = workspace.prompts.name.split(",")
        step = EvaluateStep(
            edit=edit,
            prompts=workspace.prompts,
            others=tuple(task(name, SHOTS) for name in ONE_DIGIT if name not in own),
            text=text,
        )
        self.request(StepRequested(step))

    def action_history(self, by: int) -> None:
        """Undo or redo."""
        self.post_message(HistoryRequested(by))

    def action_factor(self) -> None:
        """Scale the part under the cursor, or name other parts with their factor."""
        row = self.query_one("#staged", FrameTable).current
        value = f"{row['name']}={row['factor']:g}" if row is not None else ""
        question = f"Scale {row['name']}, or other parts" if row is not None else "What to scale"

        def check(text: str) -> None:
            if text.strip():
                self.check_parts(*Changes.parse([text]).interventions)

        def chosen(text: str | None) -> None:
            if text and text.strip():
                added = Changes.parse([text])
                changes = self._changes.merged(added.interventions)
                self.post_message(ChangesStaged(changes, f"{added} staged"))

        hint = "as L24N1493=0.5; L20H8,L20H7 takes both away"
        self.app.push_screen(Ask(question, value, hint, check=check, select=True), chosen)

    def action_drop(self) -> None:
        """Take the part under the cursor off the list."""
        name = self.query_one("#staged", FrameTable).current_key
        if name is not None:
            part = HeadRef.parse(name) if "H" in name else NeuronRef.parse(name)
            self.post_message(ChangesStaged(self._changes.without([part]), f"{name} dropped"))

    def action_discard(self) -> None:
        """Take everything off the list, once confirmed."""

        def confirmed(yes: bool | None) -> None:
            if yes:
                self.post_message(ChangesStaged(Changes(), "nothing is staged"))

        hint = self.workspace.keys.fill("<change.undo> brings them back.")
        self.app.push_screen(Confirm("Drop all staged changes?", hint), confirmed)

    def action_variant(self) -> None:
        """Run every analysis on the staged variant, or on the model as it is."""
        self.post_message(VariantRequested())

    def action_neurons(self) -> None:
        """Compare the model with the staged variant by CNA."""
        edit = self._changes.interventions
        self.request(StepRequested(CnaStep(prompt=self.workspace.prompt, ablate=edit)))

    def action_pairs(self) -> None:
        """Find the neurons that tell the prompts of pairs apart, as woman from man."""
        self.ask_for(PairsStep, top=str(FOUND))

    def action_stage(self) -> None:
        """Stage the recorded change in sight again, or the neurons found on pairs, to be zeroed."""
        if not self._changes and (edit := edit_of(self.result)):
            self.stage(*edit.interventions)
            return
        result = next(iter(self.workspace.latest("pairs", 1)), None)
        if result is None:
            self.notify(
                "Nothing is found yet. Press <change.pairs> to find the neurons behind pairs."
            )
        elif result.active:
            self.notify("They are still being found; <app.back-stop> stops.")
        else:
            self.stage(Intervention(neurons=found_in(result)))

    def action_lora(self) -> None:
        """Train LoRA on layers' attention, one at a time, with the task at hand."""
        self.ask_for(LoraStep)

    def action_prune(self) -> None:
        """Keep the deep neurons that a head drives in the task at hand, and zero the others."""
        self.ask_for(PruneStep)

    def action_export(self) -> None:
        """Write the model, as it is staged, to a new folder."""
        model = self.workspace.model
        worn = None if model is None else model.adapter

        def chosen(message: ExportRequested | None) -> None:
            if message is not None:
                self.post_message(message)

        self.app.push_screen(
            export_form(self._changes, worn, self.workspace.typed["export"]), chosen
        )


def _gap(result: Result) -> str:
    gap = result.baseline.get("gap")
    return "" if gap is None else f"gap {number(gap, 3, sign=True)} nats"
