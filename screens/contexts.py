"""What a neuron or a head fires on: contexts under each other, the token that counts in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from analysis.columns import schema
from analysis.steps import CorpusStep
from screens.colours import Ramp, amount_ramp, needs_glyphs
from screens.text import ELLIPSIS, cell_fit, coefficient, count, number, one_line, visible
from screens.views import RowsView
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import Row, TableColumn
from screens.workspace import Result
from sessions import View

KINDS = {"top": "largest", "sample": "at random", "bottom": "smallest"}
"""The kinds of contexts, and what they are called."""
LISTS = (
    ("fires", "fires on", "lift"),
    ("writes", "writes", "specific"),
    ("next", "what follows", "lift"),
)
"""Kinds of rows that are tokens, what their list is called, and what their number is."""
BEFORE = 0.55
"""Share of a line that stands before the token that counts."""
SHARES = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Shading:
    """How strongly each token of a context fires, as colour, or as underlining without colours."""

    ramp: Ramp
    glyphs: bool
    most: float
    """The coefficient that the last step of the ramp stands for, with its sign."""

    def pieces(self, row: Mapping[str, Any]) -> list[tuple[str, Style]]:
        """The tokens of a context, each with its shade."""
        tokens, values = row.get("tokens") or [], row.get("values") or []
        at = row.get("at")
        padded = [*values, *[None] * (len(tokens) - len(values))]
        return [
            (one_line(token), self._shade(value, place == at))
            for place, (token, value) in enumerate(zip(tokens, padded, strict=False))
        ]

    def _shade(self, value: float | None, counts: bool) -> Style:
        step = self.ramp.index(None if value is None else value / (self.most or 1.0), 0.0, 1.0)
        if self.glyphs:
            share = max(step, 0) / (len(self.ramp) - 1)
            return Style(reverse=counts, underline=share >= 1 / 3, bold=share >= 2 / 3)
        shade = self.ramp.contrasts[step] if step > 0 else Style()
        return shade + Style(bold=counts, underline=counts)


def in_a_line(shading: Shading, row: Row, width: int, style: Style) -> list[Segment]:
    """A context on one line, with the token that counts in the same column as in the lines around.

    Args:
        shading: of its tokens.
        row: the context.
        width: cells there are.
        style: of the line.
    """
    pieces, at = shading.pieces(row), row.get("at")
    if not pieces or not isinstance(at, int) or not 0 <= at < len(pieces):
        return [Segment(cell_fit(str(row.get("context") or ""), width), style)]
    left = int(width * BEFORE)
    before = _fitting(reversed(pieces[:at]), left)[::-1]
    room = left - sum(cell_len(text) for text, _ in before)
    segments = [Segment(" " * room, style)]
    if len(before) < at and room:
        segments = [Segment(" " * (room - 1) + ELLIPSIS, style)]
    segments += [Segment(text, style + shade) for text, shade in before]
    used = left
    for text, shade in pieces[at:]:
        text = cell_fit(text, min(cell_len(text), width - used))
        used += cell_len(text)
        if text:
            segments.append(Segment(text, style + shade))
    return [*segments, Segment(" " * (width - used), style)]


def _fitting(pieces: Iterator[tuple[str, Style]], room: int) -> list[tuple[str, Style]]:
    """The first of them that fit into so many cells."""
    found = []
    for text, shade in pieces:
        if (room := room - cell_len(text)) < 0:
            break
        found.append((text, shade))
    return found


class ContextsView(RowsView):
    """The contexts of one neuron or head, and beside them the tokens that it reads and writes."""

    part = ""
    """Whose contexts are in sight."""
    kind = "top"
    own = pl.DataFrame(schema=schema(CorpusStep.columns))
    """All rows of that part."""

    def compose(self) -> ComposeResult:
        """The contexts, then what they come to."""
        with Horizontal():
            yield FrameTable([], id="contexts", key="row", search=("context", "token"))
            yield Static(id="beside-contexts", markup=False)

    @property
    def parts(self) -> list[str]:
        """Whose contexts there are, in the order of the step."""
        rows = self._rows
        return [] if rows is None else rows["name"].unique(maintain_order=True).to_list()

    @property
    def _rows(self) -> pl.DataFrame | None:
        """All rows in their order; what is no context counts too."""
        result = self.result
        return None if result is None else result.step.ranked(result.rows)

    def draw(self, result: Result, new: bool) -> None:
        """Show the contexts of one part, and the tokens beside them."""
        rows, table = result.step.ranked(result.rows), self.cursor
        if new:
            self.part, self.kind = "", "top"
            table.filter("")
        parts = self.parts
        if self.part not in parts:
            self.part = parts[0] if parts else ""
        own = rows.filter(pl.col("name") == self.part)
        shown = own.filter(pl.col("kind") == self.kind)
        most = max(shown["value"], key=abs, default=1.0)
        painted = partial(in_a_line, self._shading(most))
        table.set_columns(
            [
                TableColumn("value", "value", 7, "right", coefficient),
                TableColumn("context", KINDS[self.kind], 24, grow=True, paint=painted),
            ],
            None if self.kind == "sample" else ("value", self.kind == "top"),
        )
        table.set_frame(shown)
        self.own = own
        self.on_resize()

    def on_resize(self) -> None:
        """More lines have room for more tokens."""
        self.call_after_refresh(self._draw_beside)

    def _draw_beside(self) -> None:
        panel = self.query_one("#beside-contexts", Static)
        panel.update(beside(self.own, panel.size.height))

    def _shading(self, most: float) -> Shading:
        return Shading(amount_ramp(self.app.current_theme), needs_glyphs(self.app), most)

    def open(self, part: str) -> None:
        """Show the contexts of a part that is there."""
        self.part = part
        self._begin()

    def turn(self, parts: int = 0, kinds: int = 0) -> None:
        """Show another part, or other contexts of it."""
        if self.result is None or not (there := self.parts):
            return
        self.part = there[(there.index(self.part) + parts) % len(there)]
        names = list(KINDS)
        self.kind = names[(names.index(self.kind) + kinds) % len(names)]
        self._begin()

    def _begin(self) -> None:
        """Show all contexts that are to be in sight, from the first."""
        assert self.result is not None
        self.cursor.filter("")
        self.draw(self.result, new=False)
        self.cursor.to_top()
        self.post_message(self.Moved(self))

    def reading(self) -> Text:
        """The context under the cursor, whole."""
        row = self.row()
        if row is None:
            return super().reading()
        where = f"   document {count(row['document'])}, token {count(row['position'])}"
        text = Text(" ")
        text.append(f"{coefficient(row['value'])} on {visible(row.get('token'))}", style="bold")
        text.append(where, style="dim")
        text.append("\n")
        for piece, shade in self._shading(row["value"]).pieces(row):
            text.append(piece, style=shade)
        return text.append("\n").append_text(quantiles(self.own))

    def in_order(self, filtered: bool) -> pl.DataFrame | None:
        """The contexts in sight, as files have them."""
        rows = super().in_order(filtered)
        if rows is None or self.result is None:
            return None
        names = [each.name for each in self.result.step.filled if not each.detail]
        return rows.select(each for each in names if each in rows.columns)

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The context under the cursor, or all in sight."""
        rows = self.in_order(True)
        if rows is None or everything or (row := self.row()) is None:
            return rows
        return rows.filter(pl.col("rank") == row["rank"])

    def view(self) -> View:
        """Whose contexts, which of them, and how the table is looked at."""
        return {"part": self.part, "kind": self.kind, **super().view()}

    def show_view(self, view: View) -> None:
        """Put these back, as far as they fit."""
        part, kind = view.get("part"), view.get("kind")
        if self.result is not None:
            self.part = part if part in self.parts else ""
            self.kind = kind if kind in KINDS else "top"
            self.draw(self.result, new=False)
        super().show_view(view)


