"""Edges between two prompts, against whole runs with one thing changed by plain hooks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest
import torch
from plainly import Ids, Plainly, kept, matrix, part
from tiny import HEAD, HEADS, LAYERS, few
from torch import Tensor, nn
from working import rows

from analysis.errors import InputError
from analysis.methods import attribution, edges
from analysis.methods.attribution import edge_scores
from analysis.methods.edges import measure_of
from analysis.methods.faithfulness import circuits
from analysis.model.graph import Graph, graph_of, graph_run
from analysis.model.model import Model
from analysis.model.pairs import encode_pair
from analysis.steps import EdgesStep, FaithfulnessStep
from analysis.steps.edges import areas
from analysis.tasks.prompts import Prompt, PromptSet

CASE = Prompt(prompt="one and 3 is", corrupt="two and 4 is", answer="1", wrong="9")
OTHER = Prompt(prompt="2 + 3 = ", corrupt="2 + 8 = ", answer="0", wrong="5")
ONE = PromptSet(name="one", prompts=(CASE,))
TWO = PromptSet(name="two", prompts=(CASE, OTHER))
TOLERANCE = 1e-4

SEPARATE = ("q_proj", "k_proj", "v_proj")
FUSED = {"gpt2": "c_attn", "phi3": "qkv_proj"}
"""The others' fused projection holds the key and value last in each group."""


