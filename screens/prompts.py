"""Screen 1, Prompts: choose the cases, see them as tokens, see what the model would say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.errors import InputError
from analysis.steps import DirectStep, HeadsStep, NeuronsStep
from analysis.tasks.arithmetic import evaluation
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import ARITHMETIC, MAX_SHOTS, ONE_DIGIT, TASKS, task
from screens.base import WorkbenchScreen
from screens.case_form import CaseForm, says, stands
from screens.form import Field, Form, whole
from screens.keys import unlisted
from screens.messages import PromptsChosen, StepRequested
from screens.task_field import TaskField
from screens.text import number, one_line, strings, visible
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from screens.widgets.token_strip import TokenStrip
from screens.workspace import Result

DRAWN = "arithmetic: so many cases, drawn …"


DRAWN_CASES = 300
"""Enough to train LoRA on, few enough to wait for."""
MOST = 20_000
"""Cases that are drawn while one waits."""


def _prompt(value: Any) -> str:
    return one_line(str(value))


class PromptsScreen(WorkbenchScreen):
    """Cases in a table; below it the case under the cursor as the model reads it."""

    NAME = "prompts"
    TABLE = "#cases"
    LIVE = frozenset({"sweep", "importance", "new", "edit", "task", "shots"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "sweep", "Sweep heads", id="prompts.sweep-heads"),
        Binding("i", "importance", "Importance", id="prompts.importance"),
        Binding("n", "new", "New prompt", id="prompts.new-prompt"),
        Binding("e", "edit", "Edit", id="prompts.edit"),
        Binding("t", "task", "Task", id="prompts.task"),
        Binding("d", "direct", "Direct attribution", id="prompts.direct-attribution"),
        unlisted("plus", "shots(1)", "More shots", id="prompts.more-shots"),
        unlisted("minus", "shots(-1)", "Fewer shots", id="prompts.fewer-shots"),
        unlisted("slash", "filter", "Filter", id="prompts.filter"),
    ]
    shots = 2

    def compose_body(self) -> Iterator[Widget]:
        """The table of cases, the token strip, the predictions."""
        yield FrameTable(
            [
                TableColumn("number", "", 4, align="right", sort_by=("place",), descending=False),
                TableColumn("prompt", "prompt", 20, format=_prompt, grow=True, most=64),
                TableColumn("answer", "answer", 14, format=_answer),
                TableColumn("group", "group", 8),
            ],
            id="cases",
            key="number",
            search=("prompt", "answer", "group"),
            comes_by=("number", False),
        )
        yield Static(id="shared", markup=False)
        yield Static("as the model reads it", id="reads", classes="label", markup=False)
        yield TokenStrip()
        yield Static(id="predictions", markup=False)

    def on_mount(self) -> None:
        """Fill the table."""
        self._fill()
        self.query_one("#cases").focus()

    def _fill(self) -> None:
        prompts = self.workspace.prompts.prompts
        shared = shared_beginning([each.prompt for each in prompts])
        rows = [
            {
                "number": str(number),
                "place": number,
                "prompt": ("… " if shared else "") + each.prompt[len(shared) :],
                "answer": None if each.answer is None else _shown_answer(each),
                "group": each.group,
            }
            for number, each in enumerate(prompts, start=1)
        ]
        texts = dict.fromkeys(("number", "prompt", "answer", "group"), pl.String)
        schema = {**texts, "place": pl.Int64}
        table = self.table
        self._shown = self.workspace.prompts
        table.set_frame(pl.DataFrame(rows, schema=schema))
        table.move_to(str(self.workspace.case + 1))

    def rows_in_sight(self, filtered: bool) -> pl.DataFrame:
        """The cases whole, as a file of cases holds them."""
        cases = self.workspace.prompts.prompts
        numbers = self.table.in_order(filtered)["number"].to_list()
        return cases_as_rows([cases[int(number) - 1] for number in numbers])

    @property
    def what_in_sight(self) -> str:
        """The task."""
        return self.workspace.prompts.title

    def update(self) -> None:
        """Show the prompts of the workspace and what is known of the case."""
        workspace = self.workspace
        if workspace.prompts is not self._shown:
            self._fill()
        shared = shared_beginning([each.prompt for each in workspace.prompts.prompts])
        behind = f"… = {one_line(shared)}" if shared else ""
        self.query_one("#shared", Static).update(Text(f" {behind}", style="dim"))
        hint = "<prompts.sweep-heads> sweeps all heads on them" if not workspace.replaying else ""
        title = workspace.prompts.title + _examples(workspace.prompts)
        self.set_title(title, workspace.keys.fill(hint))
        strip = self.query_one(TokenStrip)
        predictions = self.query_one("#predictions", Static)
        reading, shades = workspace.reading, self._shades
        reads = self.query_one("#reads", Static)
        reads.display = not workspace.replaying or shades is not None
        reads.update("as the model reads it" if shades is None else _shaded(shades))
        values = {} if shades is None else _by_position(shades)
        if reading is None or reading.prompt != workspace.prompt:
            if shades is not None:
                strip.set_tokens(strings(shades.baseline.get("tokens")), values=values)
            elif workspace.replaying or workspace.model is None:
                strip.set_tokens([])
            waiting = ""
            if workspace.model is None and not workspace.replaying:
                waiting = "tokens appear when the model is loaded"
            elif not workspace.replaying:  # the tokens of the case before stay for the moment
                waiting = "reading …"
            predictions.update(Text(f" {waiting}", style="dim"))
            return
        if reading.error is not None:
            strip.set_tokens([])
            predictions.update(Text(f" {one_line(reading.error)}", style="red"))
            return
        tokens, special, answer = reading.tokens, set(reading.special), list(reading.answer)
        strip.set_tokens(list(tokens), special, answer, values=values)
        line = Text(" ").append_text(says(reading))
        if reading.standing is not None and workspace.prompt.answers:
            line.append("\n answer ", style="dim").append(f"{_shown_answer(workspace.prompt)} ")
            line.append_text(stands(workspace.prompt, reading.standing))
        predictions.update(line)

    @property
    def _shades(self) -> Result | None:
        """What each token of the case at hand adds, where that was found."""
        found = self.workspace.latest("inputs", len(self.workspace.results))
        here = self.workspace.prompt
        return next((each for each in found if getattr(each.step, "prompt", None) == here), None)

    @on(FrameTable.RowHighlighted, "#cases")
    def _choose_case(self, event: FrameTable.RowHighlighted) -> None:
        if event.key != self.table.current_key:
            return  # told before the rows changed or the cursor went on
        case = int(event.key) - 1
        if case != self.workspace.case or self.workspace.reading is None:
            self.post_message(PromptsChosen(self.workspace.prompts, case))

    @on(FrameTable.RowSelected, "#cases")
    def _start(self) -> None:
        self.action_sweep()

    def action_sweep(self) -> None:
        """Sweep all heads on these prompts."""
        step = HeadsStep(prompts=self.workspace.prompts)
        self.request(StepRequested(step, alike=("prompts",)))

    def action_importance(self) -> None:
        """Rank the neurons of the case's own run."""
        self.request(StepRequested(NeuronsStep(prompt=self.workspace.prompt)))

    def action_direct(self) -> None:
        """Take the answer of the case apart into what each part adds to it."""
        self.request(StepRequested(DirectStep(prompt=self.workspace.prompt)))

    def action_new(self) -> None:
        """Type a case."""
        self._ask_case(None)

    def action_edit(self) -> None:
        """Change the case under the cursor: it becomes the only one or stands beside the others."""
        prompt = self.workspace.prompt
        if prompt.messages:
            words = "A chat is changed in its file; <prompts.new-prompt> types a prompt."
            self.notify(words, severity="warning")
            return
        self._ask_case(prompt)

    def _ask_case(self, prompt: Prompt | None) -> None:
        def chosen(taken: tuple[PromptSet, int] | None) -> None:
            if taken is not None:
                self.post_message(PromptsChosen(*taken))

        draft = f"case {'' if prompt is None else prompt.model_dump_json()}"
        form = CaseForm(self.workspace, prompt, self.workspace.typed[draft])
        self.app.push_screen(form, chosen)

    def action_task(self) -> None:
        """Choose a task or a file of cases."""

        def make(name: str) -> PromptSet | str:
            return DRAWN if name == DRAWN else task(name, self.shots if _takes_shots(name) else 0)

        def chosen(found: PromptSet | str | None) -> None:
            if isinstance(found, PromptSet):
                self._take(found)
            elif found == DRAWN:
                form = _arithmetic_form(self.shots, self.workspace.typed["arithmetic"])
                self.app.push_screen(form, self._take_drawn)

        names = [*ONE_DIGIT, ",".join(ONE_DIGIT), DRAWN, *TASKS[len(ONE_DIGIT) :]]
        self.app.push_screen(TaskField(names, make, self.workspace.typed["task"]), chosen)

    def _take(self, prompts: PromptSet | None) -> None:
        if prompts is not None:
            self.post_message(PromptsChosen(prompts, 0))

    def _take_drawn(self, drawn: tuple[PromptSet, str] | None) -> None:
        if drawn is not None:
            self._take(drawn[0])
            if drawn[1]:
                self.notify(drawn[1])

    def _use(self, make: object) -> None:
        assert callable(make)
        try:
            self.post_message(PromptsChosen(make(), 0))
        except InputError as error:
            self.notify(str(error), severity="error", markup=False)

    def action_shots(self, change: int) -> None:
        """One worked example more or less before each case of a task."""
        name = self.workspace.prompts.name
        if not _takes_shots(name):
            words = "Shots belong to arithmetic; press <prompts.task> to choose a task."
            self.notify(words, severity="warning")
            return
        self.shots = min(max(self.shots + change, 0), MAX_SHOTS)
        self._use(lambda: task(name, self.shots))
        self.notify(f"{self.shots} worked examples before each case")