def beside(rows: pl.DataFrame, height: int) -> Text:
    """The tokens that one part reads and writes, as lists on so many lines.

    Args:
        rows: of the part, in their order.
        height: lines there are.
    """
    there = {name: rows.filter(kind=name) for name, *_ in LISTS}
    lists = [each for each in LISTS if there[each[0]].height]
    each_has = max(1, (height + 1) // max(1, len(lists)) - 2)
    text = Text()
    for name, words, amount in lists:
        text.append(f"{words:<16}{amount:>8}\n", style="dim")
        for token, value in there[name].select("token", "value").head(each_has).iter_rows():
            text.append(f"{cell_fit(visible(token), 16)}{number(value, 1):>8}\n")
        text.append("\n")
    return text


def quantiles(rows: pl.DataFrame) -> Text:
    """What a hundredth, half and all but a hundredth of the values of one part are below."""
    text, told = Text(), pl.col("rank").is_in([1, 50, 99])
    for percent, value in rows.filter(told, kind="quantile").select("rank", "value").iter_rows():
        text.append(f" {percent} % below ", style="dim").append(f"{coefficient(value)}  ")
    return text


def fires(rows: pl.DataFrame) -> str:
    """On which share of how many tokens a part fires, in words; empty where that is not known.

    Args:
        rows: of the part.
    """
    for share, fired in rows.filter(kind="share").select("value", "count").iter_rows():
        total = f" of {count(round(fired / share))} tokens" if share else ""
        return f"fires on {share:.2%}{total}"
    return ""


def as_prompt(row: Mapping[str, Any]) -> tuple[str, str]:
    """A context up to the token that counts, and the token that follows there; empty if none."""
    tokens: Sequence[str] = row.get("tokens") or []
    at = row.get("at") or 0
    return "".join(tokens[: at + 1]), "".join(tokens[at + 1 : at + 2])
