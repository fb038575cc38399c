"""Screen 2, Heads: the sweep as a picture that fills while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import printed
from analysis.interventions import Intervention, Mode
from analysis.refs import HeadRef
from analysis.steps import AblateStep, ChainStep, CnaStep, DetectStep, HeadsStep
from screens.attention import look_at
from screens.base import WorkbenchScreen
from screens.beside import NEED_TWO, SecondRun, titles, told_apart, turn_second
from screens.chrome import FLAT
from screens.dialogs import Ask
from screens.head_patterns import (
    LETTERS,
    Follows,
    followed,
    patterns_known,
    signs,
    strongest,
    with_patterns,
)
from screens.head_readings import (
    METRICS,
    apart,
    head_named,
    heads_of,
    intact,
    marked,
    metrics,
    most_harm,
    notes,
    picture,
    range_of,
    ranking,
    ranking_of_two,
    reading,
    reading_of_two,
    rows_of_two,
    shared_groups,
    together,
)
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.text import strings
from screens.widgets.cell_grid import HEADER, CellLayout
from screens.widgets.cell_map import HeadMap
from screens.widgets.head_pair import FACES, Face, HeadPair, HeadPicture
from screens.widgets.lines import Legend
from screens.workspace import Result, Workspace
from sessions import View

LEGEND = 1
BARS = 3
"""Lines below the heads for the layer bars, with a blank one on either side."""
LEAST_RANKING, MOST_RANKING = 6, 16
"""Lines of the ranking; where there are fewer, one line names the heads that harm most."""
LEAST_READING = 11
"""Columns of the reading; it has all that the map leaves."""
MARGIN = 1
"""Columns left of the map."""


@dataclass(frozen=True, slots=True)
class HeadSpace:
    """The parts of one screen; the map takes what is left."""

    reading: int
    """Columns of the reading."""
    below: int
    """Lines below the legend: none, one for the top heads, or a ranking."""
    padded: bool
    """Whether a line above the map stays blank."""

    @classmethod
    def share(
        cls, width: int, height: int, shape: tuple[int, int], halves: bool = True
    ) -> HeadSpace:
        """Share out a space; the whole map comes first, then the rest in order of worth.

        Args:
            width: columns.
            height: lines, without those of results that stand below the map.
            shape: layers and heads of the map.
            halves: two heads may share a line.
        """
        layers, heads = shape
        room = height - LEGEND - HEADER
        rows = (heads + 1) // 2 if halves and heads > room else heads
        spare = room - rows
        if spare >= LEAST_RANKING + BARS + 1:
            below = min(spare - BARS - 1, MOST_RANKING)
        else:
            # A map that scrolls anyway gives up a line.
            below = 0 if spare == 0 else 1
        padded = spare - below > 1
        map_height = height - LEGEND - below - padded
        widest = width - MARGIN - LEAST_READING
        needed = CellLayout.fit(layers, heads, widest, map_height, halves).size.width
        return cls(width - MARGIN - min(needed, widest), below, padded)


BESIDE_TWO = HeadSpace(reading=14, below=2, padded=True)
"""What two maps leave; below stands how far they are apart, and how far alike."""


TOP = 5
TO_ABLATE = "<heads.ablate-marked> ablates them together"
SIGNS, SIGNS_OF_TWO = ("harm", "help"), ("more harm in B", "less harm in B")
"""What the ends of the colours mean, of one run and of B − A."""
ANOTHER = (
    "<heads.zero-mean-ablation> sweeps with the other ablation, <prompts.task> on screen "
    "<app.prompts> takes another task; then press <heads.second-run>."
)
NO_SWEEP = "There is no head here yet to look at; <heads.sweep> sweeps them."
ONE_OPERATION = "These prompts are all of one operation."
ABOVE_READING = 1
"""Blank lines over the reading."""
TOGETHER = 3
"""Results of ablating sets that stay in sight."""


class HeadsScreen(WorkbenchScreen):
    """Heat map of what ablating each head changes, with the numbers under the cursor."""

    NAME = "heads"
    KINDS = ("heads",)
    BESIDE = ("ablate",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Sweep", id="heads.sweep"),
        Binding("enter", "compare", "Its neurons", priority=True, id="heads.its-neurons"),
        Binding("v", "look", "Looks at", id="heads.what-it-looks-at"),
        unlisted("m", "metric", "Metric", id="heads.metric"),
        Binding("o", "operation", "Operation", id="heads.operation"),
        Binding("w", "second", "Beside", id="heads.second-run"),
        Binding("d", "difference", "Compare", id="heads.compare"),
        unlisted("b", "best", "Top head", id="heads.top-head"),
        Binding("space", "mark", "Mark", id="heads.mark"),
        unlisted("a", "ablate", "Ablate marked", id="heads.ablate-marked"),
        unlisted("x", "stage", "Stage a change", id="heads.stage-a-change"),
        unlisted("z", "mode", "Zero / mean ablation", id="heads.zero-mean-ablation"),
        unlisted("f", "follow", "Its chain", id="heads.its-chain"),
        unlisted("i", "patterns", "Patterns of all heads", id="heads.patterns"),
        unlisted("slash", "find", "Find a head", id="heads.find-a-head"),
    ]
    LIVE = frozenset({"run", "ablate", "stage", "mode", "follow"})
    group = ""
    face: Face = "a"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._second = SecondRun(workspace)
        self._metric: str | None = None
        self._marked: set[HeadRef] = set()
        self._shown = HeadPicture()
        self._other: HeadPicture | None = None
        self._space = HeadSpace(reading=0, below=0, padded=True)
        self._offered: str | None = None
        """Id of the finished result whose strongest head the cursor was put on."""

    def compose_body(self) -> Iterator[Widget]:
        """Map and reading side by side, then the legend and the heads that matter most."""
        yield Horizontal(HeadPair(), Static(id="reading", markup=False), id="map")
        yield Static(id="together", markup=False)
        yield Legend()
        yield Static(id="most", markup=False)

    def on_mount(self) -> None:
        """The map takes the keys."""
        self.pair.map.focus()

    def on_resize(self) -> None:
        """Share the space out anew, once it is known how much there is."""
        self.call_after_refresh(self._share_space)

    @property
    def pair(self) -> HeadPair:
        """The map, or the maps."""
        return self.query_one(HeadPair)

    @property
    def map(self) -> HeadMap:
        """The map that has the cursor."""
        return self.pair.map

    @property
    def metric(self) -> str:
        """What the colours show: what was chosen, else what the sweep is ranked by."""
        if self._metric in self._metrics:
            return str(self._metric)
        usual = "logprob" if self.result is None else self.result.step.ordered_by
        return usual if usual in self._metrics else "logprob"

    @property
    def _metrics(self) -> list[str]:
        """What all sweeps in sight have."""
        return metrics(*filter(None, (self.result, self.second)))

    @property
    def second(self) -> Result | None:
        """The sweep beside the one in sight."""
        return self._second.beside(self.result)

    def update(self) -> None:
        """Show the sweep as far as it is."""
        result, pair = self.result, self.pair
        if (model := result.model if result else None) is not None:
            pair.shape(model.layers, model.heads)
        if result is None:
            self.set_title("Heads")
            self.set_empty(
                "What each attention head is worth on your prompts: every head ablated in turn.\n\n"
                "Press <heads.sweep> to sweep them; the map fills while it runs.\n\n"
                + self._together().plain
            )
            return
        self.set_empty(None)
        if self.group not in self._groups:
            self.group = ""
        self._draw(result, self.second)
        self._offer_strongest(result)
        together = self._together()
        self.query_one("#together", Static).update(together)
        # What sets of parts are worth is no part of a comparison, which needs the lines.
        self.query_one("#together").display = bool(together) and self.second is None
        self._share_space()
        if not self.query_one("#body").size:  # it was hidden until now
            self.call_after_refresh(self._share_space)

    def _offer_strongest(self, result: Result) -> None:
        """Once all rows are there, have the head that harms most under a cursor nobody moved."""
        if result.state == "done" and self._offered != result.id:
            self._offered = result.id
            for head in self._shown.most(1):
                self.map.offer(head)

    def view(self) -> View:
        """Head under the cursor, marked heads, what the colours show, and the run beside it."""
        return {
            "cursor": str(self.map.cursor) if self.map.moved else None,
            "marked": sorted(str(head) for head in self._marked),
            "metric": self._metric,
            "group": self.group,
            "second": self._second.kept,
            "face": self.face,
        }

    def show_view(self, view: View) -> None:
        """Put these back, as far as the map has them."""
        self._second.put_back(self.result, view.get("second"))
        metric, group, face = (view.get(name) for name in ("metric", "group", "face"))
        self._metric = metric if metric in list(METRICS) else None
        self.group = group if group in self._groups else HeadsScreen.group
        self.face = face if face in FACES else HeadsScreen.face
        self._marked = set(heads_of(strings(view.get("marked")), self.map.shape))
        for head in heads_of(strings([view.get("cursor")]), self.map.shape):
            self.map.move_to(head)
        self.update()

    def _draw(self, result: Result, second: Result | None) -> None:
        """Bring the map, or both, up to date, painting only what changed."""
        pair, legend, other = self.pair, self.query_one(Legend), None
        shown = picture(result, self.metric, self.group)
        key = (result.id, second and second.id, self.metric, self.group)
        if second is None:
            self.set_title(result.step.title + self._group_note(), intact(result))
            pair.show(key, shown)
        else:
            other = picture(second, self.metric, self.group)
            facts = (intact(result), intact(second))
            self.set_titles(*titles(result, second, facts, self.size.width))
            words = ranking_of_two(shown, other, MOST_RANKING)
            pair.show_two(key, shown, other, self.face, told_apart(result, second), words)
        # Only what could be drawn is read out: rows may come from anybody's file.
        self._shown, self._other = shown, other
        pair.set_marked(self._marked, TOP)
        letters = signs(self._patterns) if second is None else {}
        self.map.set_signs(letters)
        legend.set_meaning(*(SIGNS_OF_TWO if pair.picture.by_size else SIGNS))
        legend.set_scale(*pair.scale)
        parts = notes(result, self.metric)
        if letters:
            parts.insert(1, " ".join(f"{letter} {name}" for name, letter in LETTERS.items()))
        legend.set_note(*(parts if second is None else [parts[0] + self._group_note()]))

    def _group_note(self) -> str:
        return f" · only {self.group}" if self.group else ""

    def _together(self) -> Text:
        most = TOGETHER if self.size.height >= FLAT else 1
        results = self.workspace.latest(*self.BESIDE, most)
        return Text("\n").join(together(results)[:most])

    def _share_space(self) -> None:
        """Give the map what it needs, and show beside and below it what there is room for."""
        map, (width, height) = self.map, self.query_one("#body").size
        if not all(map.shape) or not height or self.result is None:
            return
        if self._other is None:
            height -= self._together().plain.count("\n") + 1 if self._together() else 0
            self._space = HeadSpace.share(width, height, map.shape, not map.glyphs)
        else:
            self._space = BESIDE_TWO
        self.query_one("#reading").styles.width = self._space.reading
        self.query_one("#map").set_class(self._space.padded, "-padded")
        self._show_reading(map.cursor)
        self._show_most(self._space.below)

    def _show_most(self, lines: int) -> None:
        """What is marked, or the heads that matter most: a ranking where there is room for one."""
        ranked = self._shown.ranked
        if self._marked:
            text = marked(self._marked, self.workspace.keys.fill(TO_ABLATE))
        elif self._other is not None:
            text = apart(self._shown, self._other, TOP)
        elif lines < LEAST_RANKING or len(ranked) < 2 * TOP:
            text = most_harm(ranked[:TOP], self.size.width)
        else:
            text = ranking(ranked, min(lines, len(ranked) // 2 + 1))
        self.query_one("#most", Static).update(text)
        self.query_one("#most").display = bool(lines or self._marked)

    def _show_reading(self, head: HeadRef) -> None:
        """The cursor's numbers in words."""
        result, second = self.result, self.second
        if result is None:
            text = Text()
        elif second is None or self._other is None:
            text = reading(
                head, result, self._shown, self._space.reading - 1, followed(self._patterns, head)
            )
        else:
            lines = self.query_one("#map").size.height - ABOVE_READING
            text = reading_of_two(head, (result, second), (self._shown, self._other), lines)
        self.query_one("#reading", Static).update(text)

    @on(HeadMap.CellHighlighted)
    def _read_cell(self, event: HeadMap.CellHighlighted) -> None:
        self._show_reading(event.ref)

    @on(HeadPair.Turned)
    def _turn(self) -> None:
        self.refresh_all()

    @on(HeadMap.CellSelected)
    def action_compare(self) -> None:
        """Find the neurons the head under the cursor drives, on the case at hand."""
        head = self.map.cursor
        step = CnaStep(prompt=self.workspace.prompt, ablate=Intervention(heads=(head,)))
        self.request(StepRequested(step, alike=("ablate",)))

    def action_look(self) -> None:
        """Show what the head under the cursor looks at, on the case at hand."""
        look_at(self, self.map.cursor, self.workspace.prompt)

    def action_follow(self) -> None:
        """Find the chain that leads through the head under the cursor, on the case at hand."""
        head = self.map.cursor
        if head.layer == 0:
            self.notify("Nothing feeds a head of the first layer, so it has no chain.")
            return
        self.request(StepRequested(ChainStep(prompt=self.workspace.prompt, head=head)))

    def action_run(self) -> None:
        """Sweep the heads, or go on where the last sweep stopped."""
        result = self.result
        if not self.go_on() and (result is None or not result.active):
            self.request(StepRequested(HeadsStep(prompts=self.workspace.prompts)))

    def action_mode(self) -> None:
        """The same sweep with the other thing in a head's place: zero, or its mean."""
        sweep = self._sweep
        other: Mode = "zero" if sweep.mode == "mean" else "mean"
        self.request(
            StepRequested(HeadsStep(prompts=sweep.prompts, mode=other, metric=sweep.metric))
        )

    def action_metric(self) -> None:
        """Colour by log-probability, accuracy and what else the rows have in turn."""
        names = self._metrics
        self._metric = names[(names.index(self.metric) + 1) % len(names)]
        self.update()

    def action_second(self) -> None:
        """Put another sweep beside this one, or take it away."""
        self.face = HeadsScreen.face
        turn_second(self, self._second, ANOTHER)

    def action_difference(self) -> None:
        """Look at one run, at the other, and at what the second has above the first."""
        self.face = self.pair.next_face
        self.refresh_all()  # the other run may be anybody's

    def refusal(self, action: str) -> str | None:
        """Nothing differs where there is one run or one operation; without any there is no head."""
        if action == "difference" and self.second is None:
            return NEED_TWO
        if action == "look" and self.result is None:
            return NO_SWEEP
        if action == "operation" and len(self._groups) < 2:
            return ONE_OPERATION
        return super().refusal(action)

    @property
    def _groups(self) -> list[str]:
        """Groups of prompts that all runs in sight have."""
        return shared_groups(*filter(None, (self.result, self.second)))

    def action_operation(self) -> None:
        """Look at one group of prompts after the other, then at all of them."""
        groups = ["", *self._groups]
        place = groups.index(self.group) if self.group in groups else 0
        self.group = groups[(place + 1) % len(groups)]
        self.update()

    def action_mark(self) -> None:
        """Mark the head under the cursor, or take its mark away."""
        if all(self.map.shape):  # else there is none yet
            self._marked ^= {self.map.cursor}
            self.update()

    @property
    def has_marks(self) -> bool:
        """Whether heads are marked."""
        return bool(self._marked)

    def drop_marks(self) -> None:
        """Take the marks off all heads."""
        self._marked.clear()
        self.update()

    def action_ablate(self) -> None:
        """Measure the prompts without all of the marked heads."""
        if not self._marked:
            self.notify(f"Mark heads with <heads.mark> first; {TO_ABLATE}.")
            return
        change, sweep = Intervention(heads=tuple(sorted(self._marked))), self._sweep
        step = AblateStep(prompts=sweep.prompts, sets=(change,), mode=sweep.mode)
        self.request(StepRequested(step))

    def action_stage(self) -> None:
        """Stage the marked heads, or the one under the cursor, to be taken away."""
        heads = self._marked or {self.map.cursor}
        self.stage(Intervention(heads=tuple(sorted(heads if self.result is not None else ()))))

    @property
    def _sweep(self) -> HeadsStep:
        """The one in sight, or what would be swept."""
        step = self.result.step if self.result else None
        return step if isinstance(step, HeadsStep) else HeadsStep(prompts=self.workspace.prompts)

    @property
    def _patterns(self) -> Follows:
        """Which patterns the heads follow, as far as the session has looked for them."""
        return patterns_known(self.workspace, self.result.model if self.result else None)

    def action_patterns(self) -> None:
        """Tell which pattern each head follows on random tokens said twice."""
        self.request(StepRequested(DetectStep()))

    def action_find(self) -> None:
        """Go to a head by its name, or to the one that follows a pattern most."""

        shape, patterns = self.map.shape, self._patterns

        def read(text: str) -> HeadRef | None:
            if not text.strip():
                return None
            return strongest(patterns, text) or head_named(text, shape)

        def named(text: str | None) -> None:
            if text and (head := read(text)) is not None:
                self.map.move_to(head)

        words = ", or induction, duplicate …" if patterns else ""
        hint = f"as L20H8: {range_of(shape)}{words}"
        self.app.push_screen(Ask("Head", "", hint, check=read), named)

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The exact numbers of the head under the cursor, or of all heads, most first."""
        result = self.result
        if result is None:
            return None
        head = self.map.cursor
        if self._other is not None:
            return rows_of_two(self._shown, self._other, None if everything else head)
        rows = result.step.ranked(result.rows).select(printed(result.step.filled))
        rows = with_patterns(rows, self._patterns)
        return rows if everything else rows.filter(name=str(head))

    @property
    def results_in_sight(self) -> tuple[Result, ...]:
        """The sweep, and the one beside it."""
        return tuple(filter(None, (self.result, self.second)))

    def action_best(self) -> None:
        """Jump from one of the most harmful heads to the next."""
        most = self.pair.picture.most(TOP)
        if most:
            place = most.index(self.map.cursor) + 1 if self.map.cursor in most else 0
            self.map.move_to(most[place % len(most)])
