"""Screen 8, Paper: its tables beside what is measured here, and whether each claim held."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import polars as pl
from rich.style import Style
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import printed
from analysis.paper.registry import TABLES, Table
from analysis.paper.scale import SCALES, Scale
from analysis.paper.table import TableStep
from screens.base import WorkbenchScreen
from screens.dialogs import Finder
from screens.keys import unlisted
from screens.messages import StepChosen, StepRequested
from screens.text import one_line
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from screens.words import verdict, worded
from screens.workspace import Result

log = logging.getLogger(__name__)

_INK = {
    "✓": Style(color="green", bold=True),
    "✗": Style(color="red", bold=True),
    "?": Style(color="#af5f00"),
    "·": Style(dim=True),
}
CELLS = [
    TableColumn("row", "", 9, grow=True, most=26),
    TableColumn("column", "", 10, grow=True, most=26),
    TableColumn("paper", "paper", 6, "right"),
    TableColumn("measured", "measured", 8, "right"),
    TableColumn("interval", "95 %", 13),
    TableColumn("control", "random", 6, "right"),
    TableColumn("control_interval", "", 13, min_terminal_width=100),
    TableColumn("cases", "cases", 5, "right", min_terminal_width=110),
    TableColumn("found", "found", 10, grow=True, min_terminal_width=130),
]
WIDE = 110
"""Columns of a terminal in which the list names the tables."""
WIDEST = 160
"""Columns of a terminal in which it does so in full."""


NAME = 8
"""Cells of a name that is short enough to stand beside its column."""


def _with_names(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with what was found there, where it is one name, in the column's place."""
    found = pl.col("found")
    named = pl.format("{} {}", "column", found)
    short = (found != "") & (found.str.len_chars() <= NAME)
    return rows.with_columns(column=pl.when(short).then(named).otherwise("column"))


def _ink(value: Any) -> Style | None:
    return _INK.get(str(value))


