"""The four-stage chain of one case: words and shallow neurons, attention, a head, deep neurons.

Everything before the deep neurons is measured by one number: how much it adds to the size of the
coefficient of the root, the lowest deep neuron, along its key (paper sections 4.3 to 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.attention import head_output, transform
from analysis.methods.directions import (
    Carried,
    WholeRun,
    keys_in_call,
    pulled_to_positions,
    reads_its_attention,
    strongest_carried,
    whole_run,
)
from analysis.methods.heads import ablated, all_heads, sweep
from analysis.methods.neurons import TOKENS_SHOWN, cna_work, first_run
from analysis.model.passes import CleanPass, clean_passes, with_answers
from analysis.model.readout import Readout
from analysis.model.trace import Trace
from analysis.refs import HeadRef, NeuronRef
from analysis.work import Work, row_by_row

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt

ANSWER = "answer"
Node = dict[str, Any]
"""A row, still without what its ablation does."""


@torch.no_grad()
def chain_work(
    model: Model,
    prompt: Prompt,
    head: HeadRef | None = None,
    deep: int = 6,
    shallow: int = 8,
    layers: int = 4,
) -> Work:
    """Build the chain from a case's words to its answer; one row a node.

    Nodes and edges are found at once. The frames ablate node after node.

    Args:
        model: the model.
        prompt: the case.
        head: which predicts the features; None: the one without which the answer suffers most.
        deep: how many deep neurons.
        shallow: how many shallow neurons and words.
        layers: how many attention layers below the head.
    """
    if head is not None:
        model.info.check_head(head)
    (encoded,) = with_answers(model, [prompt])
    _, run, baseline = first_run(model, prompt)
    passes = clean_passes(model, [replace(encoded, answer_ids=encoded.answer_ids[:1])])
    head = head or _costliest_head(model, passes)
    first_fed = _first_fed(model, passes[0], head)
    driven = _driven(model, prompt, head, first_fed, deep)
    above = _Deep.of(model, passes[0], driven)
    chain = _Chain(
        model,
        encoded.ids,
        run,
        run.freeze(model),
        head,
        above,
        whole_run(model, encoded.ids, head.layer + 1),
    )
    nodes = [*chain.below(shallow, layers), chain.head_node(), *chain.deep_nodes()]
    nodes.append(chain.answer_node())

    rows = row_by_row({node["name"]: partial(_measured, model, passes, node) for node in nodes})
    names = {"head": str(head), "root": str(above.root)}
    # All but what ablation does is known now, so that the whole chain can be drawn at once.
    known = frame_of({**node, "prob_without": None} for node in nodes)
    return Work(len(nodes), rows, baseline | names, known)


def _costliest_head(model: Model, passes: list[CleanPass]) -> HeadRef:
    """The head without which the answer is least probable, of those that can stand in a chain."""
    last = model.info.layers - 1
    fed = last + reads_its_attention(model, passes[0].calls[last], last)
    candidates = [head for head in all_heads(model) if 0 < head.layer < fed]
    if not candidates:
        raise InputError(f"{model.info.name} has too few layers for a chain: it has {last + 1}")
    worst, head = float("inf"), candidates[0]
    for batch, scores in sweep(model, passes, candidates):
        for ref, logprob in zip(batch, scores.logprob[:, 0].tolist(), strict=True):
            if logprob < worst:
                worst, head = logprob, ref
    return head


def _first_fed(model: Model, clean: CleanPass, head: HeadRef) -> int:
    """The lowest layer whose FFN reads what a head writes at its own position.

    Raises:
        InputError: nothing stands below the head, or no neuron above it.
    """
    if head.layer == 0:
        raise InputError(
            f"{head} is in the first layer, so nothing feeds it; choose a head of layer 1 or above"
        )
    at_once = reads_its_attention(model, clean.calls[head.layer], head.layer)
    first = head.layer if at_once else head.layer + 1
    if first >= model.info.layers:
        raise InputError(
            f"{head} is in the last layer, whose FFN does not read it; choose a head below it"
        )
    return first


@dataclass(frozen=True)
class _Deep:
    """The deep neurons that a head drives, with their keys in the run.

    A key is turned round where the coefficient is negative, so that it points to what makes the
    neuron stronger: in a gated FFN the sign of a coefficient is a matter of how value and up
    projection happen to be stored, and no edge should depend on it.
    """

    rows: list[dict[str, Any]]
    """Rows of the comparison with the head zeroed, the largest change first."""
    keys: list[Tensor]
    """[d] each."""
    place: int
    """Which of them is the root: the lowest, and of several in a layer the most important."""

    @classmethod
    def of(cls, model: Model, clean: CleanPass, rows: list[dict[str, Any]]) -> _Deep:
        """Find the keys of neurons that a head drives."""
        keys = []
        for row in rows:
            layer = row["layer"]
            (key,) = keys_in_call(model, clean.calls[layer], layer, [row["neuron"]])
            keys.append(key if row["coefficient"] >= 0 else -key)
        order = [(row["layer"], -row["importance"]) for row in rows]
        return cls(rows, keys, order.index(min(order)))

    @property
    def key(self) -> Tensor:
        """The root's key."""
        return self.keys[self.place]

    @property
    def root(self) -> NeuronRef:
        """The root of the prediction-enhancing graph."""
        return NeuronRef.parse(self.rows[self.place]["name"])