def _arithmetic_form(shots: int, typed: dict[str, str]) -> Form[tuple[PromptSet, str]]:
    """Cases of all operations, as many as are wanted, as `workbench data arithmetic` draws them.

    It makes them with words on how many there are, where these are fewer.
    """
    fields = (
        Field("cases", str(DRAWN_CASES), "In all; where there are fewer, all of them."),
        Field("digits", "1", "Of the operands: 1, 2 or 3."),
        Field("shots", str(shots), f"Worked examples before each, 0 to {MAX_SHOTS}."),
    )

    def make(values: dict[str, str]) -> tuple[PromptSet, str]:
        cases, digits = whole("cases", values), whole("digits", values)
        found = evaluation(digits, min(cases, MOST), whole("shots", values, least=0))
        if len(found) == MOST < cases:
            raise InputError(f"cases {cases:,}: at most {MOST:,} are drawn at once")
        few = len(found) < cases
        return found, f"all {len(found):,}: there are no more of them" if few else ""

    question = "Arithmetic: + − × ÷ in four styles, in numerals and in words"
    return Form(question, fields, make, typed=typed)


def cases_as_rows(cases: Sequence[Prompt]) -> pl.DataFrame:
    """Cases as the rows of a file of cases, with the fields that any of them has."""
    fields = [each.model_dump(mode="json", exclude_defaults=True) for each in cases]
    columns: dict[str, list[Any]] = {}
    for name in Prompt.model_fields:
        values = [each.get(name) for each in fields]
        if any(isinstance(each, str) for each in values):  # one answer beside cases of several
            several = any(isinstance(each, list) for each in values)
            values = [[each] if several and isinstance(each, str) else each for each in values]
        if any(values):
            columns[name] = values
    return pl.DataFrame(columns)


