"""Vectors read in the vocabulary, and attention's value-output map, against explicit matrices."""

from __future__ import annotations

import pytest
import torch
from plainly import part
from tiny import VOCABULARY, few
from working import rows

from analysis.errors import InputError
from analysis.methods.attention import head_output, transform, value_output
from analysis.model.trace import trace
from analysis.refs import HeadRef
from analysis.steps import ProjectStep
from analysis.tasks.prompts import Prompt

PROMPT = Prompt(prompt="the sum of one and 3 is ")
TOP = 7


def assert_ends(table, model, logits: torch.Tensor) -> None:
    """Both ends of a projection are the extremes of these logits [V], from the outside in."""
    for end, values in (("top", logits), ("bottom", -logits)):
        some = table.filter(table["end"] == end)
        best = values.topk(TOP)
        assert some["rank"].to_list() == list(range(1, TOP + 1))
        assert some["token_id"].to_list() == best.indices.tolist()
        assert some["token"].to_list() == [model.token(each) for each in best.indices.tolist()]
        assert some["logit"].to_list() == pytest.approx(
            logits[best.indices].tolist(), abs=2e-5 * max(1.0, logits.abs().max().item())
        )


def own_scale(plainly, vector: torch.Tensor) -> torch.Tensor:
    """Logits [V] of a vector read by itself: the final norm takes its statistics from it."""
    return plainly.readout(vector, vector)


def test_a_neuron_is_read_as_its_value(model, plainly):
    table = rows(ProjectStep(source="L1N5", top=TOP), model)
    assert_ends(table, model, own_scale(plainly, plainly.bare_value(1, 5)))


def test_a_neuron_in_a_run_is_read_as_what_it_contributes(model, plainly):
    ids = model.encode(PROMPT).ids
    frozen = plainly.run(ids).leaving[-1]
    for neuron in (0, 1, 2, 3):  # of either sign
        table = rows(ProjectStep(source=f"L1N{neuron}", prompt=PROMPT, top=TOP), model)
        added = plainly.contributions(ids, 1)[neuron]
        assert_ends(table, model, plainly.direction(added, frozen))


@few
def test_a_neuron_is_read_through_an_attention_layer(model, plainly):
    table = rows(ProjectStep(source="L0N5", through=2, top=TOP), model)
    mapped = plainly.transformed(plainly.bare_value(0, 5), 2)
    assert_ends(table, model, own_scale(plainly, mapped))


@few
def test_in_a_run_the_layer_s_own_norm_scale_is_used(model, plainly):
    ids = model.encode(PROMPT).ids
    table = rows(ProjectStep(source="L0N5", through=1, prompt=PROMPT, top=TOP), model)
    mapped = plainly.transformed(plainly.contributions(ids, 0)[5], 1, ids)
    assert_ends(table, model, plainly.direction(mapped, plainly.run(ids).leaving[-1]))


@few
def test_a_word_is_read_as_its_embedding(model, plainly):
    token = model.tokenizer("three", add_special_tokens=False).input_ids
    assert len(token) == 1
    vector = model.hf.get_input_embeddings().weight[token[0]].double()
    table = rows(ProjectStep(source="word:three", top=TOP), model)
    assert_ends(table, model, own_scale(plainly, vector))
    through = rows(ProjectStep(source="word:three", through=0, top=TOP), model)
    assert_ends(through, model, own_scale(plainly, plainly.transformed(vector, 0)))


@few
def test_a_residual_is_read_by_the_logit_lens(model, plainly):
    ids = model.encode(PROMPT).ids
    run = plainly.run(ids)
    for layer in range(model.info.layers):
        table = rows(ProjectStep(source=f"residual:{layer}", prompt=PROMPT, top=TOP), model)
        assert_ends(table, model, plainly.readout(run.leaving[layer], run.leaving[-1]))


def test_the_last_residual_gives_the_model_s_own_predictions(model, plainly):
    last = model.info.layers - 1
    table = rows(ProjectStep(source=f"residual:{last}", prompt=PROMPT, top=TOP), model)
    assert_ends(table, model, plainly.logits(model.encode(PROMPT).ids))


def test_a_head_is_read_as_what_it_adds_at_the_last_position(model, plainly):
    ids = model.encode(PROMPT).ids
    frozen = plainly.run(ids).leaving[-1]
    for head in range(model.info.heads):
        table = rows(ProjectStep(source=f"L1H{head}", prompt=PROMPT, top=TOP), model)
        added = plainly.head_outputs(ids, 1)[head]
        assert_ends(table, model, plainly.direction(added, frozen))


def test_heads_and_bias_sum_to_what_attention_adds(model, plainly):
    ids = model.encode(PROMPT).ids
    run = trace(model, ids)
    for layer in range(model.info.layers):
        heads = range(model.info.heads)
        total = sum(head_output(model, ids, layer, head, run) for head in heads)
        bias = plainly.attention_out(layer).bias
        if bias is not None:
            total = total + bias.double() * plainly.attention_scale(ids, layer)
        assert (total - plainly.run(ids).attention[layer]).abs().max() < 1e-5


