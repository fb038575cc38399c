"""Edges as a graph on screen 5: what a node is, what it reads and feeds, and what reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.text import Text

from analysis.interventions import Intervention
from analysis.steps import AblateStep, CnaStep, EdgesStep, ProjectStep
from analysis.tasks.prompts import Prompt, PromptSet
from screens.drawn import EDGES, Drawn, line
from screens.messages import StepRequested
from screens.text import count, number, one_line, visible
from screens.widgets.edge_layout import EMBEDDING, LOGITS, EdgeGraph, place_of
from screens.widgets.node_graph import Edge, NodeGraph
from screens.workspace import Result, Workspace

NO_FFN = "An FFN cannot be zeroed as a part; its neurons can: screen <app.neurons> ranks them."
NO_END = "The embedding and the logits cannot be zeroed; choose a head."
NO_FFN_TOKENS = (
    "What an FFN writes is that of its neurons: screen <app.neurons> ranks them by importance."
)
NO_EMBEDDING = "The embedding is the words of the prompt; choose a head."


class EdgesDrawn(Drawn):
    """The strongest edges between heads and FFNs.

    Args:
        result: of the step.
        workspace: what else is known.
        wanted: how many edges are drawn; None: as many as can be read.
    """

    def __init__(self, result: Result, workspace: Workspace, wanted: int | None = None) -> None:
        super().__init__(result, workspace)
        assert isinstance(result.step, EdgesStep)
        self.step, model = result.step, result.model
        sharing = max(1, model.heads // max(1, model.kv_heads)) if model is not None else 1
        self.graph: EdgeGraph = EdgeGraph.of(result.table(), wanted, sharing)

    @property
    def title(self) -> tuple[str, str]:
        """The pairs, and the metric of both prompts."""
        base = self.result.baseline
        known = {name: base.get(name) for name in ("clean", "corrupt")}
        ends = [f"{name} {number(each)}" for name, each in known.items() if isinstance(each, float)]
        metric = str(base.get("metric") or "").replace("_", " ")  # older records have none
        return self.step.title, "  ".join(filter(None, [one_line(metric), *ends]))

    def legend(self, shown: NodeGraph) -> str:
        """How many edges are in sight, and what their lines mean."""
        edges = f"{count(len(shown.edges))} of {count(len(self.graph.edges))} edges"
        return f"{edges}   ━ strong  ─ weak  ╌ raises the metric   ▷ ~ estimated"

    @property
    def prompts(self) -> PromptSet:
        """The pairs."""
        return self.step.prompts

    @property
    def prompt(self) -> Prompt:
        """The case at hand, if it is of these, else the first one."""
        prompts, here = self.prompts.prompts, self.workspace.prompt
        return here if here in prompts else prompts[0]

    @property
    def answer(self) -> str:
        """The answer of a single case."""
        prompts = self.prompts.prompts
        return visible(prompts[0].answer) if len(prompts) == 1 else "answer"

    def reading(self, name: str) -> Text:
        """What a node is, what it reads and feeds, and what the answers are without it."""
        into, out = self.graph.into(name), self.graph.out_of(name)
        lines = [Text(" ").append(name, style="bold").append(f"  {self._what(name, into, out)}")]
        without = self._without(name)
        lines += [without] if without is not None else []
        lines += [line("fed by", self._edges(into, "start"))] if into else []
        lines += [line("feeds", self._edges(out, "end"))] if out else []
        return Text("\n").join(lines)

    def _what(self, name: str, into: Sequence[Edge], out: Sequence[Edge]) -> str:
        layer, _ = place_of(name) or (0, 0)
        heads = self.graph.heads(name)
        if name in (EMBEDDING, LOGITS):
            what = {EMBEDDING: "what enters the first layer", LOGITS: "where the answer is read"}
            words = what[name]
        elif heads:
            words = "key/value head of " + " to ".join(dict.fromkeys((heads[0], heads[-1])))
        else:
            words = f"head of layer {layer}" if "H" in name else f"FFN of layer {layer}"
        known = [f"{count(len(each))} {way}" for each, way in ((into, "in"), (out, "out")) if each]
        return f"{words} · edges {', '.join(known)}"

    def _edges(self, edges: Sequence[Edge], end: str) -> Text:
        """The strongest of them: exact values, and estimates with ~."""
        text = Text()
        for edge in edges[:EDGES]:
            other = getattr(edge, end)
            if edge.input:
                other = f"{edge.input} of {other}" if end == "end" else f"{edge.input}←{other}"
            text.append(f"{other} ")
            if not edge.estimated:
                text.append(f"{number(edge.weight, 2, sign=True)} ", style="bold")
            text.append(f"{number(edge.estimate, 2, sign=True)}~", style="dim")
            text.append("   ")
        if len(edges) > EDGES:
            text.append(f"and {count(len(edges) - EDGES)} more", style="dim")
        return text

    def _without(self, name: str) -> Text | None:
        """What the answers are with a node zeroed, where that was measured."""
        part, change = self.part(name), None
        for result in self.workspace.latest("ablate", len(self.workspace.results)):
            step = result.step
            if isinstance(step, AblateStep) and (step.prompts, step.mode) == (self.prompts, "zero"):
                named = {each.names: each for each in step.sets if each.factor == 0}
                change = named.get(part or "")
            if change is not None:
                rows = result.rows.filter(name=change.names).to_dicts()
                return _measured(rows[0], result.baseline, self.answer) if rows else None
        return None

    def part(self, name: str) -> str | None:
        """A head; of a key/value head all heads that share it, which is the same."""
        heads = self.graph.heads(name) or [name]
        return ",".join(heads) if "H" in heads[0] else None

    def no_part(self, name: str) -> str:
        """FFNs are taken away by neurons, the ends not at all."""
        return NO_END if name in (EMBEDDING, LOGITS) else NO_FFN

    def zeroing(self, name: str) -> StepRequested | str | None:
        """Ablates a node on these prompts; None: it has been, and its worth is in sight."""
        if (part := self.part(name)) is None:
            return self.no_part(name)
        if self._without(name) is not None:
            return None
        step = AblateStep(prompts=self.prompts, sets=(Intervention.parse(part),))
        return StepRequested(step, stay=True)

    def opens(self, name: str) -> StepRequested | str:
        """The neurons that a head drives; what the logits are read from."""
        if name == LOGITS and self.result.model is not None:
            source = f"residual:{self.result.model.layers - 1}"
            step = ProjectStep(source=source, prompt=self.prompt)
            return StepRequested(step, alike=("source",))
        if (part := self.part(name)) is not None:
            cna = CnaStep(prompt=self.prompt, ablate=Intervention.parse(part))
            return StepRequested(cna, alike=("ablate",))
        return NO_EMBEDDING if name == EMBEDDING else NO_FFN_TOKENS

    def copied(self, name: str, everything: bool) -> pl.DataFrame:
        """The edges of a node, or all edges."""
        of_node = (pl.col("source") == name) | (pl.col("target") == name)
        return self.rows if everything else self.rows.filter(of_node)


def _measured(row: dict[str, Any], base: dict[str, Any], answer: str) -> Text:
    """How well the answers are given without a node, beside how well with it."""
    words = Text()
    measures = {
        f"p({answer})": "prob",
        "log-prob": "logprob",
        "logit difference": "logit_difference",
    }
    for label, name in measures.items():
        before, after = base.get(name), row.get(name)
        if before is not None and after is not None:
            decimals = 3 if name == "prob" else 2
            words.append(f"{label} {number(before, decimals)} → ")
            words.append(f"{number(after, decimals)}   ", style="bold")
    return line("without it", words)
