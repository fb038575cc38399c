"""One view for each shape that rows can have: it shows the rows of any step, known or not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, ClassVar

import polars as pl
from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import Column, printed, tabled
from analysis.refs import HeadRef
from analysis.shapes import measures
from screens.text import Align, count, figure, lines, number, one_line, strings, visible
from screens.widgets import WidgetMessage
from screens.widgets.bars import signed_bar
from screens.widgets.cell_map import CellMap, HeadMap, Position, PositionMap
from screens.widgets.frame_table import FrameTable
from screens.widgets.lines import Legend
from screens.widgets.table_rows import TableColumn
from screens.workspace import Result
from sessions import View

LOOKED_THROUGH = 100
"""Rows that the width of a column is measured by."""
LEAST, MOST = 4, 24
"""Cells of a column."""
BAR = 14
"""Cells of a value drawn as a bar, and columns of a terminal in which there is room for it."""
ROOMY = 76
MOST_LAYERS, MOST_PLACES = 512, 8_192
"""Layers and positions that are drawn of rows whose model nobody knows."""


def worded(column: Column, value: Any) -> str:
    """A value as a cell shows it and as a sentence says it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, int):
        return count(value)
    if isinstance(value, list | tuple):
        return " ".join(figure(each) if isinstance(each, float) else _token(each) for each in value)
    text = str(value)
    return visible(text) if column.name.endswith(("token", "reads")) else one_line(text)


def _token(value: Any) -> str:
    return visible(str(value), quote=False)


def label(name: str) -> str:
    """What a column is called in words."""
    return name.replace("_", " ")


def said(columns: Collection[Column], row: Mapping[str, Any]) -> Text:
    """A row in words: what it is called, then what is known of it."""
    text, in_name = Text(" "), {"layer", "head", "neuron"} if "name" in row else set()
    for column in columns:
        value = row.get(column.name)
        if column.detail or value is None or column.name in in_name:
            continue
        if column.name == "name":
            text.append(f"{one_line(str(value))}   ", style="bold")
        else:
            text.append(f"{label(column.name)} ", style="dim").append(f"{worded(column, value)}   ")
    text.rstrip()
    return text


class ShapeView(Vertical):
    """Shows the rows of a result as they come in, and says in words what is under the cursor."""

    class Moved(WidgetMessage["ShapeView"]):
        """Something else is under the cursor."""

    measure = ""
    """The column that colours are of, where a view shows one at a time."""
    result: Result | None = None

    @property
    @abstractmethod
    def cursor(self) -> Widget:
        """What takes the keys."""

    def show(self, result: Result) -> None:
        """Bring the picture up to date; of another result nothing is left."""
        new = self.result is None or self.result.id != result.id
        if new or self.measure not in measures(result.step.filled):
            known = measures(result.step.filled)
            first = known[0] if known else ""
            self.measure = result.step.ordered_by if result.step.ordered_by in known else first
        self.result = result
        self.draw(result, new)

    @abstractmethod
    def draw(self, result: Result, new: bool) -> None:
        """Draw the rows; `new`: of a result that was not in sight before."""

    @abstractmethod
    def row(self) -> dict[str, Any] | None:
        """The row under the cursor; None where there is none yet."""

    def reading(self) -> Text:
        """What is under the cursor in words."""
        row = self.row()
        if row is None or self.result is None:
            active = self.result is not None and self.result.active
            return Text(" waiting" if active else "", style="dim")
        return said(self.result.step.columns, row)

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row under the cursor, or all rows in order, for the clipboard."""
        result, row = self.result, self.row()
        if result is None:
            return None
        rows = result.step.ranked(result.rows).select(printed(result.step.filled))
        key = result.step.key
        if everything or row is None or key not in rows.columns:
            return rows if everything else rows.clear()
        return rows.filter(pl.col(key) == row[key])

    def in_order(self, filtered: bool) -> pl.DataFrame | None:
        """All rows in order, or those that a filter shows where there is one."""
        return self.copied(True)

    def view(self) -> View:
        """How the result is looked at, as JSON."""
        return {"measure": self.measure}

    def show_view(self, view: View) -> None:
        """Look at it that way, as far as it fits; the view may come from anybody's file."""
        result = self.result
        if result is not None and view.get("measure") in measures(result.step.filled):
            self.measure = view["measure"]
            self.draw(result, new=False)

    def next_measure(self) -> None:
        """Show the next of the columns that hold numbers."""
        if self.result is not None and (known := measures(self.result.step.filled)):
            place = known.index(self.measure) + 1 if self.measure in known else 0
            self.measure = known[place % len(known)]
            self.draw(self.result, new=False)