def _driven(
    model: Model, prompt: Prompt, head: HeadRef, first: int, count: int
) -> list[dict[str, Any]]:
    """Rows of the `count` neurons of layers `first` and above that the head changes most."""
    total = model.info.layers * model.info.neurons
    top = min(count, total)
    while True:
        work = cna_work(model, prompt, [Intervention(heads=(head,))], top=top)
        rows = pl.concat(list(work.frames(()))).filter(pl.col("layer") >= first)
        if rows.height >= count or top == total:
            return rows.head(count).to_dicts()
        top = min(4 * top, total)  # some stand below: in parallel blocks beside the head


@dataclass(frozen=True)
class _Chain:
    """All that the nodes are made from."""

    model: Model
    ids: tuple[int, ...]
    run: Trace
    readout: Readout
    head: HeadRef
    deep: _Deep
    whole: WholeRun
    """Up to the head's layer."""

    def says(self, vector: Tensor) -> list[str]:
        """The tokens a vector promotes in this run."""
        best = self.readout.directions(vector).topk(TOKENS_SHOWN).indices
        return [self.model.token(token) for token in best.tolist()]

    def below(self, shallow: int, layers: int) -> list[Node]:
        """Nodes of the first two stages: what is carried, and the attention layers that carry."""
        top = self.head.layer
        pulled = {
            layer: pulled_to_positions(
                self.model,
                self.whole,
                self.run,
                layer,
                self.deep.key,
                self.head.index if layer == top else None,
            )
            for layer in range(top + 1)
        }
        direct = [self.run.attention[layer] @ self.deep.key for layer in range(top)]
        carried = strongest_carried(self.model, self.whole, pulled, shallow)
        # The layers that carry the strongest come first, then those that push the root most.
        by_push = sorted(range(top), key=lambda layer: -direct[layer].item())
        through = [layer for layer in carried.through.tolist() if layer != top]
        shown = list(dict.fromkeys([*through, *by_push]))[:layers]
        if not set(through) <= set(shown):
            kept = {layer: pulled[layer] for layer in (*sorted(shown), top)}
            carried = strongest_carried(self.model, self.whole, kept, shallow)
        nodes = [self._layer_node(layer, direct[layer], pulled[top]) for layer in shown]
        return [*self._shallow_nodes(carried), *nodes]

    def _shallow_nodes(self, carried: Carried) -> list[Node]:
        columns = (carried.layer, carried.neuron, carried.position, carried.carry, carried.through)
        nodes = []
        for layer, neuron, position, carry, through in zip(
            *(each.tolist() for each in columns), strict=True
        ):
            at_head = through == self.head.layer
            node: Node = {
                "stage": 1,
                "position": position,
                "reads": self.model.token(self.ids[position]),
                "score": carry,
                "through": through,
                "to": [str(self.head) if at_head else f"L{through}"],
                "weight": [carry],
            }
            if layer < 0:
                vector = self.whole.entering[0][position]
                node |= {"name": f"word@{position}"}
            else:
                part = NeuronRef(layer, neuron)
                amount = self.whole.amounts[layer][position, neuron]
                coefficient = self.whole.coefficients[layer][position, neuron].item()
                vector = self.model.values(layer, torch.tensor([neuron]))[0] * amount
                node |= {"name": f"{part}@{position}", "part": str(part)}
                node |= {"layer": layer, "coefficient": coefficient}
            one = self.head.index if at_head else None
            moved = transform(self.model, through, vector, one, self.run)
            nodes.append(node | {"tokens": self.says(vector), "tokens_through": self.says(moved)})
        return nodes

    def _layer_node(self, layer: int, push: Tensor, into_head: Tensor) -> Node:
        """An attention layer; the head reads at every position what the layer wrote there."""
        heads = [HeadRef(layer, index) for index in range(self.model.info.heads)]
        return {
            "name": f"L{layer}",
            "stage": 2,
            "part": ",".join(map(str, heads)),
            "layer": layer,
            "score": push.item(),
            "tokens": self.says(self.run.attention[layer]),
            "to": [str(self.head)],
            "weight": [(into_head * self.whole.attention[layer]).sum().item()],
        }

    def head_node(self) -> Node:
        """The head that predicts the features."""
        head = self.head
        added = head_output(self.model, self.ids, head.layer, head.index, self.run)
        weights = [(key @ added).item() for key in self.deep.keys]
        return {
            "name": str(head),
            "stage": 3,
            "part": str(head),
            "layer": head.layer,
            "score": weights[self.deep.place],
            "tokens": self.says(added),
            "to": [row["name"] for row in self.deep.rows],
            "weight": weights,
        }

    def deep_nodes(self) -> list[Node]:
        """The deep neurons, each feeding those of higher layers and the answer."""
        nodes = []
        for row in self.deep.rows:
            layer, neuron = row["layer"], row["neuron"]
            value = self.model.values(layer, torch.tensor([neuron]))[0]
            added = value * row["coefficient"] * self.run.scales[layer]
            fed = [
                (other["name"], (key @ added).item())
                for other, key in zip(self.deep.rows, self.deep.keys, strict=True)
                if other["layer"] > layer
            ]
            fed.append((ANSWER, row["importance"]))
            nodes.append(
                {
                    "name": row["name"],
                    "stage": 4,
                    "part": row["name"],
                    "layer": layer,
                    "score": row["importance_change"],
                    "coefficient": row["coefficient"],
                    "tokens": row["tokens"],
                    "to": [name for name, _ in fed],
                    "weight": [weight for _, weight in fed],
                }
            )
        return nodes

    def answer_node(self) -> Node:
        """What the model says."""
        said = self.readout.logits(self.run.final).topk(TOKENS_SHOWN).indices
        tokens = [self.model.token(token) for token in said.tolist()]
        return {"name": ANSWER, "stage": 5, "tokens": tokens, "to": [], "weight": []}


@torch.no_grad()
def _measured(model: Model, passes: list[CleanPass], node: Node) -> Node:
    """A node with the probability of the answer when it alone is zeroed."""
    if node.get("part") is None:
        return node
    scores = ablated(model, passes, Intervention.parse(node["part"]))
    return node | {"prob_without": scores.logprob[0, 0].double().exp().item()}