def test_value_output_is_the_product_of_the_two_matrices_of_each_head(model, plainly):
    vectors = torch.randn(5, model.info.width, generator=torch.Generator().manual_seed(0))
    for layer in range(model.info.layers):
        heads = plainly.value_output(layer)  # [H, d, d]
        for head in range(model.info.heads):
            mapped = value_output(model, layer, vectors, head)
            assert (mapped - vectors.double() @ heads[head].T).abs().max() < 1e-5
        together = value_output(model, layer, vectors)
        assert (together - vectors.double() @ heads.sum(0).T).abs().max() < 1e-5


@few
def test_the_transform_by_one_head_and_by_all(model, plainly):
    ids = model.encode(PROMPT).ids
    run = trace(model, ids)
    vector = torch.randn(model.info.width, generator=torch.Generator().manual_seed(0))
    for in_run in (None, run):
        heads = [transform(model, 1, vector, head, in_run) for head in range(model.info.heads)]
        plain = plainly.transformed(vector.double(), 1, None if in_run is None else ids)
        assert (sum(heads) - plain).abs().max() < 1e-5
        assert (transform(model, 1, vector, None, in_run) - plain).abs().max() < 1e-5


@few
def test_a_neuron_is_read_through_one_head(model, plainly):
    ids = model.encode(PROMPT).ids
    table = rows(ProjectStep(source="L0N5", through=1, by=2, prompt=PROMPT, top=TOP), model)
    vector = plainly.into_attention(ids, 1, -1, plainly.contributions(ids, 0)[5])
    mapped = plainly.value_output(1)[2] @ vector * plainly.attention_scale(ids, 1)
    assert_ends(table, model, plainly.direction(mapped, plainly.run(ids).leaving[-1]))


def test_attention_is_read_as_what_all_heads_of_a_layer_add(model, plainly):
    ids = model.encode(PROMPT).ids
    run = plainly.run(ids)
    table = rows(ProjectStep(source="attention:1", prompt=PROMPT, top=TOP), model)
    assert_ends(table, model, plainly.direction(run.attention[1], run.leaving[-1]))


def test_a_finished_projection_has_nothing_left_to_resume(llama):
    step = ProjectStep(source="L0N0", top=2)
    assert list(step.run(llama, ["5"])) == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (ProjectStep(source="L9N0"), r"L9N0 is not in .*layers 0 to 2 with neurons 0 to 23"),
        (ProjectStep(source="L0N24"), "L0N24 is not in"),
        (ProjectStep(source="L0H0"), "L0H0 is read in a run; give one with --prompt"),
        (ProjectStep(source="residual:1"), "residual:1 is read in a run"),
        (ProjectStep(source="attention:1"), "attention:1 is read in a run"),
        (ProjectStep(source="attention:x", prompt=PROMPT), "write attention:12"),
        (ProjectStep(source="L0N0", through=1, by=4), "L1H4 is not in"),
        (ProjectStep(source="residual:3", prompt=PROMPT), "residual 3 is out of range"),
        (ProjectStep(source="residual:x", prompt=PROMPT), "write residual:12"),
        (ProjectStep(source="word:zebra"), "'zebra' is not a single token"),
        (ProjectStep(source="seven"), "'seven' names nothing to read"),
        (ProjectStep(source="L0N0", through=3), "--through 3 is out of range"),
        (ProjectStep(source="L0N0", top=65), "--top 65 is too many for both ends of 128 tokens"),
    ],
    ids=lambda value: value.title if isinstance(value, ProjectStep) else "",
)
def test_what_cannot_be_read_is_refused(llama, step, message):
    with pytest.raises(InputError, match=message):
        step.bound(llama)


@few
def test_a_specific_reading_is_the_z_score_over_the_layer_s_neurons(model, plainly):
    def logits(neuron: int) -> torch.Tensor:
        value = plainly.bare_value(1, neuron)
        return plainly.direction(value, value)

    every = torch.stack([logits(neuron) for neuron in range(model.info.neurons)]).double()
    scores = (every[5] - every.mean(0)) / every.std(0, correction=0)
    table = rows(ProjectStep(source="L1N5", reading="specific", top=TOP), model)
    for end, values in (("top", scores), ("bottom", -scores)):
        some = table.filter(table["end"] == end)
        best = values.topk(TOP).indices
        assert some["token_id"].to_list() == best.tolist()
        assert some["specific"].to_list() == pytest.approx(scores[best].tolist(), abs=1e-3)
        logit = own_scale(plainly, plainly.bare_value(1, 5))[best]
        assert some["logit"].to_list() == pytest.approx(logit.tolist(), abs=1e-3)


