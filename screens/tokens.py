"""Screen 4, Tokens: what a vector says, at both ends of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import polars as pl
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import printed
from analysis.errors import InputError
from analysis.steps import GainsStep, LensStep, ProjectStep
from analysis.tasks.prompts import unescaped
from screens.base import WorkbenchScreen
from screens.cases import titled
from screens.corpus import fires_on, part_named
from screens.dialogs import Ask
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.text import number, one_line, probability, visible
from screens.views import TokenEnds
from screens.widgets.bars import signed_bar
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from screens.workspace import Result

_nats = partial(number, decimals=3)
_signed = partial(number, decimals=3, sign=True)
LAYER = TableColumn("name", "layer", 6, sort_by=("layer",), descending=False)


def gains_view(rows: pl.DataFrame) -> tuple[list[TableColumn], pl.DataFrame]:
    """Columns and rows of the layer gains, gains drawn as bars beside their numbers."""
    largest = max(
        (abs(value) for name in ("attention", "ffn") for value in rows[name].to_list()),
        default=1.0,
    )
    bar = partial(signed_bar, largest=largest or 1.0)
    columns = [
        LAYER,
        TableColumn("attention", "attention", 9, "right", _signed),
        TableColumn("attention_bar", "", 14, format=bar, min_terminal_width=76),
        TableColumn("ffn", "FFN", 9, "right", _signed),
        TableColumn("ffn_bar", "", 14, format=bar, min_terminal_width=76),
        TableColumn("logprob", "log-prob", 9, "right", _nats),
    ]
    return columns, rows.with_columns(attention_bar=pl.col("attention"), ffn_bar=pl.col("ffn"))


def lens_view(rows: pl.DataFrame) -> tuple[list[TableColumn], pl.DataFrame]:
    """One row a layer, the last first; one column a position, the last first so that it stays."""
    positions = rows["position"].unique(maintain_order=True).sort(descending=True).to_list()
    grid = rows.select("layer").unique().with_columns(name=pl.format("L{}", "layer"))
    columns = [LAYER]
    for place in positions:
        here = rows.filter(pl.col("position") == place)
        column = f"at_{place}"
        grid = grid.join(
            here.select(
                "layer",
                pl.struct("token", "prob").alias(column),
                *([pl.col("answer_prob")] if place == positions[0] else []),
            ),
            on="layer",
            how="left",
        )
        label = f"{visible(here['reads'][0], quote=False)}"
        columns.append(TableColumn(column, label, 9, format=_cell, style=_strength))
        if place == positions[0]:
            answer = TableColumn("answer_prob", "answer", 7, "right", probability)
            columns.append(answer)
    return columns, grid.sort("layer", descending=True)


def _cell(value: Any) -> str:
    return "" if value is None else visible(str(value["token"]), quote=False)


def _strength(value: Any) -> Style | None:
    """Sure predictions stand out, faint ones step back."""
    if value is None:
        return None
    if value["prob"] >= 0.5:
        return Style(bold=True)
    return Style(dim=True) if value["prob"] < 0.1 else None


class TokensScreen(WorkbenchScreen):
    """Promoted tokens on the left, suppressed ones on the right; or a run layer by layer."""

    NAME = "tokens"
    KINDS = ("project", "lens", "gains")
    TABLE = "#layers"
    LIVE = frozenset({"through", "value", "reading", "name", "lens", "gains"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "through", "Through", id="tokens.through"),
        Binding("v", "value", "Value/run", id="tokens.value-run"),
        Binding("m", "reading", "Specific", id="tokens.reading"),
        Binding("f", "fires", "Fires on", id="tokens.fires-on"),
        Binding("n", "name", "Read another", id="tokens.read-another"),
        Binding("o", "lens", "Lens", id="tokens.lens"),
        Binding("w", "gains", "Gains", id="tokens.gains"),
        unlisted("tab", "app.focus_next", "Other end", id="tokens.other-end"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Both ends side by side, then how they were read."""
        yield TokenEnds(id="ends")
        yield FrameTable([LAYER], id="layers", search=("name",))
        yield Static(id="how", markup=False)

    def on_mount(self) -> None:
        """The promoted end takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self._show_layers(False)

    def _show_layers(self, layers: bool) -> None:
        """Give the space and the keys to the layers, or to the two ends."""
        ends, table = self.query_one("#ends"), self.query_one("#layers")
        if table.display == layers and ends.display != layers and self._drawn:
            return
        table.display, ends.display = layers, not layers
        (table if layers else self.query_one("#top")).focus()

    @property
    def _step(self) -> ProjectStep | None:
        step = self.result.step if self.result else None
        return step if isinstance(step, ProjectStep) else None

    def update(self) -> None:
        """Show the projection."""
        result, step = self.result, self._step
        self.set_empty(None)
        how = self.query_one("#how", Static)
        if result is not None and isinstance(result.step, LensStep | GainsStep):
            self._update_layers(result, how)
            return
        self._show_layers(False)
        if result is None or step is None:
            self.set_title("Tokens")
            self.set_empty(
                "What a neuron, head, word or residual says in the vocabulary.\n\n"
                "Press <tokens.read-another> and name one, or choose a neuron on screen "
                "<app.neurons> and press <neurons.read>.\n"
                "Press <tokens.lens> for the logit lens, <tokens.gains> for what each layer "
                "adds to the answer."
            )
            return
        if not result.active and not result.rows.height:
            self.set_title(step.source)
            self.set_empty(
                "It was stopped before anything was read.\n\n"
                "Press <tokens.read-another> to name it again."
            )
            return
        where = "in the run" if step.prompt else "its value"
        what = " · specific" if step.reading == "specific" else ""
        self.set_title(f"{step.source} · {where}{what}", step.carrier)
        view = (result.id, result.rows.height)
        if view != self._drawn:
            self._drawn = view
            self.query_one(TokenEnds).show_rows(step.ranked(result.rows), step.ends)
        text = Text(" ", style="dim")
        if step.looks_for is not None:
            text.append("query times the key of every token, from the weights; position left out")
        elif step.prompt is not None:
            text.append(f"final norm frozen from the run on “{one_line(step.prompt.prompt)}”")
        else:
            text.append("no run: the vector's own norm; both ends matter, its sign is not known")
        if step.reading == "specific":
            text = Text(" z: standard deviations beyond the layer's neurons; ", style="dim") + text
        text.no_wrap, text.overflow = True, "ellipsis"
        how.update(text)

    def _update_layers(self, result: Result, how: Static) -> None:
        self._show_layers(True)
        base = result.baseline
        answer = f"{visible(base['answer'])} {probability(base['prob'])}" if base else ""
        self.set_title(titled(result.step, self.workspace), answer)
        view = (result.id, result.rows.height)
        if view != self._drawn and result.rows.height:
            self._drawn = view
            draw = lens_view if isinstance(result.step, LensStep) else gains_view
            columns, rows = draw(result.step.ranked(result.rows))
            table = self.query_one("#layers", FrameTable)
            table.set_columns(columns, ("name", isinstance(result.step, LensStep)))
            table.set_frame(rows)
        if isinstance(result.step, LensStep):
            words = "columns are positions, the last one first; bold is surer than one half"
        else:
            sums = (number(base.get(name), 2, sign=True) for name in ("attention", "ffn"))
            words = "log-probability of the answer, nats; in all attention {}, FFN {}".format(*sums)
        how.update(Text(f" {words}", style="dim"))

    def _tables(self) -> list[FrameTable]:
        """Both ends, and the layers."""
        return list(self.query(FrameTable))

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row under the cursor, or both ends whole."""
        table = self.app.focused
        if everything and self._step is not None and self.result is not None:
            return self._step.ranked(self.result.rows)
        return table.copied(everything) if isinstance(table, FrameTable) else None

    def rows_in_sight(self, filtered: bool) -> pl.DataFrame | None:
        """Both ends, or what each layer says or adds, as it was read."""
        if (result := self.result) is None:
            return None
        return result.step.ranked(result.rows).select(printed(result.step.columns))

    def action_lens(self) -> None:
        """What every layer would say at every position of the case."""
        self.request(StepRequested(LensStep(prompt=self.workspace.prompt)))

    def action_gains(self) -> None:
        """What each layer's attention and FFN add to the answer of the case."""
        self.request(StepRequested(GainsStep(prompt=self.workspace.prompt)))

    def action_through(self) -> None:
        """Pass the vector through an attention layer's value-output map first."""
        step = self._step
        if step is None or not self.ready():
            return

        def read(text: str) -> ProjectStep:
            layer = int(text) if text.strip().isdecimal() else None
            if layer is None and text.strip():
                raise InputError("a layer is a number; empty takes the map away")
            if layer is not None and (model := self.workspace.model) is not None:
                model.check_layer(layer)
            return step.model_copy(update={"through": layer, "by": None})

        def chosen(text: str | None) -> None:
            if text is not None:
                self.request(StepRequested(read(text)))

        current = "" if step.through is None else str(step.through)
        self.app.push_screen(Ask("Attention layer", current, "empty: none", check=read), chosen)

    def action_value(self) -> None:
        """Switch between the bare value and the contribution in the run of the case."""
        step = self._step
        if step is not None:
            prompt = None if step.prompt is not None else self.workspace.prompt
            self.request(StepRequested(step.model_copy(update={"prompt": prompt})))

    def action_fires(self) -> None:
        """Show what the neuron or the head fires on whose tokens are in sight."""
        step = self._step
        fires_on(self, part_named(step and step.source))

    def action_reading(self) -> None:
        """Switch between the paper's reading and the one beside the layer's other neurons."""
        step = self._step
        if step is not None and (step.looks_for is not None or step.source.startswith("word:")):
            self.notify("Only what a layer writes is read beside the layer's neurons.")
        elif step is not None:
            other = "logit" if step.reading == "specific" else "specific"
            self.request(StepRequested(step.model_copy(update={"reading": other})))

    def action_name(self) -> None:
        """Read something else by name."""
        if not self.ready():
            return

        def read(text: str) -> ProjectStep | None:
            if not (source := unescaped(text.strip())):
                return None
            if (model := self.workspace.model) is not None:
                model.check_source(source)
            step = ProjectStep(source=source, prompt=prompt)
            return step.telling_more(self.workspace.model)

        def chosen(text: str | None) -> None:
            if text is not None and (step := read(text)):
                self.request(StepRequested(step))

        prompt, typed = self.workspace.prompt, self.workspace.typed["read"]
        hint = "L24N1493 a neuron, L20H8 a head, attention:13, word:three, residual:12"
        ask = Ask("What to read", "", hint, check=read, escapes=True, typed=typed)
        self.app.push_screen(ask, chosen)
