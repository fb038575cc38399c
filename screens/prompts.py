"""Screen 1, Prompts: choose the cases, see them as tokens, see what the model would say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.errors import InputError
from analysis.steps import HeadsStep, NeuronsStep
from analysis.tasks.answers import Standing
from analysis.tasks.arithmetic import evaluation
from analysis.tasks.prompts import Prompt, PromptSet, escaped, unescaped
from analysis.tasks.standard import ARITHMETIC, MAX_SHOTS, ONE_DIGIT, TASKS, task
from analysis.tasks.task_files import parse_columns, read_task_file
from screens.base import WorkbenchScreen
from screens.dialogs import Ask, Choose
from screens.form import Field, Form, whole
from screens.keys import unlisted
from screens.messages import PromptsChosen, StepRequested
from screens.text import one_line, probability, visible
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from screens.widgets.token_strip import TokenStrip
from screens.words import rather

DRAWN = "arithmetic: so many cases, drawn …"
FILE = "a file of cases …"


DRAWN_CASES = 300
"""Enough to train LoRA on, few enough to wait for."""


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
        unlisted("plus", "shots(1)", "More shots", id="prompts.more-shots"),
        unlisted("minus", "shots(-1)", "Fewer shots", id="prompts.fewer-shots"),
        unlisted("slash", "filter", "Filter", id="prompts.filter"),
    ]
    shots = 2
    _typed: Prompt | None = None
    """What was typed last, until it is known whether the model spells it otherwise."""

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
        self.query_one("#reads").display = not workspace.replaying
        reading = workspace.reading
        if reading is None or reading.prompt != workspace.prompt:
            if workspace.replaying or workspace.model is None:
                strip.set_tokens([])
                waiting = "" if workspace.replaying else "tokens appear when the model is loaded"
            else:  # the tokens of the case before stay for the moment, so that nothing jumps
                waiting = "reading …"
            predictions.update(Text(f" {waiting}", style="dim"))
            return
        if reading.error is not None:
            strip.set_tokens([])
            predictions.update(Text(f" {one_line(reading.error)}", style="red"))
            return
        strip.set_tokens(list(reading.tokens), set(reading.special), list(reading.answer))
        line = Text(" says ", style="dim")
        for token, chance in reading.predictions:
            line.append(f"{visible(token)} ").append(f"{probability(chance)}   ", style="dim")
        if reading.standing is not None and workspace.prompt.answers:
            line.append_text(_stands(workspace.prompt, reading.standing))
        predictions.update(line)
        if self._typed == reading.prompt and self.is_current:
            self._typed = None
            if reading.standing is not None:
                self.call_later(self._offer, reading.prompt, reading.standing)

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

    def action_new(self) -> None:
        """Type a prompt, then its answer."""
        self._ask_prompt("", "")

    def action_edit(self) -> None:
        """Change the prompt under the cursor; it becomes the only one."""
        prompt = self.workspace.prompt
        if prompt.messages or len(prompt.answers) > 1:
            words = (
                "A chat or a case of several answers is changed in its file; "
                "<prompts.new-prompt> types a prompt."
            )
            self.notify(words, severity="warning")
            return
        self._ask_prompt(prompt.prompt, "".join(prompt.answers))

    def _ask_prompt(self, text: str, answer: str) -> None:
        def with_answer(prompt: str, answer: str | None) -> None:
            if answer is None:
                return
            try:
                chosen = PromptSet.single(unescaped(prompt), unescaped(answer) or None)
            except InputError as error:
                self.notify(str(error), severity="error", markup=False)
                return
            self._typed = chosen.prompts[0]
            self.post_message(PromptsChosen(chosen, 0))

        def with_prompt(prompt: str | None) -> None:
            if prompt is not None:
                self.app.push_screen(
                    Ask(
                        "Answer to measure",
                        escaped(answer),
                        "empty: the model's top prediction",
                        escapes=True,
                    ),
                    lambda answer: with_answer(prompt, answer),
                )

        self.app.push_screen(
            Ask(
                "Prompt to continue",
                escaped(text),
                r"\n is a line end, \\ a backslash",
                check=_check_prompt,
                escapes=True,
            ),
            with_prompt,
        )

    def _offer(self, prompt: Prompt, found: Standing) -> None:
        """Ask which spelling is meant where the model says another one than was typed."""
        if (other := found.rather) is None:
            return
        instead = f"{visible(other.answer)}, P = {other.prob:.3g}"
        if other.prompt != prompt.prompt:
            instead += ", without the space that ends the prompt"
        typed = f"{visible(found.answer)}, P = {found.prob:.3g}, as typed"

        def chosen(option: str | None) -> None:
            if option == instead:
                answer = other.answer if prompt.answers else None
                self._take(PromptSet.single(other.prompt, answer))

        question = "The model spells it otherwise. Which do you mean?"
        self.app.push_screen(Choose(question, [instead, typed]), chosen)

    def action_task(self) -> None:
        """Choose a task or a file of cases."""

        def chosen(name: str | None) -> None:
            if name == FILE:
                self.app.push_screen(_file_form(), self._take)
            elif name == DRAWN:
                self.app.push_screen(_arithmetic_form(self.shots), self._take)
            elif name is not None:
                self._use(lambda: task(name, self.shots if _takes_shots(name) else 0))

        names = [*ONE_DIGIT, ",".join(ONE_DIGIT), DRAWN, FILE, *TASKS[len(ONE_DIGIT) :]]
        self.app.push_screen(Choose("Task", names), chosen)

    def _take(self, prompts: PromptSet | None) -> None:
        if prompts is not None:
            self.post_message(PromptsChosen(prompts, 0))

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


def _file_form() -> Form[PromptSet]:
    """The cases of a file, whatever its columns are called."""
    fields = (
        Field("file", "", "JSON, JSONL, CSV, TSV or Parquet."),
        Field(
            "columns",
            "",
            "As prompt=NAME,answer=NAME; empty where they have our names.",
        ),
    )

    def make(values: dict[str, str]) -> PromptSet:
        columns = parse_columns(values["columns"]) if values["columns"] else None
        return read_task_file(Path(values["file"]).expanduser(), columns)

    return Form("Task file", fields, make)


def _check_prompt(text: str) -> None:
    PromptSet.single(unescaped(text))


def _arithmetic_form(shots: int) -> Form[PromptSet]:
    """Cases of all operations, as many as are wanted, as `workbench data arithmetic` draws them."""
    fields = (
        Field("cases", str(DRAWN_CASES), "In all."),
        Field("digits", "1", "Of the operands: 1, 2 or 3."),
        Field("shots", str(shots), f"Worked examples before each, 0 to {MAX_SHOTS}."),
    )

    def make(values: dict[str, str]) -> PromptSet:
        cases, digits = whole("cases", values), whole("digits", values)
        return evaluation(digits, cases, whole("shots", values, least=0))

    return Form("Arithmetic: + − × ÷ in four styles, in numerals and in words", fields, make)


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


def _stands(prompt: Prompt, found: Standing) -> Text:
    """How likely the answer is, and which spelling of it is likelier."""
    line = Text("\n answer ", style="dim")
    line.append(f"{_shown_answer(prompt)} ", style="not dim")
    line.append(f"P = {found.prob:.3g}, rank {found.rank:,}")
    if words := rather(prompt, found):
        line.append(f"\n {words}", style="not dim yellow")
    return line


def _answer(value: object) -> str:
    return "top prediction" if value is None else str(value)
