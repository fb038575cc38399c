"""What the answer is made of: bars by layer, and the tokens of the prompt shaded by their share."""

from __future__ import annotations

from functools import partial

import polars as pl
from rich.text import Text
from textual import on
from textual.app import ComposeResult

from screens.text import number, one_line, strings
from screens.views import BAR, ROOMY, CurveView, RowsView, ShapeView
from screens.widgets.bars import signed_bar
from screens.widgets.frame_table import FrameTable
from screens.widgets.lines import Legend
from screens.widgets.prompt_text import PromptText
from screens.widgets.table_rows import TableColumn
from screens.workspace import Result

SHARE = "logit_difference"
_signed = partial(number, decimals=3, sign=True)


def by_layer(rows: pl.DataFrame) -> pl.DataFrame:
    """Shares of the attention and the FFN of each layer, and of all up to it.

    Args:
        rows: of direct attribution into heads.
    """
    part = {"attention": ("head", "bias"), "ffn": ("ffn",)}
    sums = [
        pl.col(SHARE).filter(pl.col("unit").is_in(units)).sum().alias(name)
        for name, units in part.items()
    ]
    found = rows.drop_nulls("layer").group_by("layer").agg(*sums).sort("layer")
    first = rows.filter(unit="embedding")[SHARE].sum()
    return found.select(
        pl.format("L{}", "layer").alias("name"),
        "layer",
        "attention",
        "ffn",
        (pl.col("attention") + pl.col("ffn")).cum_sum().add(first).alias("so_far"),
    )


class LayersView(RowsView):
    """Attention and FFN of each layer with bars, and the sum so far."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield FrameTable([], id="layer-rows", search=("name",))

    def draw(self, result: Result, new: bool) -> None:
        """Sum up the parts of each layer."""
        table, rows = self.cursor, by_layer(result.rows)
        if new:
            table.filter("")
            table.sort(None)
            table.to_top()
        largest = rows.select(pl.max_horizontal(pl.col("attention", "ffn").abs().max())).item()
        bar = partial(signed_bar, largest=largest or 1.0)
        columns = [
            TableColumn("name", "layer", 6, sort_by=("layer",), descending=True),
            TableColumn("attention", "attention", 10, "right", _signed),
            TableColumn("attention_bar", "", BAR, format=bar, min_terminal_width=ROOMY),
            TableColumn("ffn", "FFN", 10, "right", _signed),
            TableColumn("ffn_bar", "", BAR, format=bar, min_terminal_width=ROOMY),
            TableColumn("so_far", "so far", 9, "right", _signed),
        ]
        table.set_columns(columns, ("name", True))  # the last first: there most is written
        table.set_frame(rows.reverse().with_columns(attention_bar="attention", ffn_bar="ffn"))

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The layer under the cursor, or all of them."""
        return self._plain(self.cursor.copied(everything))

    def in_order(self, filtered: bool) -> pl.DataFrame | None:
        """The layers of the table."""
        return self._plain(self.cursor.in_order(filtered))

    @staticmethod
    def _plain(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.drop("attention_bar", "ffn_bar", strict=False)

    def reading(self) -> Text:
        """The layer under the cursor in words."""
        row = self.row()
        if row is None:
            return super().reading()
        text = Text(" ").append(one_line(str(row["name"])), style="bold")
        for name, words in (("attention", "attention"), ("ffn", "FFN"), ("so_far", "so far")):
            text.append(f"   {words} ", style="dim").append(_signed(row[name]))
        return text


class PartsView(RowsView):
    """All parts in order, each number with a bar."""

    BARS = True

    def compose(self) -> ComposeResult:
        """The table."""
        yield FrameTable([], id="part-rows", search=("name",))


class ShadedView(CurveView):
    """The prompt, each token shaded by its share around zero, above the numbers."""

    _at_strongest = ""
    """Id of the result whose largest share the cursor was put on."""

    def compose(self) -> ComposeResult:
        """The prompt, what its colours mean, the table."""
        text = PromptText()
        text.can_focus = False  # its cursor goes with that of the table
        yield text
        yield Legend()
        yield FrameTable([], id="shaded-rows", search=("name", "token"))

    def draw(self, result: Result, new: bool) -> None:
        """Show the rows, and shade the prompt by those of the head under the cursor."""
        super().draw(result, new)
        self.query_one(PromptText).set_tokens(strings(result.baseline.get("tokens")))
        if result.id != self._at_strongest and result.rows.height:
            size = pl.col(self.measure).abs()
            first = result.rows.sort(size, descending=True, nulls_last=True)["name"][0]
            self._at_strongest = result.id
            self.cursor.move_to(str(first))
        self._shade()

    def next_measure(self) -> None:
        """Shade by the next of the columns that hold numbers."""
        super().next_measure()
        self._shade()

    @on(FrameTable.RowHighlighted)
    def _shade(self) -> None:
        result, row = self.result, self.row()
        if result is None or row is None or self.measure not in result.rows.columns:
            return
        rows, text, legend = result.rows, self.query_one(PromptText), self.query_one(Legend)
        if row.get("head") is not None:
            rows = rows.filter(layer=row["layer"], head=row["head"])
        known = rows.select("position", self.measure).drop_nulls()
        values = {place: value for place, value in known.iter_rows() if value == value}
        most = max(map(abs, values.values()), default=0.0)
        text.set_values(values, (-most, most), centred=True)
        if (place := row.get("position")) is not None:
            text.cursor = place % max(1, len(strings(result.baseline.get("tokens"))))
        legend.set_meaning("takes", "adds", decimals=2)
        legend.set_scale(min(0.0, *values.values()), max(0.0, *values.values()))
        legend.set_note(self.measure.replace("_", " "))
        self.post_message(ShapeView.Moved(self))