@dataclass
class Paths:
    """Path patching by plain hooks: one whole run an edge, in float64, nothing resumed."""

    plain: Plainly
    clean: Ids
    corrupt: Ids
    answer: int
    wrong: list[int]
    _known: dict[tuple[object, ...], object] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, plain: Plainly, case: Prompt) -> Paths:
        clean, corrupt = encode_pair(model, case)
        double = Plainly(copy.deepcopy(plain.hf).double(), plain.case)
        return cls(double, clean.ids, corrupt.ids, clean.answer_ids[0], list(clean.wrong))

    def measured(self, ids: Ids) -> float:
        logits = self.plain._logits(ids)
        return (logits[self.answer] - logits[self.wrong].mean()).item()

    def layer(self, number: int) -> nn.Module:
        return self.plain.layers[number]

    def output_of(self, module: nn.Module, ids: Ids) -> Tensor:
        seen: list[Tensor] = []
        hook = module.register_forward_hook(lambda _, args, output: seen.append(output.clone()))
        self.plain._logits(ids)
        hook.remove()
        return seen[0].reshape(len(ids), -1)

    def written(self, source: str, ids: Ids) -> Tensor:
        """[n, d] what a source adds to the residual stream."""
        case = self.plain.case
        if source == "embedding":
            return self.plain._stream(ids, 0)
        number, _, index = source[1:].partition("H" if "H" in source else "F")
        layer = self.layer(int(number))
        if not index:
            module = part(layer, case.ffn_post_norm or case.ffn_out)
            return self.output_of(module, ids) * case.residual_multiplier
        out = part(layer, case.attention_out)
        columns = self.plain.head_columns(int(index))
        added = self.plain.inputs_of(out, ids)[:, columns] @ matrix(out)[:, columns].T
        if case.attention_post_norm is not None:
            norm = part(layer, case.attention_post_norm)
            scales = [self.plain.norm_scale(norm, x) for x in self.output_of(out, ids)]
            added = self.plain.weighted(norm, added) * torch.stack(scales)[:, None]
        return added * case.residual_multiplier

    @kept
    def apart(self, source: str) -> Tensor:
        """[n, d] what a source writes in the corrupt run less what it does in the clean one."""
        return self.written(source, self.corrupt) - self.written(source, self.clean)

    def patched(self, source: str, target: str, kind: str, share: float = 1.0) -> float:
        """The clean run's metric where one input reads the source's other value, or a share."""
        apart = share * self.apart(source)
        if kind == "logits":
            with reading(part(self.plain.hf, self.plain.case.final_norm), lambda x: x + apart):
                return self.measured(self.clean)
        if kind == "ffn":
            return self._through_ffn(int(target[1:-1]), apart)
        number, _, index = target[1:].replace("KV", "H").partition("H")
        return self._through_head(int(number), kind, int(index), apart)

    def _through_ffn(self, number: int, apart: Tensor) -> float:
        layer, case = self.layer(number), self.plain.case
        inner = [part(layer, path) for path in case.ffn_in]
        if case.ffn_norm is None:
            read = self.plain.inputs_of(inner[0], self.clean)
            changed = read + apart
        else:
            norm = part(layer, case.ffn_norm)
            changed = norm(self.plain.inputs_of(norm, self.clean) + apart)
        with reading(inner[0], lambda x: changed.reshape(x.shape)):
            if len(inner) == 1:
                return self.measured(self.clean)
            with reading(inner[1], lambda x: changed.reshape(x.shape)):
                return self.measured(self.clean)

    def _through_head(self, number: int, kind: str, index: int, apart: Tensor) -> float:
        """All heads' queries (keys, values) are changed first; of what they put out, one's counts.

        Heads do not read one another, so what the others then put out does not matter.
        """
        layer, case = self.layer(number), self.plain.case
        stream = self.plain._stream(self.clean, number) + apart
        if case.attention_norm is not None:
            stream = part(layer, case.attention_norm)(stream)
        out = part(layer, case.attention_out)
        with self._all_heads(layer, kind, stream[None]):
            entering = self.plain.inputs_of(out, self.clean)
        width = matrix(out).shape[1] // HEADS
        first, last = index * width, (index + 1) * width
        if kind in ("k", "v"):
            group = HEADS // self.kv_heads(layer)
            first, last = first * group, last * group

        def one(x: Tensor) -> Tensor:
            x = x.clone()
            x[0, :, first:last] = entering[:, first:last]
            return x

        with reading(out, one):
            return self.measured(self.clean)

    def kv_heads(self, layer: nn.Module) -> int:
        return self.plain.case.value(layer).shape[0] // (
            matrix(part(layer, self.plain.case.attention_out)).shape[1] // HEADS
        )

    @contextmanager
    def _all_heads(self, layer: nn.Module, kind: str, stream: Tensor) -> Iterator[None]:
        """Let all queries, keys or values of a layer be made of another stream."""
        names = {name.rpartition(".")[2]: module for name, module in layer.named_modules()}
        place = "qkv".index(kind)
        if SEPARATE[place] in names:
            with reading(names[SEPARATE[place]], lambda x: stream.reshape(x.shape)):
                yield
            return
        family = self.plain.hf.config.model_type
        module = names[FUSED.get(family, "query_key_value")]
        made = module(stream)

        def mixed(output: Tensor) -> Tensor:
            output = output.clone()
            if family in FUSED:
                ends = [HEADS * HEAD, (HEADS + self.kv_heads(layer)) * HEAD]
                first, last = [0, *ends][place], [*ends, output.shape[-1]][place]
                output[..., first:last] = made[..., first:last]
            else:
                shape = (*output.shape[:-1], self.kv_heads(layer), -1, HEAD)
                some = (slice(None, -2), slice(-2, -1), slice(-1, None))[place]
                output.view(shape)[..., some, :] = made.view(shape)[..., some, :]
            return output

        hook = module.register_forward_hook(lambda _, args, output: mixed(output))
        try:
            yield
        finally:
            hook.remove()


