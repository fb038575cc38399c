"""Screen 2, Heads: the sweep as a picture that fills while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import printed
from analysis.errors import InputError
from analysis.interventions import Intervention, Mode
from analysis.prompts import PromptSet
from analysis.refs import HeadRef
from analysis.steps import AblateStep, ChainStep, CnaStep, HeadsStep
from screens.base import WorkbenchScreen
from screens.dialogs import Ask
from screens.head_readings import (
    METRICS,
    changes,
    heads_of,
    marked,
    most_harm,
    ranking,
    reading,
    together,
)
from screens.head_space import LEAST_RANKING, HeadSpace
from screens.messages import ResumeRequested, StepRequested
from screens.text import logprob, number
from screens.widgets.head_map import HeadMap
from screens.widgets.legend import Legend
from screens.widgets.table_view import strings
from screens.workspace import UNFINISHED, Result
from sessions import View

TOP = 5
TO_ABLATE = "<heads.ablate-marked> ablates them together"
TOGETHER = 3
"""Results of ablating sets that stay in sight."""


class HeadsScreen(WorkbenchScreen):
    """Heat map of what ablating each head changes, with the numbers under the cursor."""

    NAME = "heads"
    KINDS = ("heads",)
    BESIDE = ("ablate",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Sweep"),
        Binding("enter", "compare", "Its neurons", priority=True),
        Binding("m", "metric", "Metric"),
        Binding("o", "operation", "Operation"),
        Binding("b", "best", "Top head"),
        Binding("space", "mark", "Mark"),
        Binding("a", "ablate", "Ablate marked", show=False),
        Binding("x", "stage", "Stage a change", show=False),
        Binding("z", "mode", "Zero / mean ablation", show=False),
        Binding("f", "follow", "Its chain", show=False),
        Binding("slash", "find", "Find a head", show=False),
    ]
    LIVE = frozenset({"run", "compare", "ablate", "stage", "mode", "follow"})
    metric = "logprob"
    group = ""

    def compose_body(self) -> Iterator[Widget]:
        """Map and reading side by side, then the legend and the heads that matter most."""
        yield Horizontal(HeadMap(), Static(id="reading", markup=False), id="map")
        yield Static(id="together", markup=False)
        yield Legend()
        yield Static(id="most", markup=False)

    def on_mount(self) -> None:
        """The map takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self._values: dict[HeadRef, float] = {}
        self._exact: set[HeadRef] = set()
        self._ranked: list[tuple[HeadRef, float]] = []
        """The heads known exactly, most harm first."""
        self._marked: set[HeadRef] = set()
        self._space = HeadSpace(reading=0, below=0, padded=True)
        self.query_one(HeadMap).focus()

    def on_resize(self) -> None:
        """Share the space out anew, once it is known how much there is."""
        self.call_after_refresh(self._share_space)

    def update(self) -> None:
        """Show the sweep as far as it is."""
        result, map = self.result, self.query_one(HeadMap)
        model = result.model if result else None
        if model is not None and map.shape != (model.layers, model.heads):
            map.clear(model.layers, model.heads)
            self._drawn = ()
        if result is None:
            self.set_title("Heads")
            self.set_empty(
                "What each attention head is worth on your prompts: every head ablated in turn.\n\n"
                "Press <heads.sweep> to sweep them; the map fills while it runs.\n\n"
                + self._together().plain
            )
            return
        self.set_empty(None)
        self.set_title(result.step.title + self._group_note(), self._intact(result))
        self._draw(result)
        together = self._together()
        self.query_one("#together", Static).update(together)
        self.query_one("#together").display = bool(together)
        self._share_space()

    def view(self) -> View:
        """Head under the cursor, marked heads, and what the colours show."""
        return {
            "cursor": str(self.query_one(HeadMap).cursor),
            "marked": sorted(str(head) for head in self._marked),
            "metric": self.metric,
            "group": self.group,
        }

    def show_view(self, view: View) -> None:
        """Put these back, as far as the map has them."""
        map, result = self.query_one(HeadMap), self.result
        step = result.step if result else None
        groups = step.prompts.groups if isinstance(step, HeadsStep) else ()
        metric, group = view.get("metric"), view.get("group")
        self.metric = metric if metric in list(METRICS) else HeadsScreen.metric
        self.group = group if group in groups else HeadsScreen.group
        self._marked = set(heads_of(strings(view.get("marked")), map.shape))
        for head in heads_of(strings([view.get("cursor")]), map.shape):
            map.move_to(head)
        self.update()

    def _draw(self, result: Result) -> None:
        """Bring the map up to date, painting only what changed."""
        map = self.query_one(HeadMap)
        view = (result.number, self.metric, self.group)
        exact = changes(result, result.rows, self.metric, self.group)
        estimates = {}
        if result.estimates is not None and self.metric == "logprob" and not self.group:
            estimates = changes(result, result.estimates, self.metric)
        if view != self._drawn:
            self._drawn = view
            map.set_values(estimates | exact, exact=set(exact))
        else:
            fresh = {ref: value for ref, value in exact.items() if ref not in self._exact}
            if fresh:
                map.update_cells(fresh)
        self._values, self._exact = estimates | exact, set(exact)
        self._ranked = sorted(exact.items(), key=lambda pair: pair[1])
        map.set_marked(self._marked or (ref for ref, _ in self._ranked[:TOP]))
        legend = self.query_one(Legend)
        legend.set_scale(*map.scale)
        legend.set_note(*self._note(result))

    def _note(self, result: Result) -> list[str]:
        """What colours and bars show, and how well the estimates foretold it."""
        agreement = None if result.active else result.step.agreement(result.rows, result.estimates)
        words = [f"change of {METRICS[self.metric]}", "bars: strongest of each layer"]
        return words if agreement is None else [*words, f"rank agreement {number(agreement, 2)}"]

    def _intact(self, result: Result) -> str:
        base = result.baseline
        if not base:
            return ""
        return f"intact {base['accuracy']:.0%} {logprob(base['logprob'])}"

    def _group_note(self) -> str:
        return f" · only {self.group}" if self.group else ""

    def _together(self) -> Text:
        results = self.workspace.latest(*self.BESIDE, TOGETHER)
        return Text("\n").join(together(results)[:TOGETHER])

    def _share_space(self) -> None:
        """Give the map what it needs, and show beside and below it what there is room for."""
        map, (width, height) = self.query_one(HeadMap), self.query_one("#body").size
        if not all(map.shape) or not height or self.result is None:
            return
        height -= self._together().plain.count("\n") + 1 if self._together() else 0
        self._space = HeadSpace.share(width, height, map.shape, not map.glyphs)
        self.query_one("#reading").styles.width = self._space.reading
        self.query_one("#map").set_class(self._space.padded, "-padded")
        self._show_reading(map.cursor)
        self._show_most(self._space.below)

    def _show_most(self, lines: int) -> None:
        """What is marked, or the heads that matter most: a ranking where there is room for one."""
        ranked = self._ranked
        if self._marked:
            text = marked(self._marked, self.workspace.keys.fill(TO_ABLATE))
        elif lines < LEAST_RANKING or len(ranked) < 2 * TOP:
            text = most_harm(ranked[:TOP])
        else:
            text = ranking(ranked, min(lines, len(ranked) // 2 + 1))
        self.query_one("#most", Static).update(text)
        self.query_one("#most").display = bool(lines or self._marked)

    def _show_reading(self, head: HeadRef) -> None:
        """The cursor's numbers in words."""
        result = self.result
        text = Text()
        if result is not None:
            text = reading(head, result, self._values, self._ranked, self._space.reading - 1)
        self.query_one("#reading", Static).update(text)

    @on(HeadMap.CellHighlighted)
    def _read_cell(self, event: HeadMap.CellHighlighted) -> None:
        self._show_reading(event.head)

    @on(HeadMap.ScaleChanged)
    def _follow_scale(self, event: HeadMap.ScaleChanged) -> None:
        self.query_one(Legend).set_scale(event.low, event.high)

    @on(HeadMap.CellSelected)
    def action_compare(self) -> None:
        """Find the neurons the head under the cursor drives, on the case at hand."""
        head = self.query_one(HeadMap).cursor
        step = CnaStep(prompt=self.workspace.prompt, ablate=Intervention(heads=(head,)))
        self.request(StepRequested(step))

    def action_follow(self) -> None:
        """Find the chain that leads through the head under the cursor, on the case at hand."""
        head = self.query_one(HeadMap).cursor
        if head.layer == 0:
            self.notify("Nothing feeds a head of the first layer, so it has no chain.")
            return
        self.request(StepRequested(ChainStep(prompt=self.workspace.prompt, head=head)))

    def action_run(self) -> None:
        """Sweep the heads, or go on where the last sweep stopped."""
        result = self.result
        if result is not None and result.state in UNFINISHED:
            self.post_message(ResumeRequested(result.id))
        elif result is None or not result.active:
            self.request(StepRequested(HeadsStep(prompts=self.workspace.prompts)))

    def action_mode(self) -> None:
        """The same sweep with the other thing in a head's place: zero, or its mean."""
        other: Mode = "zero" if self._mode == "mean" else "mean"
        self.request(StepRequested(HeadsStep(prompts=self._prompts, mode=other)))

    def action_metric(self) -> None:
        """Colour by log-probability, accuracy or probability in turn."""
        names = list(METRICS)
        self.metric = names[(names.index(self.metric) + 1) % len(names)]
        self.update()

    def action_operation(self) -> None:
        """Look at one group of prompts after the other, then at all of them."""
        result = self.result
        if result is None or not isinstance(result.step, HeadsStep):
            return
        groups = ["", *result.step.prompts.groups]
        if len(groups) <= 2:
            self.notify("These prompts are all of one operation.")
            return
        place = groups.index(self.group) if self.group in groups else 0
        self.group = groups[(place + 1) % len(groups)]
        self.update()

    def action_mark(self) -> None:
        """Mark the head under the cursor, or take its mark away."""
        self._marked ^= {self.query_one(HeadMap).cursor}
        self.update()

    def action_ablate(self) -> None:
        """Measure the prompts without all of the marked heads."""
        if not self._marked:
            self.notify(f"Mark heads with <heads.mark> first; {TO_ABLATE}.")
            return
        change = Intervention(heads=tuple(sorted(self._marked)))
        self.request(
            StepRequested(AblateStep(prompts=self._prompts, sets=(change,), mode=self._mode))
        )

    def action_stage(self) -> None:
        """Stage the marked heads, or the one under the cursor, to be taken away."""
        heads = self._marked or {self.query_one(HeadMap).cursor}
        self.stage(Intervention(heads=tuple(sorted(heads if self.result is not None else ()))))

    @property
    def _mode(self) -> Mode:
        """That of the sweep in sight."""
        step = self.result.step if self.result else None
        return step.mode if isinstance(step, HeadsStep) else "zero"

    @property
    def _prompts(self) -> PromptSet:
        """Those of the sweep in sight."""
        step = self.result.step if self.result else None
        return step.prompts if isinstance(step, HeadsStep) else self.workspace.prompts

    def action_find(self) -> None:
        """Go to a head by its name."""

        def named(text: str | None) -> None:
            if not text:
                return
            map = self.query_one(HeadMap)
            try:
                head = HeadRef.parse(text)
                if head.layer >= map.shape[0] or head.index >= map.shape[1]:
                    raise InputError(f"{head} is not a head of this model")
            except InputError as error:
                self.notify(str(error), severity="error", markup=False)
                return
            map.move_to(head)

        self.app.push_screen(Ask("Head", "", "as L20H8"), named)

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The exact numbers of the head under the cursor, or of all heads, most harm first."""
        result = self.result
        if result is None:
            return None
        rows = result.step.ranked(result.rows).select(printed(result.step.columns))
        head = str(self.query_one(HeadMap).cursor)
        return rows if everything else rows.filter(name=head)

    def action_best(self) -> None:
        """Jump from one of the most harmful heads to the next."""
        most = [ref for ref, _ in self._ranked[:TOP]]
        if most:
            map = self.query_one(HeadMap)
            place = most.index(map.cursor) + 1 if map.cursor in most else 0
            map.move_to(most[place % len(most)])
