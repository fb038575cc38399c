"""Screen 3, Neurons: the ranking of a run, of a comparison, or of hidden-interpretable ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.refs import NeuronRef
from analysis.steps import AblateStep, CnaCasesStep, CnaStep, HiddenStep, NeuronsStep, ProjectStep
from screens.attention import look_at
from screens.base import WorkbenchScreen
from screens.beside import SecondRun, titles, turn_second
from screens.cases import titled
from screens.corpus import fires_on
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.text import count, number, probability, tokens_of, visible
from screens.widgets.bars import layer_histogram
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import Row, TableColumn
from screens.workspace import Result, Workspace
from sessions import View

_nats = partial(number, decimals=3)
_change = partial(number, decimals=3, sign=True)
_coefficient = partial(number, decimals=2)


def _end(value: float | None) -> str:
    """An end of an interval, which one case alone has not."""
    return MISSING if value is None else _change(value)


NO_ONE_HEAD = (
    "These are not the neurons of one head; <heads.what-it-looks-at> on screen <app.heads> shows "
    "what a head looks at."
)
MISSING = "–"
"""Stands for what a ranking does not know of a neuron."""
NAME = TableColumn("name", "neuron", 10, sort_by=("layer", "neuron"), descending=False)
SAYS = TableColumn("tokens", "says", 14, format=tokens_of, grow=True)
_IMPORTANCE = TableColumn("importance", "importance", 11, "right", _nats)
_COEFFICIENT = TableColumn("coefficient", "coefficient", 12, "right", _coefficient)
_CHANGE = TableColumn("importance_change", "change", 8, "right", _change)
_CONCEPTS = TableColumn("concepts", "concepts", 9, "right")
COLUMNS = {
    "neurons": [NAME, _IMPORTANCE, _COEFFICIENT, SAYS],
    "cna": [
        NAME,
        _CHANGE,
        _IMPORTANCE,
        TableColumn("importance_contrast", "contrast", 8, "right", _nats, min_terminal_width=100),
        replace(_COEFFICIENT, min_terminal_width=70),
        TableColumn(
            "coefficient_contrast", "contrast", 8, "right", _coefficient, min_terminal_width=110
        ),
        SAYS,
    ],
    "cna_cases": [
        NAME,
        _CHANGE,
        TableColumn("low", "from", 8, "right", _end),
        TableColumn("high", "to", 8, "right", _end),
        TableColumn("cases_up", "cases up", 8, "right", min_terminal_width=70),
        replace(_IMPORTANCE, min_terminal_width=90),
        replace(_COEFFICIENT, min_terminal_width=110),
        SAYS,
    ],
    "hidden": [
        NAME,
        _CONCEPTS,
        TableColumn("through", "through", 7, "right"),
        TableColumn("direct", "direct", 6, "right"),
        TableColumn("found", "concepts found", 24, format=tokens_of, min_terminal_width=110),
        SAYS,
    ],
}
VALUES: dict[str, tuple[TableColumn, list[TableColumn]]] = {
    "neurons": (_IMPORTANCE, [_COEFFICIENT]),
    "cna": (_CHANGE, []),
    "cna_cases": (_CHANGE, []),
    "hidden": (_CONCEPTS, []),
}
"""For each kind what it ranks by, and what else of two rankings is compared where there is room."""

TOPS = (10, 100)
"""By how many of the top neurons two rankings are compared."""


def columns_of_two(kind: str) -> list[TableColumn]:
    """The columns of two rankings of a kind: the values they are ranked by, and the ranks."""
    value, wide = VALUES[kind]
    return [
        NAME,
        _column(value, "a", "A", "estimated_a"),
        _column(value, "b", "B", "estimated_b"),
        TableColumn("difference", "B − A", 8, "right", _signed, estimated="estimated_either"),
        TableColumn("rank_a", "rank A", 6, "right", _rank, descending=False),
        TableColumn("rank_b", "rank B", 6, "right", _rank, descending=False),
        *(
            _column(each, f"{each.name}_{side}", side.upper(), f"estimated_{side}", 120)
            for each in wide
            for side in "ab"
        ),
        SAYS,
    ]


def _column(
    of: TableColumn, name: str, letter: str, estimated: str, min_terminal_width: int = 0
) -> TableColumn:
    """A column of one ranking for one of two."""

    def words(value: Any) -> str:
        return MISSING if value is None else of.format(value)

    label = f"{of.label} {letter}"
    width = max(of.width, len(label) + 1)  # the arrow of the order goes beside the label
    return TableColumn(
        name,
        label,
        width,
        "right",
        words,
        min_terminal_width=min_terminal_width,
        estimated=estimated,
    )


def _signed(value: float | None) -> str:
    return MISSING if value is None else number(value, 3, sign=True)


def _rank(value: int | None) -> str:
    return MISSING if value is None else number(value, 0)


def rows_of_two(first: Result, second: Result) -> pl.DataFrame:
    """The neurons of two rankings of one kind, those of the first in its order, then the others.

    Returns:
        `name`, `layer`, `neuron`; `a` and `b`, what the kind ranks by; `difference`, `b` minus
        `a`; the exact ranks `rank_a` and `rank_b`; which values are estimates; further columns
        of each with its letter; `tokens`. What one of the two does not know is null.
    """
    a, b = _side(first, "a", first.table()), _side(second, "b", _unordered(second))
    others = b.join(a.select(_PLACE), on=_PLACE, how="anti", maintain_order="left")
    both = pl.concat(
        [
            a.join(b.drop("name"), on=_PLACE, how="left", maintain_order="left"),
            others.sort("rank_b", "b", descending=[False, second.step.descending], nulls_last=True),
        ],
        how="diagonal_relaxed",
    )
    shared = ("layer", "neuron", "tokens", *(["through"] if "through_a" in a.columns else []))
    return both.with_columns(
        *(pl.coalesce(f"{name}_a", f"{name}_b").alias(name) for name in shared),
        difference=pl.col("b") - pl.col("a"),
        estimated_either=pl.any_horizontal("estimated_a", "estimated_b"),
        # A whole row looks estimated where nothing exact is known of it.
        estimated=pl.all_horizontal(
            pl.col("estimated_a").fill_null(True), pl.col("estimated_b").fill_null(True)
        ),
    ).drop(_PLACE, *(f"{name}_{side}" for name in shared for side in "ab"))


_PLACE = "place"
"""Layer and index in one number: joining hundreds of thousands of names takes ten times longer."""


def _unordered(result: Result) -> pl.DataFrame:
    """The rows of `Result.table`, without the time it takes to put the estimates in order."""
    exact = result.step.ranked(result.rows).with_columns(estimated=pl.lit(False))
    if result.estimates is None:
        return exact
    others = result.estimates.join(exact.select("name"), on="name", how="anti")
    return pl.concat([exact, others.with_columns(estimated=pl.lit(True))], how="diagonal_relaxed")


def _side(result: Result, side: str, rows: pl.DataFrame) -> pl.DataFrame:
    """One ranking, exact rows first, with its columns named by a letter."""
    _, wide = VALUES[result.step.kind]
    names = ["layer", "neuron", "tokens", *(each.name for each in wide)]
    if "through" in rows.columns:
        names.append("through")
    rank = pl.when(~pl.col("estimated")).then(pl.int_range(1, pl.len() + 1))
    return rows.select(
        "name",
        pl.col(result.step.ordered_by).alias(side),
        rank.alias(f"rank_{side}"),
        pl.col("estimated").alias(f"estimated_{side}"),
        *(pl.col(name).alias(f"{name}_{side}") for name in names),
        (pl.col("layer").cast(pl.Int64) * 2**32 + pl.col("neuron")).alias(_PLACE),
    )


def alike(rows: pl.DataFrame) -> Text:
    """How many of the top neurons two rankings share, and whether they order them alike."""
    text = Text().append(" in both  ", style="dim")
    ranks = rows.select("rank_a", "rank_b")
    known = min(ranks["rank_a"].count(), ranks["rank_b"].count())
    shared = [
        f"{ranks.filter(pl.all_horizontal(pl.all() <= top)).height} of the top {top}"
        for top in sorted({min(top, known) for top in TOPS} - {0})
    ]
    if not shared:
        return text.append("nothing exact yet", style="dim")
    text.append(" · ".join(shared), style="bold")
    exact = rows.filter(~pl.col("estimated_either"))
    if exact.height > 2:
        agreement = exact.select(pl.corr("a", "b", method="spearman")).item()
        words = f"   rank agreement {number(agreement, 2)} over {number(exact.height, 0)}"
        text.append(words, style="dim")
    return text


ANOTHER = {
    "cna": "<heads.its-neurons> on another head of screen <app.heads> makes one; then press "
    "<neurons.second-run> here.",
    "cna_cases": "<heads.its-neurons> on another head of screen <app.heads>, then "
    "<result.another-case> and all, makes one; then press <neurons.second-run> here.",
    "neurons": "Choose another case on screen <app.prompts> and press <neurons.importance>; then "
    "press <neurons.second-run> here.",
    "hidden": "workbench hidden --concepts FILE --session NAME makes one of other words.",
}
"""By kind of ranking, how one comes to a second."""


class NeuronsScreen(WorkbenchScreen):
    """A virtual table of neurons; exact rows first, estimated ones dim behind them."""

    NAME = "neurons"
    KINDS = ("cna", "cna_cases", "neurons", "hidden")
    TABLE = "#neurons"
    LIVE = frozenset(
        {
            "ablate",
            "ablate_all",
            "stage",
            "importance",
            "hidden",
            "everything",
            "run",
        }
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "tokens", "Read", priority=True, id="neurons.read"),
        unlisted("s", "sort", "Sort", id="neurons.sort"),
        Binding("slash", "filter", "Filter", id="neurons.filter"),
        Binding("space", "mark", "Mark", priority=True, id="neurons.mark"),
        Binding("f", "fires", "Fires on", id="neurons.fires-on"),
        Binding("a", "ablate", "Ablate", id="neurons.ablate"),
        unlisted("x", "stage", "Stage a change", id="neurons.stage-a-change"),
        unlisted(
            "A",
            "ablate_all",
            "Ablate marked on all prompts",
            id="neurons.ablate-marked-on-all-prompts",
        ),
        unlisted("v", "look", "What its head looks at", id="neurons.what-it-looks-at"),
        Binding("w", "second", "Beside", id="neurons.second-run"),
        Binding("i", "importance", "Importance", id="neurons.importance"),
        unlisted("H", "hidden", "Hidden", id="neurons.hidden"),
        unlisted("e", "everything", "All exact", id="neurons.all-exact"),
        unlisted("r", "run", "Resume", id="neurons.resume"),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._second = SecondRun(workspace)
        self._drawn: tuple[object, ...] = ()
        self._alike = Text()

    def compose_body(self) -> Iterator[Widget]:
        """Table, and where the important ones are."""
        yield FrameTable(
            COLUMNS["cna"],
            id="neurons",
            key="name",
            estimated="estimated",
            search=("name", "tokens"),
        )
        yield Static(id="histogram", markup=False)

    def on_mount(self) -> None:
        """The table takes the keys."""
        self.query_one("#neurons").focus()

    @property
    def result(self) -> Result | None:
        """The ranking chosen last, of any kind."""
        return self.workspace.current(*self.KINDS)

    def update(self) -> None:
        """Show the ranking as far as it is."""
        result = self.result
        if result is None:
            self.set_title("Neurons")
            self.set_empty(
                "Which FFN neurons matter for the answer.\n\n"
                "Press <neurons.importance> to rank those of this prompt's own run, or choose a "
                "head on screen <app.heads> and press <heads.its-neurons> to see the neurons it "
                "drives.\n"
                "Press <neurons.hidden> to search the shallow layers for neurons that speak of "
                "numbers and operations once an attention layer has passed them on."
            )
            return
        self.set_empty(None)
        second = self.second
        if second is None:
            self.set_title(titled(result.step, self.workspace), self._answer(result))
        else:
            facts = (self._answer(result), self._answer(second))
            self.set_titles(*titles(result, second, facts, self.size.width))
        self._draw(result, second)
        self._show_histogram(result)

    @property
    def second(self) -> Result | None:
        """The ranking beside the one in sight."""
        return self._second.beside(self.result)

    def origin(self) -> list[str]:
        """Where the ranking comes from; two have their titles there instead."""
        return super().origin() if self.second is None else []

    def view(self) -> View:
        """How the table is looked at, and the ranking beside it."""
        return {**super().view(), "second": self._second.kept}

    def show_view(self, view: View) -> None:
        """Put these back."""
        self._second.put_back(self.result, view.get("second"))
        self.update()  # the order may be by a column that only two rankings have
        super().show_view(view)

    def _draw(self, result: Result, second: Result | None) -> None:
        """Bring the table up to date with one ranking, or with two."""
        table, kind = self.table, result.step.kind
        numbers = (result.id, None if second is None else second.id)
        view = (*numbers, result.rows.height, result.estimates is None)
        if view == self._drawn:
            return
        before, self._drawn = self._drawn[:2], view
        # The neuron under the cursor stays there when a second ranking comes or goes.
        cursor = table.current_key if before != numbers and before[:1] == numbers[:1] else None
        if before != numbers:
            step, alone = result.step, second is None
            columns = COLUMNS[kind] if alone else columns_of_two(kind)
            table.set_columns(columns, (step.ordered_by if alone else "a", step.descending))
            # An order by what is no longer there, or anything left from other rows, would mislead.
            if before[:1] != numbers[:1]:
                table.filter("")
            if before[:1] != numbers[:1] or not table.has_column(table.sorted_by or ""):
                table.sort(None)
        if second is None:
            rows, self._alike = result.table(), Text()
        else:
            rows = rows_of_two(result, second)
            self._alike = alike(rows)
        table.set_frame(rows)
        if cursor is not None:
            table.move_to(cursor)
        elif before[:1] != numbers[:1]:
            table.to_top()

    def _answer(self, result: Result) -> str:
        base = result.baseline
        if isinstance(result.step, HiddenStep):
            held = int((result.rows["concepts"] >= 2).sum())
            return f"{count(held)} hold 2 or more"
        if not base:
            return ""
        if isinstance(result.step, CnaCasesStep):
            sure = f"first {count(base['certified_rows'])} certified"
            return f"{number(base['logprob'], 3)} → {number(base['logprob_contrast'], 3)}   {sure}"
        before = f"{visible(base['answer'])} {probability(base['prob'])}"
        after = base.get("prob_contrast")
        certified = "   certified" if base.get("certified") else ""
        return (f"{before} → {probability(after)}" if after is not None else before) + certified

    def _show_histogram(self, result: Result) -> None:
        """How much of the ranking stands in each layer."""
        model, ranked = result.model, result.step.ordered_by
        if model is None or not result.rows.height:
            waiting = "waiting" if result.active else result.state
            self.query_one("#histogram", Static).update(Text(f" {waiting}", style="dim"))
            return
        gains = result.rows.group_by("layer").agg(pl.col(ranked).clip(lower_bound=0).sum())
        sums = dict(gains.iter_rows())
        values = [float(sums.get(layer, 0.0)) for layer in range(model.layers)]
        total = model.layers * model.neurons
        if isinstance(result.step, HiddenStep):
            total = result.expected
        table = self.table
        line = self._alike.copy().append("\n" if self._alike else "")
        line += Text(" ") + layer_histogram(values, width=self.size.width - 30)
        line.append(f"   {count(result.rows.height)} exact of {count(total)}", style="dim")
        agreement = None if result.active else result.step.agreement(result.rows, result.estimates)
        if agreement is not None and self.size.width >= 100:
            line.append(f"   rank agreement of the estimates {number(agreement, 2)}", style="dim")
        if table.marked:
            line.append(f"   {len(table.marked)} marked", style="bold")
        self.query_one("#histogram", Static).update(line)

    @on(FrameTable.RowSelected, "#neurons")
    def _open(self, event: FrameTable.RowSelected) -> None:
        self._read(event.row)

    @property
    def results_in_sight(self) -> tuple[Result, ...]:
        """The ranking, and the one beside it."""
        return tuple(filter(None, (self.result, self.second)))

    def action_tokens(self) -> None:
        """Show what the neuron under the cursor promotes and suppresses."""
        row = self.table.current
        if row is not None:
            self._read(row)

    def _read(self, row: Row) -> None:
        """Read a neuron in the run of its ranking, or behind the layer it speaks through."""
        result = self.result
        prompt = getattr(result.step, "prompt", None) if result else None
        try:
            step = ProjectStep.of(source=row["name"], prompt=prompt, through=row.get("through"))
        except InputError as error:  # rows may be anybody's
            self.notify(str(error), severity="error")
            return
        told = step.telling_more(self.workspace.model)
        self.request(StepRequested(told, alike=("source",)))

    def action_fires(self) -> None:
        """Show what the neuron under the cursor fires on; the rows below it are read along."""
        if self.table.shown:
            fires_on(self, self.table.in_order(True)["name"][self.table.cursor :])

    def action_mark(self) -> None:
        """Mark the neuron under the cursor."""
        self.table.action_mark()

    @on(FrameTable.MarksChanged, "#neurons")
    def _count_marks(self) -> None:
        if self.result is not None:
            self._show_histogram(self.result)

    def _marked(self) -> Intervention | None:
        """The marked neurons taken away; None if there are none, which is said."""
        marked = self.table.marked
        if not marked:
            self.notify(
                "Mark neurons with <neurons.mark> first; "
                "<neurons.ablate> compares with and without them."
            )
            return None
        return Intervention(neurons=tuple(sorted(NeuronRef.parse(name) for name in marked)))

    def action_stage(self) -> None:
        """Stage the marked neurons, or the one under the cursor, to be taken away."""
        names = self.table.marked or {self.table.current_key}
        refs = tuple(sorted(NeuronRef.parse(name) for name in names if name is not None))
        self.stage(Intervention(neurons=refs))

    def action_ablate(self) -> None:
        """Compare the intact run with one without the marked neurons."""
        if (ablate := self._marked()) is not None:
            self.request(StepRequested(CnaStep(prompt=self.workspace.prompt, ablate=ablate)))

    def action_ablate_all(self) -> None:
        """Measure all prompts without the marked neurons; the answer stands beside the heads."""
        if (ablate := self._marked()) is not None:
            step = AblateStep(prompts=self.workspace.prompts, sets=(ablate,))
            self.request(StepRequested(step))

    def action_look(self) -> None:
        """Show what the head looks at whose neurons these are."""
        step = self.result.step if self.result else None
        contrast = step.contrast if isinstance(step, CnaStep | CnaCasesStep) else ()
        heads = [head for each in contrast for head in each.heads]
        if len(heads) != 1:
            self.notify(NO_ONE_HEAD)
        else:
            look_at(self, heads[0], getattr(step, "prompt", self.workspace.prompt))

    def action_second(self) -> None:
        """Put another ranking beside this one, or take it away."""
        kind = self.result.step.kind if self.result else ""
        turn_second(self, self._second, ANOTHER.get(kind, ""))

    def action_importance(self) -> None:
        """Rank the neurons of the case's own run."""
        self.request(StepRequested(NeuronsStep(prompt=self.workspace.prompt)))

    def action_hidden(self) -> None:
        """Search the shallow layers for neurons that speak behind an attention layer."""
        self.request(StepRequested(HiddenStep()))

    def action_everything(self) -> None:
        """Score every neuron of this ranking exactly."""
        result = self.result
        if isinstance(result.step if result else None, CnaStep | NeuronsStep):
            assert result is not None
            self.request(StepRequested(result.step.model_copy(update={"top": None})))
