"""Screen 5, Chain: from the words to the answer, in four stages or along the edges of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.interventions import Intervention
from analysis.refs import HeadRef
from analysis.steps import AblateStep, ChainStep, EdgesStep, HeadsStep
from screens.attention import look_at
from screens.base import WorkbenchScreen
from screens.corpus import fires_on, part_named
from screens.drawn import ChainDrawn, Drawn, line, without
from screens.edges import EdgesDrawn
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.text import strings
from screens.widgets.chain_view import ChainView
from screens.widgets.edge_layout import MOST
from screens.workspace import Result
from sessions import View

READING, BRIEF = 5, 2
"""Lines of the reading, and how many of them a low terminal shows."""
LOW = 22
"""Lines of a terminal below which it is low."""
FINDING = "finding the head, the neurons it drives and what feeds them …"
ALL_EDGES = "All edges of the chain are in sight."
FEWEST, MORE = 4, 6
"""Edges drawn at least, and how many more or fewer a key draws."""
NO_CHAIN = "There is no chain here yet."
TOGETHER = 1
"""Results of ablating marked nodes that stay in sight."""


class ChainScreen(WorkbenchScreen):
    """A graph as a drawing, with the node under the cursor in words.

    It is the chain of one case in four stages, or the edges that carry the difference of a pair.
    """

    NAME = "chain"
    KINDS = ("chain", "edges")
    LIVE = frozenset({"run", "ablate", "stage"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Chain", id="chain.chain"),
        Binding("enter", "tokens", "Its tokens", priority=True, id="chain.its-tokens"),
        Binding("z", "zero", "Zero the node", id="chain.zero-the-node"),
        Binding("space", "mark", "Mark", priority=True, id="chain.mark"),
        Binding("a", "ablate", "Ablate marked", id="chain.ablate-marked"),
        unlisted("f", "fires", "Fires on", id="chain.fires-on"),
        unlisted("v", "look", "What it looks at", id="chain.what-it-looks-at"),
        unlisted("x", "stage", "Stage a change", id="chain.stage-a-change"),
        Binding("plus,equals_sign", f"edges({MORE})", "More edges", id="chain.more-edges"),
        unlisted("minus", f"edges({-MORE})", "Fewer edges", id="chain.fewer-edges"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """The drawing, the node in words, what ablating several did."""
        yield ChainView()
        yield Static(id="lines", markup=False)
        yield Static(id="node", markup=False)
        yield Static(id="without", markup=False)

    def on_mount(self) -> None:
        """The drawing takes the keys."""
        self._state: tuple[object, ...] = ()
        self._drawn: Drawn | None = None
        self._marked: set[str] = set()
        self._zeroed = False
        self._wanted: int | None = None
        self.query_one(ChainView).focus()

    def on_resize(self) -> None:
        """Leave the drawing some lines where there are few."""
        self.query_one("#node").styles.height = READING if self.size.height >= LOW else BRIEF
        self._show_node()

    @property
    def _at(self) -> tuple[Drawn, str] | None:
        """What is drawn, and the node under the cursor."""
        cursor = self.query_one(ChainView).cursor
        drawn = self._drawn
        return (drawn, cursor) if drawn is not None and cursor in drawn.graph.nodes else None

    def update(self) -> None:
        """Show the chain as far as it is."""
        result, view = self.result, self.query_one(ChainView)
        if result is None:
            self.set_title("Chain")
            self.set_empty(
                "How the answer comes about: words and shallow neurons, the attention layers that "
                "carry them, the head that predicts, the deep neurons it drives.\n\n"
                "Press <chain.chain> to find the chain of this case, around the top head of the "
                "latest sweep; without a sweep, around the head that this case needs most."
            )
            return
        self.set_empty(None)
        known = result.rows.height, result.estimates is None
        state = (result.id, *known, result.state, self._wanted)
        if state != self._state:
            if not self._state or self._state[0] != result.id:
                self._marked.clear()
                self._zeroed, self._wanted = False, None
            self._state = state
            self._drawn = drawn = self._draw(result)
            view.display = bool(result.baseline)
            if result.baseline:
                view.set_chain(drawn.graph, drawn.answer, drawn.prob)
        if self._drawn is not None:
            self.set_title(*self._drawn.title)
        self._show_node()

    def _draw(self, result: Result) -> Drawn:
        if isinstance(result.step, EdgesStep):
            return EdgesDrawn(result, self.workspace, self._wanted)
        return ChainDrawn(result, self.workspace)

    def view(self) -> View:
        """Node under the cursor, marked nodes, and whether it is shown without the node."""
        return {
            "cursor": self.query_one(ChainView).cursor,
            "marked": sorted(self._marked),
            "zeroed": self._zeroed,
            "edges": self._wanted,
        }

    def show_view(self, view: View) -> None:
        """Put these back, as far as the chain has them."""
        wanted = view.get("edges")
        self._wanted = wanted if isinstance(wanted, int) and 0 < wanted <= MOST else None
        if self.result is not None:
            self.update()
        nodes = self._drawn.graph.nodes if self._drawn else {}
        cursor = view.get("cursor")
        self._marked = {name for name in strings(view.get("marked")) if name in nodes}
        self._zeroed = view.get("zeroed") is True
        if isinstance(cursor, str) and cursor in nodes:
            self.query_one(ChainView).cursor = cursor
        self._show_node()

    def _show_node(self) -> None:
        """The node under the cursor, and what it and the marked ones are worth."""
        result, view, at = self.result, self.query_one(ChainView), self._at
        words, without = Text(), None
        if result is not None and at is not None and result.baseline:
            drawn, name = at
            words = drawn.reading(name)
            without = drawn.graph.nodes[name].get("prob_without")
        elif result is not None:
            words = Text(f" {FINDING if result.active else result.state}", style="dim")
        if self._drawn is not None and (shown := view.drawn) is not None:
            legend = Text(f" {self._drawn.legend(shown)}", style="dim")
            self.query_one("#lines", Static).update(legend)
        self.query_one("#node", Static).update(words)
        view.set_without(without if self._zeroed else None)
        view.set_marked(self._marked)
        lines = self._together()
        self.query_one("#without", Static).update(Text("\n").join(lines))
        self.query_one("#without").display = bool(lines)

    def _together(self) -> list[Text]:
        """What is marked, and what ablating marked nodes together did to these prompts."""
        lines, drawn = [], self._drawn
        if self._marked:
            names = " ".join(sorted(self._marked))
            lines.append(line("marked", Text(names, style="bold")))
        if drawn is not None and drawn.result.baseline:
            of_case = [
                each
                for each in self.workspace.latest("ablate", len(self.workspace.results))
                if isinstance(each.step, AblateStep) and each.step.prompts == drawn.prompts
            ]
            lines += without(of_case[:TOGETHER], drawn.answer)
        return lines

    @on(ChainView.Fitted)
    @on(ChainView.NodeHighlighted)
    def _read_node(self) -> None:
        self._show_node()

    def refusal(self, action: str) -> str | None:
        """Nothing is zeroed where no chain is drawn; of a chain all edges are."""
        if (reason := super().refusal(action)) is not None:
            return reason
        result = self.result if self.is_mounted else None
        if action == "zero" and (result is None or not result.baseline):
            return NO_CHAIN
        edges = result is not None and isinstance(result.step, EdgesStep)
        return ALL_EDGES if action == "edges" and not edges else None

    def action_run(self) -> None:
        """Find the chain of the case at hand, or go on where the last one stopped."""
        result = self.result
        if not self.go_on() and (result is None or not result.active):
            step = ChainStep(prompt=self.workspace.prompt, head=self._swept_head())
            self.request(StepRequested(step))

    def _swept_head(self) -> HeadRef | None:
        """The top head of the latest finished sweep of this model that has something below it."""
        model = self.workspace.model
        for result in self.workspace.latest("heads", len(self.workspace.results)):
            if result.state != "done" or result.model != model:
                continue
            assert isinstance(result.step, HeadsStep)
            above = result.step.ranked(result.rows).filter(pl.col("layer") > 0)
            if above.height:
                return HeadRef.parse(above["name"][0])
        return None

    @on(ChainView.NodeSelected)
    def action_tokens(self) -> None:
        """Read the node under the cursor."""
        if self._at is None:
            return
        drawn, name = self._at
        opens = drawn.opens(name)
        if isinstance(opens, str):
            self.notify(opens)
        else:
            self.request(opens)

    def action_fires(self) -> None:
        """Show what the neuron or the head under the cursor fires on."""
        fires_on(self, part_named(self._at and self._at[1]))

    def action_look(self) -> None:
        """Show what the head under the cursor looks at; of several the first."""
        if self._at is None:
            return
        drawn, name = self._at
        heads = Intervention.parse(part).heads if (part := drawn.part(name)) else ()
        here, prompts = self.workspace.prompt, drawn.prompts.prompts
        look_at(self, next(iter(heads), None), here if here in prompts else prompts[0])

    def action_zero(self) -> None:
        """Show what the answers are without the node under the cursor."""
        if self._at is None:
            return
        drawn, name = self._at
        asked = drawn.zeroing(name)
        if isinstance(asked, str):
            self.notify(asked)
        elif asked is not None:
            self.request(asked)
        else:
            self._zeroed = not self._zeroed
            self._show_node()

    def action_edges(self, by: int) -> None:
        """Draw more edges or fewer, the strongest first."""
        drawn, shown = self._drawn, self.query_one(ChainView).drawn
        if drawn is None or shown is None:
            return
        now = self._wanted or len(shown.edges)
        self._wanted = min(max(now + by, FEWEST), max(FEWEST, len(drawn.graph.edges)))
        self.update()

    def action_mark(self) -> None:
        """Mark the node under the cursor, or take its mark away."""
        if self._at is None:
            return
        drawn, name = self._at
        if drawn.part(name) is None:
            self.notify(drawn.no_part(name))
            return
        self._marked ^= {name}
        self._show_node()

    @property
    def has_marks(self) -> bool:
        """Whether nodes are marked."""
        return bool(self._marked)

    def drop_marks(self) -> None:
        """Take the marks off all nodes."""
        self._marked.clear()
        self._show_node()

    def action_stage(self) -> None:
        """Stage the marked nodes, or the one under the cursor, to be taken away."""
        if self._at is None:
            self.stage()
            return
        drawn, name = self._at
        parts = [drawn.part(each) for each in sorted(self._marked) or [name]]
        self.stage(*(Intervention.parse(part) for part in parts if part is not None))

    def action_ablate(self) -> None:
        """Measure the prompts without all of the marked nodes."""
        drawn = self._drawn
        if drawn is None or not self._marked:
            self.notify(
                "Mark nodes with <chain.mark> first; <chain.ablate-marked> then zeroes them "
                "together."
            )
            return
        parts = ",".join(filter(None, (drawn.part(name) for name in sorted(self._marked))))
        ablation = AblateStep(prompts=drawn.prompts, sets=(Intervention.parse(parts),))
        self.request(StepRequested(ablation, stay=True))

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row of the node under the cursor, or of all nodes, stage by stage."""
        result, at = self.result, self._at
        if result is None or at is None:
            return None
        drawn, name = at
        return drawn.copied(name, everything)
