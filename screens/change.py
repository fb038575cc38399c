"""Screen 6, Change: what is staged on the left, what it does on the right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from analysis.changes import Changes
from analysis.interventions import Intervention
from analysis.model.info import ModelInfo
from analysis.refs import HeadRef, NeuronRef
from analysis.step import Step
from analysis.steps import CnaStep, EvaluateStep
from analysis.tasks.standard import ONE_DIGIT, task
from analysis.tasks.texts import Text as RunningText
from screens.base import NOTHING_STAGED, READONLY, WorkbenchScreen
from screens.change_columns import MEASURES, STAGED, measured
from screens.change_curve import LayerCurve
from screens.change_forms import (
    OTHER_CASES,
    Typed,
    export_form,
    lora_form,
    pairs_form,
    prune_form,
)
from screens.change_words import (
    BEGIN,
    EMPTY,
    READ_ONLY,
    edit_of,
    found_in,
    next_words,
    studied,
    unmeasured,
)
from screens.dialogs import Ask, Confirm
from screens.keys import unlisted
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
from screens.workspace import UNFINISHED, Result

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
        self._typed: dict[str, Typed] = defaultdict(dict)
        """What was typed into each form last."""
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
        if (view := (result.number, result.rows.height)) != self._drawn:
            if not self._drawn or self._drawn[0] != result.number:
                measures.set_columns(MEASURES[result.step.kind])
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
        if self.ready():
            self.app.push_screen(pairs_form(self._typed["pairs"]), self._start)

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
        if (model := self._changeable()) is not None:
            form = lora_form(self.workspace.prompts, model, self._typed["lora"], self._other_cases)
            self.app.push_screen(form, self._start)

    def action_prune(self) -> None:
        """Keep the deep neurons that a head drives in the task at hand, and zero the others."""
        if (model := self._changeable()) is not None:
            form = prune_form(
                self.workspace.prompts, model, self._typed["prune"], self._other_cases
            )
            self.app.push_screen(form, self._start)

    @property
    def _other_cases(self) -> str:
        return self.workspace.keys.fill(OTHER_CASES)

    def _changeable(self) -> ModelInfo | None:
        """The model, if it can be trained or pruned now; else that is said."""
        return self.workspace.model if self.ready() else None

    def _start(self, step: Step | None) -> None:
        if step is not None:
            self.request(StepRequested(step))

    def action_run(self) -> None:
        """Go on where a measurement or a training stopped."""
        result = self.result
        if result is not None and result.state in UNFINISHED:
            self.post_message(ResumeRequested(result.id))

    def action_export(self) -> None:
        """Write the model, as it is staged, to a new folder."""
        model = self.workspace.model
        worn = None if model is None else model.adapter

        def chosen(message: ExportRequested | None) -> None:
            if message is not None:
                self.post_message(message)

        self.app.push_screen(export_form(self._changes, worn, self._typed["export"]), chosen)


def _gap(result: Result) -> str:
    gap = result.baseline.get("gap")
    return "" if gap is None else f"gap {number(gap, 3, sign=True)} nats"