class MapView(ShapeView):
    """One measure as the colours of a map: changes around zero where some are below and some above
    it, else amounts."""

    AXIS: ClassVar[str]
    """The column that is no layer."""
    scale: tuple[float, float] | None = None
    """What the ends of the colours mean, where another map has the same ones."""

    @property
    @abstractmethod
    def map(self) -> CellMap[Any]:
        """The map."""

    @property
    def cursor(self) -> Widget:
        """The map takes the keys."""
        return self.map

    @abstractmethod
    def place(self, layer: int, other: int) -> Any:
        """What the map calls a layer and the place on its other axis."""

    @abstractmethod
    def resize(self, layers: int, others: int) -> None:
        """Give the map its shape."""

    def draw(self, result: Result, new: bool) -> None:
        """Colour what is known."""
        rows = _placed(result, result.rows, self.AXIS)
        estimates = result.estimates
        if estimates is not None and self.measure in estimates.columns:
            rows = pl.concat([_placed(result, estimates, self.AXIS), rows], how="diagonal_relaxed")
        extent = _extent(result, rows, self.AXIS)
        new = new or not all(self.map.shape)  # it had no places until now
        self.resize(*extent)
        values = self._values(rows)
        exact = set(self._values(_placed(result, result.rows, self.AXIS)))
        known = [value for value in values.values() if value == value]
        low, high = self.scale or ((min(known), max(known)) if known else (0.0, 0.0))
        centred = low < 0 < high
        self.map.set_scale(*(self.scale or ()))
        self.map.set_values(values, exact, centred=centred)
        if new:
            self.map.moved, self.map.cursor = False, self.place(*extent)
        if result.state == "done" and values:
            self.map.offer(max(values, key=lambda place: abs(values[place])))
        legend, column = self.query_one(Legend), self._column(result)
        decimals = 2 if max(abs(low), abs(high)) < 10 else 1
        legend.set_meaning(label(self.measure), column.unit, centred=centred, decimals=decimals)
        legend.set_scale(low, high)
        legend.set_note(column.meaning)

    def to_strongest(self) -> None:
        """Put the cursor on the largest exact value."""
        if self.result is not None:
            values = self._values(_placed(self.result, self.result.rows, self.AXIS))
            if values:
                self.map.move_to(max(values, key=lambda place: abs(values[place])))

    def _column(self, result: Result) -> Column:
        return next(each for each in result.step.columns if each.name == self.measure)

    def _values(self, rows: pl.DataFrame) -> dict[Any, float]:
        """The measure by place; of several rows of one place the largest value counts."""
        if self.measure not in rows.columns:
            return {}
        found = rows.select("layer", self.AXIS, self.measure).drop_nulls()
        found = found.sort(pl.col(self.measure).abs(), maintain_order=True)
        return {self.place(layer, other): value for layer, other, value in found.iter_rows()}

    def row(self) -> dict[str, Any] | None:
        """The row of the place under the cursor, exact where it is known."""
        if self.result is None or self.measure not in self.result.rows.columns:
            return None
        return self._row_in(self.result.rows) or self._row_in(self.result.estimates)

    def _row_in(self, rows: pl.DataFrame | None) -> dict[str, Any] | None:
        if rows is None or self.measure not in rows.columns:
            return None
        here = self.map.cursor
        found = [
            row
            for row in rows.filter(pl.col("layer") == here.layer).iter_rows(named=True)
            if row[self.AXIS] is not None and self.place(row["layer"], row[self.AXIS]) == here
        ]
        return max(found, key=lambda row: abs(row[self.measure] or 0.0), default=None)

    def view(self) -> View:
        """The cell under the cursor, and the measure."""
        column, place = self.map.cell(self.map.cursor)
        return {**super().view(), "cursor": [column, place] if self.map.moved else None}

    def show_view(self, view: View) -> None:
        """Put these back, as far as the map has them."""
        super().show_view(view)
        match view.get("cursor"):
            case [int(column), int(place)]:
                self.map.move_to(self.map.ref((column, place)))

    @on(CellMap.CellHighlighted)
    def _moved(self, event: CellMap.CellHighlighted) -> None:
        event.stop()
        self.post_message(self.Moved(self))


def _farthest(result: Result, axis: str) -> tuple[int, int]:
    """How many layers and other places a map can have: rows may come from anybody's file."""
    model = result.model
    if model is None:
        return MOST_LAYERS, MOST_PLACES
    return model.layers, model.heads if axis == "head" else MOST_PLACES


def _placed(result: Result, rows: pl.DataFrame, axis: str) -> pl.DataFrame:
    """The rows that have a place on a map."""
    layers, others = _farthest(result, axis)
    return rows.filter(
        pl.col("layer").is_between(0, layers - 1) & pl.col(axis).is_between(0, others - 1)
    )


