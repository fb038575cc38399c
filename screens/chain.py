"""Screen 5, Chain: from the words to the answer in four stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.columns import printed
from analysis.interventions import Intervention
from analysis.refs import HeadRef
from analysis.steps import AblateStep, ChainStep, HeadsStep, ProjectStep
from analysis.tasks.prompts import Prompt, PromptSet
from screens.base import WorkbenchScreen
from screens.cases import titled
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.text import coefficient, number, one_line, probability, strings, visible
from screens.widgets.chain_layout import ANSWER, DEEP, END, HEAD, LAYERS, ChainGraph, Edge
from screens.widgets.chain_view import ChainView
from screens.workspace import Result
from sessions import View

LABEL = 11
"""Cells of the label before a line."""
EDGES = 5
"""Edges named in one line."""


def reading(name: str, graph: ChainGraph, base: dict[str, Any], waiting: bool) -> Text:
    """What a node is, what it says, what it feeds, and what the answer is without it.

    Args:
        name: the node.
        graph: its chain.
        base: what the chain is compared with.
        waiting: its ablation may still come.
    """
    node = graph.nodes[name]
    first = Text(" ").append(
        one_line(name) if name != ANSWER else visible(base["answer"]), style="bold"
    )
    lines = [first.append(f"  {one_line(_what(name, graph, base))}")]
    if node["part"] is not None:
        lines.append(_effect(node, base, waiting))
    lines.append(line("says", _tokens(node["tokens"])))
    if node["through"] is not None:
        lines.append(line(_carrier(node), _tokens(node["tokens_through"])))
    into, out = graph.into(name), graph.out_of(name)
    if into:
        lines.append(line("fed by", _edges(into, "start", base)))
    if out:
        lines.append(line("feeds", _edges(out, "end", base)))
    return Text("\n").join(lines)


def _what(name: str, graph: ChainGraph, base: dict[str, Any]) -> str:
    node, root = graph.nodes[name], base["root"]
    if node["stage"] == DEEP:
        importance = dict(zip(node["to"], node["weight"], strict=True)).get(ANSWER)
        before = "" if importance is None else f"{number(importance, 3)} → "
        after = number((importance or 0.0) - node["score"], 3)
        change = f"importance {before}{after} without {base['head']}"
        kind = "root" if name == root else "deep neuron"
        return f"{kind} · coefficient {coefficient(node['coefficient'])} · {change}"
    if node["stage"] == END:
        return f"the answer, probability {probability(base['prob'])}"
    adds = f"adds {number(node['score'], 3, sign=True)} to {root}"
    if node["stage"] == LAYERS:
        return f"all heads of the layer, last position · {adds}"
    if node["stage"] == HEAD:
        return f"head, last position · {adds}"
    where = f"at {visible(node['reads'])}"
    if node["part"] is None:
        return f"the word itself, {where} · {adds}"
    return f"shallow neuron {where} · coefficient {coefficient(node['coefficient'])} · {adds}"


def _carrier(node: dict[str, Any]) -> str:
    """What carries a shallow node: the head where the edge goes there, else a layer."""
    return f"via {one_line(node['to'][0])}" if node["to"] else "via attention"


def _tokens(tokens: Sequence[str] | None) -> Text:
    return Text(" ".join(visible(token) for token in tokens or ()))


def _edges(edges: list[Edge], end: str, base: dict[str, Any]) -> Text:
    text = Text()
    largest = sorted(edges, key=lambda edge: -abs(edge.weight))
    for edge in largest[:EDGES]:
        other = getattr(edge, end)
        shown = visible(base["answer"]) if other == ANSWER else one_line(other)
        text.append(f"{shown} ").append(number(edge.weight, 2, sign=True), style="bold")
        text.append("   ")
    if len(largest) > EDGES:
        text.append(f"and {len(largest) - EDGES} more", style="dim")
    return text


def _effect(node: dict[str, Any], base: dict[str, Any], waiting: bool) -> Text:
    words = Text(f"p({visible(base['answer'])}) {probability(base['prob'])} → ")
    if node["prob_without"] is None:
        words.append("waiting" if waiting else "not measured", style="dim")
    else:
        words.append(probability(node["prob_without"]), style="bold")
    return line("without it", words)


def line(label: str, words: Text) -> Text:
    """Words behind their label."""
    return Text().append(f" {label:<{LABEL}}", style="dim").append_text(words)


def without(results: Iterable[Result], answer: str) -> list[Text]:
    """What ablating marked nodes together did, a line each."""
    lines = []
    for result in results:
        for row in result.rows.to_dicts():
            before = probability(result.baseline["prob"])
            words = Text(f"p({answer}) {before} → ")
            words.append(probability(row["prob"]), style="bold")
            words.append(f"   {one_line(row['name'])}", style="dim")
            lines.append(line("together", words))
    return lines


READING, BRIEF = 5, 2
"""Lines of the reading, and how many of them a low terminal shows."""
LOW = 22
"""Lines of a terminal below which it is low."""
LEGEND = " ━ strong  ─ weak  ╌ weakens   numbers: importance, nats"
NO_CHAIN = "There is no chain here yet."
TOGETHER = 1
"""Results of ablating marked nodes that stay in sight."""


class ChainScreen(WorkbenchScreen):
    """The four stages of one case as a drawing, with the node under the cursor in words."""

    NAME = "chain"
    KINDS = ("chain",)
    LIVE = frozenset({"run", "ablate", "stage"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Chain", id="chain.chain"),
        Binding("enter", "tokens", "Its tokens", priority=True, id="chain.its-tokens"),
        Binding("z", "zero", "Zero the node", id="chain.zero-the-node"),
        Binding("space", "mark", "Mark", priority=True, id="chain.mark"),
        Binding("a", "ablate", "Ablate marked", id="chain.ablate-marked"),
        unlisted("x", "stage", "Stage a change", id="chain.stage-a-change"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """The drawing, the node in words, what ablating several did."""
        yield ChainView()
        yield Static(Text(LEGEND, style="dim"), id="lines", markup=False)
        yield Static(id="node", markup=False)
        yield Static(id="without", markup=False)

    def on_mount(self) -> None:
        """The drawing takes the keys."""
        self._drawn: tuple[object, ...] = ()
        self._graph: ChainGraph | None = None
        self._marked: set[str] = set()
        self._zeroed = False
        self.query_one(ChainView).focus()

    def on_resize(self) -> None:
        """Leave the drawing some lines where there are few."""
        self.query_one("#node").styles.height = READING if self.size.height >= LOW else BRIEF
        self._show_node()

    @property
    def _step(self) -> ChainStep | None:
        step = self.result.step if self.result else None
        return step if isinstance(step, ChainStep) else None

    @property
    def _node(self) -> dict[str, Any] | None:
        """The node under the cursor."""
        return self._graph.nodes.get(self.query_one(ChainView).cursor) if self._graph else None

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
        base = result.baseline
        answer = f"{visible(base['answer'])} {probability(base['prob'])}" if base else ""
        title = titled(result.step, self.workspace)
        if self._step is not None and self._step.head is None and base:
            title = title.replace("chain", f"chain of {base['head']}", 1)
        self.set_title(title, answer)
        state = (result.id, result.rows.height, result.estimates is None)
        if state != self._drawn:
            if not self._drawn or self._drawn[0] != result.id:
                self._marked.clear()
                self._zeroed = False
            self._drawn = state
            self._graph = ChainGraph(result.step.ranked(result.table()))
            view.display = bool(base)
            if base:
                view.set_chain(self._graph, visible(base["answer"]), base["prob"])
        self._show_node()

    def view(self) -> View:
        """Node under the cursor, marked nodes, and whether it is shown without the node."""
        return {
            "cursor": self.query_one(ChainView).cursor,
            "marked": sorted(self._marked),
            "zeroed": self._zeroed,
        }

    def show_view(self, view: View) -> None:
        """Put these back, as far as the chain has them."""
        nodes = self._graph.nodes if self._graph else {}
        cursor = view.get("cursor")
        self._marked = {name for name in strings(view.get("marked")) if name in nodes}
        self._zeroed = view.get("zeroed") is True
        if isinstance(cursor, str) and cursor in nodes:
            self.query_one(ChainView).cursor = cursor
        self._show_node()

    def _show_node(self) -> None:
        """The node under the cursor, and what it and the marked ones are worth."""
        result, view, node = self.result, self.query_one(ChainView), self._node
        words = Text()
        if result is not None and self._graph is not None and node is not None and result.baseline:
            words = reading(view.cursor, self._graph, result.baseline, result.active)
        elif result is not None:
            finding = "finding the head, the neurons it drives and what feeds them …"
            words = Text(f" {finding if result.active else result.state}", style="dim")
        self.query_one("#node", Static).update(words)
        view.set_without(node["prob_without"] if node is not None and self._zeroed else None)
        view.set_marked(self._marked)
        lines = self._together()
        self.query_one("#without", Static).update(Text("\n").join(lines))
        self.query_one("#without").display = bool(lines)

    def _together(self) -> list[Text]:
        """What is marked, and what ablating marked nodes together did to this case."""
        lines = []
        if self._marked:
            names = " ".join(sorted(self._marked))
            lines.append(line("marked", Text(names, style="bold")))
        step, base = self._step, self.result.baseline if self.result else {}
        if step is not None and base:
            case = _case(step.prompt)
            of_case = [
                each
                for each in self.workspace.latest("ablate", len(self.workspace.results))
                if isinstance(each.step, AblateStep) and each.step.prompts == case
            ]
            lines += without(of_case[:TOGETHER], visible(base["answer"]))
        return lines

    @on(ChainView.NodeHighlighted)
    def _read_node(self) -> None:
        self._show_node()

    def refusal(self, action: str) -> str | None:
        """Nothing is zeroed where no chain is drawn."""
        if (reason := super().refusal(action)) is not None:
            return reason
        drawn = self.result is not None and bool(self.result.baseline)
        return NO_CHAIN if action == "zero" and not drawn else None

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
        """Show what the node under the cursor promotes and suppresses."""
        node, step, result = self._node, self._step, self.result
        if node is None or step is None or result is None:
            return
        through, by = node["through"], None
        if node["stage"] == LAYERS:
            source = f"attention:{node['layer']}"
        elif node["stage"] == END:
            layers = result.model.layers if result.model else 1
            source = f"residual:{layers - 1}"
        elif node["part"] is None:
            source = f"word:{node['reads']}"
        else:
            source = node["part"]
        if through is not None and node["to"][0] == result.baseline["head"]:
            by = HeadRef.parse(result.baseline["head"]).index
        chosen = ProjectStep(source=source, through=through, by=by, prompt=step.prompt)
        self.request(StepRequested(chosen, alike=("source",)))

    def action_zero(self) -> None:
        """Show beside the answer what its probability is without the node under the cursor."""
        self._zeroed = not self._zeroed
        self._show_node()

    def action_mark(self) -> None:
        """Mark the node under the cursor, or take its mark away."""
        node = self._node
        if node is None:
            return
        if node["part"] is None:
            self.notify("Words and the answer cannot be zeroed; mark neurons, layers or the head.")
            return
        self._marked ^= {node["name"]}
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
        node, graph = self._node, self._graph
        marked = [graph.nodes[name]["part"] for name in sorted(self._marked)] if graph else []
        parts = marked or [node["part"] if node is not None else None]
        named = [part for part in parts if part is not None]
        self.stage(*map(Intervention.parse, named))

    def action_ablate(self) -> None:
        """Measure the case without all of the marked nodes."""
        step = self._step
        if step is None or not self._marked or self._graph is None:
            self.notify(
                "Mark nodes with <chain.mark> first; <chain.ablate-marked> then zeroes them "
                "together."
            )
            return
        parts = ",".join(self._graph.nodes[name]["part"] for name in sorted(self._marked))
        ablation = AblateStep(prompts=_case(step.prompt), sets=(Intervention.parse(parts),))
        self.request(StepRequested(ablation, stay=True))

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row of the node under the cursor, or of all nodes, stage by stage."""
        result, node = self.result, self._node
        if result is None or node is None:
            return None
        rows = result.step.ranked(result.table()).select(printed(result.step.filled))
        return rows if everything else rows.filter(name=node["name"])


def _case(prompt: Prompt) -> PromptSet:
    """One case as a set."""
    return PromptSet(name="case", prompts=(prompt,))