def test_a_specific_reading_passes_the_neurons_through_attention_too(llama, plain_llama):
    mapped = [plain_llama.transformed(plain_llama.bare_value(0, n), 1) for n in range(24)]
    every = torch.stack([own_scale(plain_llama, each) for each in mapped]).double()
    scores = (every[3] - every.mean(0)) / every.std(0, correction=0)
    table = rows(ProjectStep(source="L0N3", through=1, reading="specific", top=TOP), llama)
    assert table["token_id"].to_list()[:TOP] == scores.topk(TOP).indices.tolist()


def test_the_record_says_which_reading_it_is_and_a_word_has_but_one(llama):
    plain = ProjectStep(source="L0N3")
    assert "reading" not in plain.model_dump(mode="json")
    told = plain.model_copy(update={"reading": "specific"})
    assert told.model_dump(mode="json")["reading"] == "specific"
    assert plain.telling_more(llama.info.model_copy(update={"tied": False})) == plain
    assert plain.telling_more(llama.info.model_copy(update={"tied": True})) == told
    with pytest.raises(InputError, match="a word has none"):
        rows(ProjectStep(source="word:three", reading="specific"), llama)


@torch.no_grad()
def scored_apart(plainly, layer: int, head: int, query: torch.Tensor, keys: torch.Tensor):
    """What a head scores each of keys [c, d] above the first one, by its attention weights.

    Key, first key and query stand at one position. The logarithm of two weights of a query is the
    difference of their scores, times the scale of scores.
    """
    other = plainly.copied()
    other.hf.config._attn_implementation = "eager"
    attention, norm = (
        part(other.layers[layer], ATTENTION.get(other.hf.config.model_type, "self_attn")),
        None,
    )
    if plainly.case.attention_norm is not None:
        norm = part(other.layers[layer], plainly.case.attention_norm)
    call: list[tuple[tuple, dict]] = []
    attention.register_forward_pre_hook(
        lambda _, args, kwargs: call.append((args, kwargs)), with_kwargs=True
    )
    other.hf(torch.zeros(1, 1, dtype=torch.long), use_cache=False)
    args, kwargs = call[0]
    found = []
    for key in keys:
        rows = torch.stack([keys[0], key, query]).float()[None]
        x = rows if norm is None else norm(rows)
        named = {**kwargs, "attention_mask": torch.zeros(1, 1, 3, 3)}
        named |= {"hidden_states": x} if "hidden_states" in kwargs else {}
        if named.get("alibi") is not None:
            named["alibi"] = torch.zeros(len(plainly.value_output(layer)), 1, 3)
        if named.get("position_ids") is not None:
            named["position_ids"] = torch.zeros(1, 3, dtype=torch.long)
        weights = attention(*(args if "hidden_states" in kwargs else (x, *args[1:])), **named)[1]
        found.append((weights[0, head, 2, 1].log() - weights[0, head, 2, 0].log()).item())
    return torch.tensor(found, dtype=torch.float64)


ATTENTION = (
    dict.fromkeys(("gpt2", "gptj"), "attn")
    | {"gpt_neo": "attn.attention", "gpt_neox": "attention"}
    | dict.fromkeys(("bloom", "falcon"), "self_attention")
)


def test_a_head_looks_for_the_keys_that_it_scores_most(model, plainly):
    """Scores are those of attention that has nothing but query and key, in one place."""
    head = HeadRef(1, 2)
    source = ProjectStep(source="word:three", looks_for=head, top=VOCABULARY // 2)
    table = rows(source, model).sort("token_id")
    assert table["token_id"].to_list() == list(range(VOCABULARY))
    embedding = model.hf.get_input_embeddings().weight
    (three,) = model.tokenizer("three", add_special_tokens=False).input_ids
    some = torch.arange(0, VOCABULARY, 9)
    wanted = scored_apart(plainly, 1, 2, embedding[three], embedding[some])
    found = torch.tensor(table["logit"].to_list(), dtype=torch.float64)[some]
    found -= found[0].clone()
    assert found.argsort().tolist() == wanted.argsort().tolist()
    if model.hf.config.model_type != "gemma2":  # whose scores have a soft cap
        scale = (found @ wanted) / (found @ found)
        assert torch.allclose(scale * found, wanted, atol=1e-4 * wanted.abs().max().item())


def test_what_a_neuron_writes_is_looked_for_too(llama, plain_llama):
    value = plain_llama.bare_value(0, 5).float()
    table = rows(ProjectStep(source="L0N5", looks_for="L1H2", top=TOP), llama)
    keys = llama.hf.get_input_embeddings().weight
    best = table.filter(table["end"] == "top")["token_id"].to_list()
    scores = scored_apart(plain_llama, 1, 2, value, keys)
    assert scores.topk(TOP).indices.tolist() == best
    step = ProjectStep(source="L0N5", looks_for="L1H2")
    assert step.title == "L0N5 as a query of L1H2"
    with pytest.raises(InputError, match="L9H0 is not in"):
        ProjectStep(source="L0N5", looks_for="L9H0").bound(llama)