def _extent(result: Result, rows: pl.DataFrame, axis: str) -> tuple[int, int]:
    """How many layers there are, and places on the other axis: those of the model, or as many as
    the rows name."""
    layers, others = _farthest(result, axis) if result.model is not None else (0, 0)
    others = others if axis == "head" else 0
    if not rows.height:
        return layers, others
    most = rows.select(pl.col("layer").max(), pl.col(axis).max()).row(0)
    return max(layers, most[0] + 1), max(others, most[1] + 1)


class HeadsView(MapView):
    """A value for each head."""

    AXIS = "head"

    def compose(self) -> ComposeResult:
        """The map, and what its colours mean."""
        yield HeadMap()
        yield Legend()

    @property
    def map(self) -> HeadMap:
        """The map of heads."""
        return self.query_one(HeadMap)

    def place(self, layer: int, other: int) -> HeadRef:
        """A head."""
        return HeadRef(layer, other)

    def resize(self, layers: int, others: int) -> None:
        """Layers to the right."""
        if self.map.shape != (layers, others):
            self.map.clear(layers, others)


class PositionsView(MapView):
    """A value for each layer at each position of a prompt, whose tokens stand below."""

    AXIS = "position"

    def compose(self) -> ComposeResult:
        """The map, and what its colours mean."""
        yield PositionMap()
        yield Legend()

    @property
    def map(self) -> PositionMap:
        """The map of positions."""
        return self.query_one(PositionMap)

    def place(self, layer: int, other: int) -> Position:
        """A layer at a position."""
        return Position(layer, other)

    def resize(self, layers: int, others: int) -> None:
        """Positions to the right."""
        if self.map.shape != (others, layers):
            self.map.clear(others, layers)

    def draw(self, result: Result, new: bool) -> None:
        """Colour what is known, above the tokens of the prompt."""
        super().draw(result, new)
        places, base = self.map.shape[0], result.baseline
        own, other = (strings(base.get(name)) for name in ("tokens", "corrupt_tokens"))
        if len(own) == places:
            self.map.set_tokens(own, other if len(other) == places else ())
            return
        rows, names = result.rows, result.rows.columns
        column = next((each for each in ("reads", "token") if each in names), None)
        tokens: list[str | None] = [""] * places
        if column is not None:
            for place, text in rows.select("position", column).drop_nulls().unique().iter_rows():
                if 0 <= place < places:
                    tokens[place] = text
        self.map.set_tokens(tokens)