@contextmanager
def reading(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let a module read something else."""
    hook = module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    try:
        yield
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def paths(model: Model, plainly: Plainly) -> Paths:
    return Paths.of(model, plainly, CASE)


@pytest.fixture(scope="module")
def table(model: Model) -> pl.DataFrame:
    """All edges, each verified."""
    return rows(EdgesStep(prompts=ONE, keep=500, verify=500), model)


def some(table: pl.DataFrame) -> list[dict[str, Any]]:
    """The strongest edge into each kind of input, of a head where one is strong enough."""
    strong = table.filter(pl.col("score").abs() > 0.01)
    of_head = strong.filter(pl.col("source").str.contains("H"))
    return pl.concat([of_head, strong]).unique("input", maintain_order=True).to_dicts()


def test_all_edges_are_there_each_once(model, table):
    info = model.info
    parallel = not table.filter(
        pl.col("source").str.contains("L0H") & (pl.col("target") == "L0F")
    ).height
    below = [1 + layer * (info.heads + 1) for layer in range(LAYERS + 1)]
    beside = 0 if parallel else info.heads
    reading = info.heads + 2 * info.kv_heads
    expected = sum(each * reading + each + beside for each in below[:-1]) + below[-1]
    assert table.height == table["name"].n_unique() == expected
    assert sorted(table["rank"]) == list(range(1, expected + 1))
    assert set(table["input"]) == {"q", "k", "v", "ffn", "logits"}


def test_path_patching_is_a_whole_run_in_which_one_input_reads_something_else(paths, table):
    clean = paths.measured(paths.clean)
    for row in some(table):
        exactly = paths.patched(row["source"], row["target"], row["input"]) - clean
        assert row["verified"] == pytest.approx(exactly, abs=TOLERANCE), row["name"]


def test_a_score_is_the_slope_of_the_metric_along_the_edge(paths, table):
    for row in some(table):
        edge = row["source"], row["target"], row["input"]
        # Norms compute in float32, so steps are not small: of fourth order, little is left out.
        near, far = (
            paths.patched(*edge, step) - paths.patched(*edge, -step) for step in (0.01, 0.02)
        )
        slope = (8 * near - far) / (12 * 0.01)
        assert row["score"] == pytest.approx(slope, rel=1e-3, abs=TOLERANCE), row["name"]


def test_a_circuit_of_all_edges_is_the_model_and_one_of_none_the_corrupt_run(model):
    step = FaithfulnessStep(prompts=TWO, shares=(0.0, 0.3, 1.0))
    found = rows(step, model)
    assert found["faithfulness"][0] == pytest.approx(0, abs=TOLERANCE)
    assert found["faithfulness"][2] == pytest.approx(1, abs=TOLERANCE)
    assert found["random"][2] == pytest.approx(1, abs=TOLERANCE)
    assert found["edges"][2] == step.bound(model).baseline["edges"]


def test_a_circuit_of_all_edges_but_one_is_the_model_with_that_path_patched(model, table):
    """An edge left out carries the corrupt value, and all above it flows on."""
    runs, graph, measure = sides(model)
    names = {
        (graph.source_name(u), *graph.input_name(v)): (v, u)
        for v, u in graph.exists.nonzero().tolist()
    }
    left_out = some(table)
    circuit_edges = graph.exists.repeat(len(left_out), 1, 1)
    for circuit, row in zip(circuit_edges, left_out, strict=True):
        circuit[names[row["source"], row["target"], row["input"]]] = False
    clean = measure(model.logits(runs[0].final[-1])).item()
    exactly = circuits(model, graph, *runs, circuit_edges, measure) - clean
    wanted = torch.tensor([row["verified"] for row in left_out])
    assert torch.allclose(exactly, wanted, atol=TOLERANCE)


@few
def test_a_circuit_of_the_embedding_s_edge_to_the_logits_adds_the_word_alone(model, paths):
    runs, graph, measure = sides(model)
    only = torch.zeros_like(graph.exists)
    only[-1, 0] = True
    found = circuits(model, graph, *runs, only[None], measure).item()
    added = -paths.apart("embedding")
    with reading(part(paths.plain.hf, paths.plain.case.final_norm), lambda x: x + added):
        assert found == pytest.approx(paths.measured(paths.corrupt), abs=TOLERANCE)


def test_scores_of_the_embedding_s_edges_add_up_to_the_difference(llama):
    """What holds of integrated gradients: along the whole way nothing is lost."""
    runs, graph, measure = sides(llama)
    clean, corrupt = (measure(llama.logits(run.final[-1])).item() for run in runs)
    found = edge_scores(llama, graph, *runs, measure, steps=100)[:, 0].sum().item()
    assert found == pytest.approx(corrupt - clean, rel=0.02)


def test_few_positions_at_once_and_small_batches_give_the_same(llama, monkeypatch):
    step = EdgesStep(prompts=TWO, verify=30, keep=40, method="eap-ig", steps=2)
    whole = rows(step, llama)
    monkeypatch.setattr(attribution, "CHUNK_BYTES", 1)
    monkeypatch.setattr(edges, "batch_rows", lambda model, nodes: 7)
    parts = list(step.run(llama))
    assert [part.height for part in parts] == [7, 7, 7, 7, 2, 10]
    again = pl.concat(parts)
    for name in ("score", "verified"):
        assert again[name].to_list() == pytest.approx(whole[name].to_list(), abs=1e-5)


def test_edges_go_on_where_they_stopped(llama):
    step = EdgesStep(prompts=ONE, verify=10, keep=20)
    whole = rows(step, llama)
    rest = rows(step, llama, done=whole["name"].to_list()[:6])
    assert rest["name"].to_list() == whole["name"].to_list()[6:]
    assert rest["verified"].to_list() == pytest.approx(whole["verified"].to_list()[6:], abs=1e-5)


def test_over_several_cases_numbers_are_means_of_the_cases(llama):
    both = rows(EdgesStep(prompts=TWO, keep=500, verify=5), llama)
    alone = [
        rows(EdgesStep(prompts=PromptSet(name="one", prompts=(case,)), keep=500), llama)
        for case in TWO.prompts
    ]
    joined = both.join(alone[0], on="name", suffix="_1").join(alone[1], on="name", suffix="_2")
    assert joined.height == both.height
    for row in joined.to_dicts():
        assert row["score"] == pytest.approx((row["score_1"] + row["score_2"]) / 2, abs=1e-5)
    for row in both.drop_nulls("verified").to_dicts():
        assert row["verified"] == pytest.approx(sum(row["case_verified"]) / 2)


def test_signed_ranking_puts_first_what_carries_most_of_the_difference(llama):
    whole = rows(EdgesStep(prompts=ONE, keep=500, verify=0, ranking="signed"), llama)
    baseline = EdgesStep(prompts=ONE).bound(llama).baseline
    carries = whole["score"] / (baseline["corrupt"] - baseline["clean"])
    assert carries.to_list() == sorted(carries, reverse=True)
    assert whole["verified"].null_count() == whole.height


def test_random_edges_are_as_many_and_drawn_by_the_seed(llama):
    tables = [
        rows(FaithfulnessStep(prompts=ONE, shares=(0.5,), draws=2, seed=seed), llama)
        for seed in (1, 1, 2)
    ]
    draws = [table["random_draws"].to_list()[0] for table in tables]
    assert draws[0] == draws[1] != draws[2]
    assert tables[0]["random"].item() == pytest.approx(sum(draws[0]) / 2)


def test_areas_are_taken_over_the_share_of_edges():
    curve = pl.DataFrame({"share": [0.5, 1.0], "faithfulness": [1.5, 1.0]})
    assert areas(curve) == pytest.approx((0.5 * 0.75 + 0.5 * 1.25, 0.5 * 0.75 + 0.5 * 0.25))


def test_a_pair_that_does_not_differ_has_no_edges_and_is_left_out_beside_others(llama):
    flat = Prompt(prompt="one and 3 is", corrupt="one and 4 is", answer="4", wrong="j")
    with pytest.raises(InputError, match="case 1 of flat: the metric differs by 0.00538"):
        EdgesStep(prompts=PromptSet(name="flat", prompts=(flat,))).bound(llama)
    baseline = EdgesStep(prompts=PromptSet(name="two", prompts=(CASE, flat))).bound(llama).baseline
    assert baseline["cases"] == 1
    assert baseline["left_out"] == ["case 2 of two: the metric differs by 0.00538"]


def sides(model: Model) -> tuple[list, Graph, Callable[[Tensor], Tensor]]:
    both = encode_pair(model, CASE)
    runs = [graph_run(model, side.ids) for side in both]
    return runs, graph_of(model, runs[0]), measure_of(model, both[0], "logit_difference")