def shared_beginning(texts: list[str]) -> str:
    """The lines that all texts begin with, so that a table need not repeat them."""
    if len(texts) < 2:
        return ""
    lines = [text.splitlines(keepends=True)[:-1] for text in texts]
    return "".join(each[0] for each in takewhile(_same, zip(*lines, strict=False)))


def _same(lines: tuple[str, ...]) -> bool:
    return len(set(lines)) == 1


def _takes_shots(name: str) -> bool:
    return set(name.split(",")) <= set(ARITHMETIC)


def _examples(prompts: PromptSet) -> str:
    """How many worked examples stand before each case, where that is one number."""
    if not _takes_shots(prompts.name):
        return ""
    counts = {each.prompt.count("\n") for each in prompts.prompts}
    number = counts.pop() if len(counts) == 1 else 0
    return f" · {number} worked example{'s' if number > 1 else ''}" if number else ""


def _shown_answer(case: Prompt) -> str:
    return " or ".join(visible(each) for each in case.answers)


def _answer(value: object) -> str:
    return "top prediction" if value is None else str(value)


def _by_position(inputs: Result) -> dict[int, float]:
    """What each token adds by integrated gradients, by its place."""
    return dict(inputs.rows.select("position", "integrated").drop_nulls().iter_rows())


def _shaded(inputs: Result) -> Text:
    """What the shades of the tokens mean."""
    values = _by_position(inputs).values()
    ends = (number(each, 2, sign=True) for each in (min(values, default=0), max(values, default=0)))
    words = "as the model reads it · shaded by integrated gradients {} … {}".format(*ends)
    return Text(words)