class RowsView(ShapeView):
    """Any rows as a table in rank order, estimates dim behind the exact ones."""

    BARS = False
    """Each measure is drawn as a bar too."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield FrameTable([], id="rows", estimated="estimated", search=("name", "tokens", "token"))

    @property
    def cursor(self) -> FrameTable:
        """The table takes the keys."""
        return self.query_one(FrameTable)

    def draw(self, result: Result, new: bool) -> None:
        """Show the rows; the columns of a step are measured anew when its rows have grown."""
        table, rows = self.cursor, result.table()
        if new:
            table.filter("")
            table.sort(None)
            table.to_top()
        if self.BARS:
            drawn = measures(result.step.filled)
            rows = rows.with_columns(pl.col(name).alias(f"{name}_bar") for name in drawn)
        table.set_columns(_table_columns(result, rows, self.BARS), _comes_by(result, rows))
        table.set_frame(rows)

    def row(self) -> dict[str, Any] | None:
        """The row under the cursor."""
        return self.cursor.current

    def in_order(self, filtered: bool) -> pl.DataFrame | None:
        """The rows of the table, estimates too, without the bars drawn of them."""
        if self.result is None:
            return None
        rows = self.cursor.in_order(filtered)
        bars = [f"{each}_bar" for each in measures(self.result.step.columns)]
        return rows.drop(bars, strict=False)

    def view(self) -> View:
        """Cursor, order, filter and marks."""
        return {"rows": self.cursor.view()}

    def show_view(self, view: View) -> None:
        """Put these back."""
        rows = view.get("rows")
        self.cursor.show_view(rows if isinstance(rows, dict) else {})

    @on(FrameTable.RowHighlighted)
    def _moved(self) -> None:
        self.post_message(self.Moved(self))


class CurveView(RowsView):
    """Values by layer, each with a bar beside it."""

    BARS = True

    def compose(self) -> ComposeResult:
        """The table."""
        yield FrameTable([], id="curve-rows", estimated="estimated", search=("name",))


def _comes_by(result: Result, rows: pl.DataFrame) -> tuple[str, bool] | None:
    """What the rows are ordered by, where that is one column: a step may order them otherwise."""
    name, descending = result.step.ordered_by, result.step.descending
    exact = rows.head(result.rows.height)[name].drop_nulls()
    return (name, descending) if exact.is_sorted(descending=descending) else None


def _table_columns(result: Result, rows: pl.DataFrame, bars: bool) -> list[TableColumn]:
    """A column of a table for each that the step declares for tables."""
    step, shown, found = result.step, rows.head(LOOKED_THROUGH), []
    named = {each.name: each for each in step.columns}
    for name in tabled(step.filled):
        column = named[name]
        # What a value says, given the column it is of.
        format = partial(worded, column)
        longest = max((cell_len(format(value)) for value in shown[name]), default=0)
        words = label(name)
        # The arrow of the order goes beside the label.
        width = min(MOST, max(LEAST, cell_len(words) + 1, longest))
        text = column.dtype == pl.String or isinstance(column.dtype, pl.List)
        align: Align = "left" if text else "right"
        grow = text and name != step.key  # names are short
        found.append(TableColumn(name, words, width, align, format, grow=grow, most=2 * MOST))
        if bars and name in measures(step.filled):
            largest = rows.select(pl.col(name).abs().max()).item() or 1.0
            bar = partial(signed_bar, largest=largest)
            found.append(TableColumn(f"{name}_bar", "", BAR, format=bar, min_terminal_width=ROOMY))
    return found


ENDS, PROMOTES = ("top", "bottom"), ("promotes", "suppresses")
"""The ends of a projection, and what is said of the tokens there."""


class TokenEnds(Horizontal):
    """Two tables side by side: the tokens that a vector promotes, and those it suppresses."""

    def compose(self) -> ComposeResult:
        """The promoted end first."""
        for end, words in zip(ENDS, PROMOTES, strict=True):
            yield FrameTable(
                end_columns(words),
                id=end,
                key="token_id",
                search=("token",),
                comes_by=("logit", end == "top"),
            )

    def show_rows(self, rows: pl.DataFrame, ends: tuple[str, str] = PROMOTES) -> None:
        """Show the rows of both ends, each from its own end on.

        Args:
            rows: of a projection.
            ends: what is said of the tokens at either.
        """
        specific = "specific" in rows.columns and rows["specific"].null_count() < rows.height
        measure = "specific" if specific else "logit"
        for end, words in zip(ENDS, ends, strict=True):
            table = self.query_one(f"#{end}", FrameTable)
            table.set_columns(end_columns(words, measure), (measure, end == "top"))
            table.set_frame(rows.filter(pl.col("end") == end))


def end_columns(name: str, measure: str = "logit") -> list[TableColumn]:
    """The columns of one end, whose tokens have this header, ordered by a measure of theirs."""
    return [
        TableColumn("rank", "", 3, "right"),
        TableColumn("token", name, 11, format=lambda value: visible(str(value)), grow=True),
        TableColumn(
            measure,
            {"specific": "z"}.get(measure, measure),
            8,
            "right",
            partial(number, decimals=2),
        ),
        TableColumn("token_id", "id", 7, "right", min_terminal_width=100),
    ]


class EndsView(ShapeView):
    """The two ends of the vocabulary: what is promoted, what is suppressed."""

    def compose(self) -> ComposeResult:
        """Both ends side by side."""
        yield TokenEnds()

    @property
    def cursor(self) -> FrameTable:
        """The promoted end takes the keys, unless the other has them."""
        top, bottom = self.query(FrameTable)
        return bottom if bottom.has_focus else top

    def draw(self, result: Result, new: bool) -> None:
        """Show both ends, each from its own end on."""
        ends = getattr(result.step, "ends", PROMOTES)
        self.query_one(TokenEnds).show_rows(result.step.ranked(result.rows), ends)

    def row(self) -> dict[str, Any] | None:
        """The token under the cursor."""
        return self.cursor.current

    @on(FrameTable.RowHighlighted)
    def _moved(self) -> None:
        self.post_message(self.Moved(self))


class TextView(ShapeView):
    """Tokens one after the other, a paragraph for each variant and seed."""

    def compose(self) -> ComposeResult:
        """The text, which scrolls."""
        with VerticalScroll(can_focus=True):
            yield Static(markup=False)

    @property
    def cursor(self) -> Widget:
        """The text takes the keys, which scroll it."""
        return self.query_one(VerticalScroll)

    def draw(self, result: Result, new: bool) -> None:
        """Write what was said so far."""
        rows = result.rows
        by = [name for name in ("variant", "seed") if name in rows.columns]
        text = Text()
        for who, said_so_far in rows.group_by(by, maintain_order=True) if by else [((), rows)]:
            heading = " · ".join(one_line(str(each)) for each in who)
            text.append(f"{heading}\n" if heading else "", style="bold")
            text.append(lines("".join(said_so_far["token"].fill_null(""))) + "\n\n")
        text.rstrip()
        self.query_one(Static).update(text)

    def row(self) -> dict[str, Any] | None:
        """The token said last."""
        result = self.result
        return result.rows.row(-1, named=True) if result is not None and result.done else None