class PaperScreen(WorkbenchScreen):
    """The list of tables with their verdicts; the chosen one beside it, its claim below."""

    NAME = "paper"
    KINDS = ("table",)
    BESIDE = ("circuit", "hidden_sets")
    TABLE = "#cells"
    LIVE = frozenset({"measure", "measure_all", "scale"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "measure", "Measure", id="paper.measure"),
        Binding("R", "measure_all", "Measure all", id="paper.measure-all"),
        Binding("o", "scale", "Small/full", id="paper.small-full"),
        Binding("tab", "app.focus_next", "Cells", id="paper.cells"),
        unlisted("slash", "filter", "Filter", id="paper.filter"),
    ]
    RESUMES = "measure"
    _followed: str | None = None
    """Id of the result that the cursor was put on."""
    scale = "small"

    def compose_body(self) -> Iterator[Widget]:
        """Tables on the left, the cells of one on the right, the claim below."""
        tables = FrameTable(
            [
                TableColumn("mark", "", 1, style=_ink),
                TableColumn("name", "table", 5, sort_by=("place",)),
                TableColumn("title", "shows", 20, grow=True, min_terminal_width=WIDE),
            ],
            id="tables",
            search=("name", "title"),
        )
        yield Horizontal(
            tables,
            Vertical(
                FrameTable(CELLS, id="cells", search=("row", "column", "found")),
                Static(id="cell", markup=False),
                id="measured",
            ),
            id="sides",
        )
        yield Static(id="claim", markup=False)

    def on_mount(self) -> None:
        """The list takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self.query_one("#tables").focus()

    @property
    def _chosen(self) -> Table:
        """The table under the cursor of the list."""
        name = self.query_one("#tables", FrameTable).current_key
        return TABLES.get(name or "", next(iter(TABLES.values())))

    @property
    def result(self) -> Result | None:
        """The latest measurement of the chosen table, one of this scale before others."""
        return self._latest(self._chosen.id)

    def _latest(self, name: str) -> Result | None:
        found = [
            each
            for each in self.workspace.results
            if isinstance(each.step, TableStep) and each.step.table == name
        ]
        return found[-1] if found else None

    def update(self) -> None:
        """Show the list with its verdicts, and the chosen table."""
        self.set_empty(None)
        tables = self.query_one("#tables", FrameTable)
        width = self.size.width
        tables.styles.width = 62 if width >= WIDEST else 42 if width >= WIDE else 12
        rows = [
            {"place": place, "name": name, "mark": self._mark(name), "title": table.title}
            for place, (name, table) in enumerate(TABLES.items())
        ]
        tables.set_frame(pl.DataFrame(rows))
        self._follow_replay(tables)
        self._show_table()

    def look_afresh(self) -> None:
        """Put the cursor back on the table too."""
        super().look_afresh()
        self._followed = None

    def _follow_replay(self, tables: FrameTable) -> None:
        """Put the cursor on the table that was shown last, once for each."""
        shown = self.workspace.current("table")
        if shown is None or not isinstance(shown.step, TableStep):
            return
        if self._followed != shown.id:
            self._followed = shown.id
            tables.move_to(shown.step.table)

    def _mark(self, name: str) -> str:
        """A verdict in one cell."""
        result = self._latest(name)
        if result is None:
            return "·"
        if result.active:
            return "…"
        return verdict(result.baseline)[:1] or "·"

    @on(FrameTable.RowHighlighted, "#tables")
    def _show_table(self) -> None:
        table, result = self._chosen, self.result
        self.set_title(f"{table.id} · {table.title}", f"{table.unit} · paper: {table.model}")
        cells = self.query_one("#cells", FrameTable)
        rows = result.rows if result is not None else None
        view = (table.id, result.id if result else None, rows.height if rows is not None else 0)
        if view != self._drawn:
            if not self._drawn or self._drawn[0] != table.id:
                cells.filter("")  # of another table
            self._drawn = view
            if rows is None or result is None or not isinstance(result.step, TableStep):
                cells.set_frame(pl.DataFrame(schema={"name": pl.String}))
            else:
                cells.set_frame(_with_names(worded(result.step, rows)))
        self.query_one("#claim", Static).update(self._claim(table, result))
        self._show_cell()

    def _claim(self, table: Table, result: Result | None) -> Text:
        """The claim, its verdict and what was found; or what to press."""
        if result is None or not result.rows.height:
            return self._not_yet(table, result)
        base = result.baseline
        words = verdict(base)
        text = Text().append(words, style=_INK.get(words[:1], Style()))
        text.append(f"  {one_line(str(base.get('claim', '')))}\n", style="bold")
        text.append(f"{one_line(str(base.get('finding', '')))}\n")
        for note in base.get("notes", ()):
            text.append(f"{one_line(str(note))}\n", style="dim")
        text.rstrip()
        return text

    def _not_yet(self, table: Table, result: Result | None) -> Text:
        fill = self.workspace.keys.fill
        if result is not None and result.active:
            words = "Being measured, step by step; <app.back-stop> stops, what is finished is kept."
            return Text(fill(words))
        if result is not None and result.state in ("stopped", "interrupted"):
            return Text(fill("Stopped; press <paper.measure> to go on where it stopped."))
        if result is not None and result.error:
            return Text(one_line(result.error))
        if self.workspace.replaying:
            return Text(f"{table.id} was not measured in this session.", style="dim")
        return Text(
            fill(
                f"{table.id} is not measured yet. Press <paper.measure> to measure it "
                f"({self.scale} scale), <paper.measure-all> for all tables, <paper.small-full> for "
                "the other scale."
            )
        )

    @on(FrameTable.Filtered, "#cells")
    @on(FrameTable.RowHighlighted, "#cells")
    def _show_cell(self) -> None:
        """The cell under the cursor in words."""
        cells = self.query_one("#cells", FrameTable)
        row = cells.current
        text = Text(no_wrap=True, overflow="ellipsis")
        if row is not None and "paper" in row:
            text.append(f" {row['row']} · {row['column']}", style="bold")
            if row["paper_text"]:
                text.append(f"   paper: {row['paper_text']}", style="dim")
            if row["cases"]:
                cases = "1 case" if row["cases"] == "1" else f"{row['cases']} cases"
                text.append(f"   {cases}", style="dim")
            if row["control"]:
                text.append(f"   random {row['control']} {row['control_interval']}", style="dim")
            if row["found"]:
                text.append(f"\n {row['found']}")
        self.query_one("#cell", Static).update(text)

    def rows_in_sight(self, filtered: bool) -> pl.DataFrame | None:
        """The cells of the chosen table as numbers."""
        if (result := self.result) is None or not result.rows.height:
            return None
        names = self.query_one("#cells", FrameTable).in_order(filtered).select("name")
        rows = result.rows.select(printed(result.step.columns))
        return names.join(rows, on="name", how="left", maintain_order="left")

    @property
    def _scale(self) -> Scale:
        return SCALES[self.scale]

    @on(FrameTable.RowSelected)
    def _open(self) -> None:
        """Go to a step that the table was made of; of several, one that is chosen."""
        if (result := self.result) is not None:
            self.run_worker(self._show_made_of(result), exclusive=True)
        elif self.workspace.replaying:
            self.action_measure()  # which is not recorded, and that is said

    async def _show_made_of(self, result: Result) -> None:
        made_of = await asyncio.to_thread(self._made_of, result)

        def chosen(place: int | None) -> None:
            if place is not None:
                self.post_message(StepChosen(made_of[place].id))

        if not made_of:
            self.notify(f"No step that {result.step.subject} is made of is recorded here.")
        elif len(made_of) == 1:
            chosen(0)
        else:
            named = [Text(one_line(f"{each.name} · {each.step.title}")) for each in made_of]
            question = f"{result.step.subject} is made of"
            self.app.push_screen(Finder(question, named, "opens it"), chosen)

    def _made_of(self, result: Result) -> list[Result]:
        try:
            return self.workspace.made_of(result)
        except Exception as error:  # rows may come from anybody's file
            log.error("what %s is made of cannot be told", result.name, exc_info=error)
            return []

    def action_measure(self) -> None:
        """Measure the chosen table."""
        self.request(StepRequested(TableStep(table=self._chosen.id, scale=self._scale)))

    def action_measure_all(self) -> None:
        """Measure every table, one after the other."""
        if self.workspace.replaying or self.workspace.model is None:
            self.action_measure()
            return
        for name in TABLES:
            self.post_message(StepRequested(TableStep(table=name, scale=self._scale)))

    def action_scale(self) -> None:
        """Change between the small scale and the paper's."""
        names = list(SCALES)
        self.scale = names[(names.index(self.scale) + 1) % len(names)]
        self.notify(f"<paper.measure> measures at {self.scale} scale.")
        self._show_table()
