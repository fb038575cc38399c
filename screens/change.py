"""Screen 6, Change: what is staged on the left, what it does on the right."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static
from textual_plotext import PlotextPlot

from analysis.changes import Changes
from analysis.folders import check_new_folder
from analysis.info import ModelInfo
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Step
from analysis.steps import CnaStep, EvaluateStep, LoraStep
from analysis.tasks import ONE_DIGIT, task
from analysis.texts import Text as RunningText
from screens.base import WorkbenchScreen
from screens.change_columns import MEASURES, STAGED, measured
from screens.change_forms import Typed, lora_form, pairs_form, prune_form
from screens.change_words import found_in, next_words, studied, unmeasured
from screens.dialogs import Ask, Confirm
from screens.messages import (
    ChangesStaged,
    ExportRequested,
    HistoryRequested,
    ResumeRequested,
    StepRequested,
    VariantRequested,
)
from screens.text import number
from screens.widgets.frame_table import FrameTable
from screens.workspace import Result

SHOTS = 2
"""Worked examples of the tasks that should not suffer."""

TICKS = 15
"""Layers named below a curve, at most."""
MARGIN = 5
"""Percent above and below it."""
TALL = 28
"""Lines of a terminal in which there is room for a curve."""


class ChangeScreen(WorkbenchScreen):
    """Heads and neurons to scale, staged, undone, measured and exported from here."""

    NAME = "change"
    KINDS = ("evaluate", "lora", "prune", "pairs")
    TABLE = "#measures"
    LIVE = frozenset({"evaluate", "neurons", "export", "lora", "prune", "run"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "pairs", "Pairs"),
        Binding("t", "lora", "LoRA"),
        Binding("p", "prune", "Prune"),
        Binding("x", "stage", "Stage", show=False),
        Binding("e", "evaluate", "Measure"),
        Binding("u", "history(-1)", "Undo"),
        Binding("U", "history(1)", "Redo", show=False),
        Binding("f", "factor", "Factor", show=False),
        Binding("d", "drop", "Drop", show=False),
        Binding("D", "discard", "Drop all", show=False),
        Binding("v", "variant", "Use"),
        Binding("n", "neurons", "CNA"),
        Binding("w", "export", "Write"),
        Binding("r", "run", "Resume", show=False),
        Binding("tab", "app.focus_next", "Measures", show=False),
        Binding("slash", "filter", "Filter", show=False),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Staged parts, measures beside them, and in words what holds now."""
        yield Horizontal(
            FrameTable(STAGED, id="staged", search=("name",)),
            Vertical(
                PlotextPlot(id="curve"),
                FrameTable(MEASURES["evaluate"], id="measures", search=("name",)),
                Static(id="no-measures", markup=False),
            ),
            id="change",
        )
        yield Static(id="variant", markup=False)

    def on_mount(self) -> None:
        """The list takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self._typed: dict[str, Typed] = defaultdict(dict)
        """What was typed into each form last."""
        self.query_one("#staged").focus()

    @property
    def _changes(self) -> Changes:
        return self.workspace.staged.changes

    @property
    def result(self) -> Result | None:
        """What was trained or pruned if that was looked at last, else an evaluation: the latest of
        what is staged, or of all where nothing is."""
        chosen = self.workspace.current(*self.KINDS)
        if chosen is not None and not isinstance(chosen.step, EvaluateStep):
            return chosen
        found = [each for each in self.workspace.results if isinstance(each.step, EvaluateStep)]
        own = [each for each in found if Changes.of(_edit(each)) == self._changes]
        return next(reversed(own if self._changes else found), None)

    def update(self) -> None:
        """Show what is staged and what it does."""
        changes, result = self._changes, self.result
        if not changes and result is None:
            self.set_title("Change")
            self.set_empty(
                "Heads and neurons taken away or scaled: measured, used in every analysis, "
                "undone, exported.\n\n"
                "x  on a head (screen 2), a neuron (3) or a node (5) stages it\n"
                "f  names parts to stage here, as L24N1493=0.5\n"
                "a  finds neurons that tell pairs of prompts apart, as woman from man\n"
                "t  trains LoRA, p prunes the FFN, on the prompts of screen 1"
            )
            return
        self.set_empty(None)
        if result is None or isinstance(result.step, EvaluateStep):
            self.set_title(f"Change · {changes or Changes.of(_edit(result))}", self._state())
        else:
            self.set_title(
                result.step.title, result.state if result.state != "done" else _gap(result)
            )
        self._show_staged(changes)
        self._show_measures(result)
        self.query_one("#variant", Static).update(self._words(result))

    def _state(self) -> str:
        staged = self.workspace.staged
        if not staged.changes:
            return "as recorded"
        saved = "not exported" if staged.unsaved else "exported"
        return f"{'in use' if staged.in_use else 'not in use'} · {saved}"

    def _show_staged(self, changes: Changes) -> None:
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
            none.update(
                Text(f" {unmeasured(result, self.workspace.results, self._changes)}", "dim")
            )
            return
        if (view := (result.number, result.rows.height)) != self._drawn:
            if not self._drawn or self._drawn[0] != result.number:
                measures.set_columns(MEASURES[result.step.kind])
            self._drawn = view
            measures.set_frame(measured(result.step, result.rows))
            self._draw_curve(result)

    def _draw_curve(self, result: Result) -> None:
        """Accuracy by layer, filling while layers are trained (paper Fig. 2)."""
        curve = self.query_one("#curve", PlotextPlot)
        done = LoraStep.finished(result.rows) if isinstance(result.step, LoraStep) else None
        curve.display = done is not None and done.height > 1 and self.size.height >= TALL
        if done is None or not curve.display:
            return
        done = done.sort("layer")
        plot = curve.plt
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
        curve.refresh()

    def _words(self, result: Result | None) -> Text:
        """What the numbers are, and what to press."""
        text = Text(" ", style="dim", no_wrap=True, overflow="ellipsis")
        if self.workspace.staged.in_use:
            text.append("every analysis runs on this variant; v goes back   ", style="bold")
        return text.append(next_words(result, self.workspace.results, self._changes))

    # What can be done

    def action_evaluate(self) -> None:
        """Measure the staged changes: on the pairs they were found on, else on the task at hand."""
        if not self._changes:
            self.notify("Nothing is staged. Press x on a head or a neuron first.")
            return
        workspace, edit, text = self.workspace, self._changes.interventions, RunningText.sample()
        if (pairs := studied(workspace.results, self._changes)) is not None:
            self.request(StepRequested(EvaluateStep(edit=edit, pairs=pairs, text=text)))
            return
        known = all(each.answer is not None for each in workspace.prompts.prompts)
        own = workspace.prompts.name.split(",")
        step = EvaluateStep(
            edit=edit,
            prompts=workspace.prompts if known else None,
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
        if not self._changes:
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self.post_message(ChangesStaged(Changes(), "nothing is staged"))

        self.app.push_screen(Confirm("Drop all staged changes?", "u brings them back."), confirmed)

    def action_variant(self) -> None:
        """Run every analysis on the staged variant, or on the model as it is."""
        self.post_message(VariantRequested())

    def action_neurons(self) -> None:
        """Compare the model with the staged variant by CNA."""
        if not self._changes:
            self.notify("Nothing is staged. Press x on a head or a neuron first.")
            return
        edit = self._changes.interventions
        self.request(StepRequested(CnaStep(prompt=self.workspace.prompt, ablate=edit)))

    def action_pairs(self) -> None:
        """Find the neurons that tell the prompts of pairs apart, as woman from man."""
        if self.ready():
            self.app.push_screen(pairs_form(self._typed["pairs"]), self._start)

    def action_stage(self) -> None:
        """Stage the neurons found on pairs, to be zeroed."""
        result = next(iter(self.workspace.latest("pairs", 1)), None)
        if result is None:
            self.notify("Nothing is found yet. Press a to find the neurons behind pairs.")
        elif result.active:
            self.notify("They are still being found; esc stops.")
        else:
            self.stage(Intervention(neurons=found_in(result)))

    def action_lora(self) -> None:
        """Train LoRA on layers' attention, one at a time, with the task at hand."""
        if (model := self._changeable()) is not None:
            form = lora_form(self.workspace.prompts, model, self._typed["lora"])
            self.app.push_screen(form, self._start)

    def action_prune(self) -> None:
        """Keep the deep neurons that a head drives in the task at hand, and zero the others."""
        if (model := self._changeable()) is not None:
            form = prune_form(self.workspace.prompts, model, self._typed["prune"])
            self.app.push_screen(form, self._start)

    def _changeable(self) -> ModelInfo | None:
        """The model, if it can be trained or pruned now; else that is said."""
        if self.workspace.readonly:
            self.notify("The workbench is read-only: nothing is changed.", severity="warning")
            return None
        return self.workspace.model if self.ready() else None

    def _start(self, step: Step | None) -> None:
        if step is not None:
            self.request(StepRequested(step))

    def action_run(self) -> None:
        """Go on where a measurement or a training stopped."""
        result = self.result
        if result is not None and result.state in ("stopped", "interrupted", "failed"):
            self.post_message(ResumeRequested(result.id))

    def action_export(self) -> None:
        """Write the changed model to a new folder."""
        if not self._changes:
            self.notify("Nothing is staged. Press x on a head or a neuron first.")
            return

        def check(text: str) -> None:
            if text.strip():
                check_new_folder(_folder(text))

        def chosen(text: str | None) -> None:
            if text and text.strip():
                self.post_message(ExportRequested(_folder(text), self._changes))

        question = "Export to a new folder"
        self.app.push_screen(Ask(question, "", "transformers loads it", check=check), chosen)


def _folder(text: str) -> Path:
    return Path(os.path.expanduser(text.strip()))  # which leaves a ~ that is nobody's


def _gap(result: Result) -> str:
    gap = result.baseline.get("gap")
    return "" if gap is None else f"gap {number(gap, 3, sign=True)} nats"


def _edit(result: Result | None) -> tuple[Intervention, ...]:
    step = result.step if result is not None else None
    return step.edit if isinstance(step, EvaluateStep) else ()
