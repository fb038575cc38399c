"""What heads attend to, against the model's own eager `output_attentions`, and counts by hand."""

from __future__ import annotations

from random import Random

import polars as pl
import pytest
import torch
from plainly import Plainly, part
from tiny import HEADS, LAYERS, VOCABULARY, few, named
from working import rows

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods import looking
from analysis.model.tokens import roles_by_place
from analysis.refs import HeadRef
from analysis.steps import AttendStep, DetectStep
from analysis.tasks.prompts import Message, Prompt, PromptSet
from analysis.tasks.roles import roles_of

PROMPT = PromptSet.single("the sum of one and 3 is ")
EVERY = tuple(HeadRef(layer, head) for layer in range(LAYERS) for head in range(HEADS))
TOLERANCE = 1e-5


def shaped(table, count, column="weight"):
    """A column of the rows of every head as [L, H, n, n], 0 where there is no row."""
    found = torch.zeros(LAYERS, HEADS, count, count, dtype=torch.float64)
    place = [table[name].cast(int).to_list() for name in ("layer", "head", "query", "key")]
    found[tuple(place)] = torch.tensor(table[column].to_list(), dtype=torch.float64)
    return found


def of_every_head(plainly, ids):
    """[L, H, n, n]"""
    return torch.stack(plainly.patterns(ids))


def by_value(plainly, ids):
    """[L, H, n, n] weights times the length of what each key alone would have the head write."""
    lengths = plainly.values_written(ids).norm(dim=-1)
    moved = of_every_head(plainly, ids) * lengths[:, :, None]
    return moved / moved.sum(-1, keepdim=True)


def test_weights_are_the_models_own_in_every_family(model, plainly, ids):
    usual = model.hf.config._attn_implementation
    table = rows(AttendStep(prompts=PROMPT, heads=EVERY), model)
    assert len(table) == len(EVERY) * len(ids) * (len(ids) + 1) / 2
    assert torch.allclose(shaped(table, len(ids)), of_every_head(plainly, ids), atol=TOLERANCE)
    difference = (shaped(table, len(ids), "value_weighted") - by_value(plainly, ids)).abs()
    # Of what no weight falls on the plain way cannot be found backwards.
    known = of_every_head(plainly, ids).diagonal(dim1=-2, dim2=-1).amin(-1) > 1e-6
    assert known.sum() > len(EVERY) / 2
    assert difference[known].max() < TOLERANCE
    assert model.hf.config._attn_implementation == usual


def test_what_is_zeroed_or_scaled_counts_and_a_zeroed_head_still_looks(llama, plain_llama, ids):
    ids = llama.encode(PROMPT.prompts[0]).ids
    change = Intervention(heads=(HeadRef(0, 1), HeadRef(1, 2)))
    table = rows(AttendStep(prompts=PROMPT, heads=EVERY, changes=(change,)), llama)
    other = plain_llama.without_heads((0, 1), (1, 2))
    found = shaped(table, len(ids))
    assert torch.allclose(found, of_every_head(other, ids), atol=TOLERANCE)
    assert not torch.allclose(found, of_every_head(plain_llama, ids), atol=TOLERANCE)
    moved = shaped(table, len(ids), "value_weighted")
    assert torch.allclose(moved.sum(-1), torch.ones_like(moved[..., 0]))


def test_of_a_long_prompt_the_keys_of_largest_weights_are_kept(llama, plain_llama, monkeypatch):
    ids = llama.encode(PROMPT.prompts[0]).ids
    monkeypatch.setattr(looking, "LONG", 5)
    monkeypatch.setattr(looking, "KEYS", 3)
    step = AttendStep(prompts=PROMPT, heads=(HeadRef(1, 2),))
    work, table = step.bound(llama), rows(step, llama)
    assert work.expected == len(table) == 1 + 2 + 3 * (len(ids) - 2)
    assert work.baseline == {"tokens": [*map(llama.token, ids)], "cases": 1, "top": 3}
    pattern = of_every_head(plain_llama, ids)[1, 2]
    for query, some in table.group_by("query"):
        best = pattern[query[0]].topk(min(3, query[0] + 1))
        assert {*some["key"]} == {*best.indices.tolist()}
    whole = rows(step.model_copy(update={"top": 100}), llama)
    assert len(whole) == len(ids) * (len(ids) + 1) / 2
    ranked = step.ranked(whole).head(len(ids))
    assert {*ranked["query"]} == {len(ids) - 1}
    assert ranked["weight"].is_sorted(descending=True)


def test_it_needs_memory_for_all_heads_of_a_layer(llama):
    work = AttendStep(prompts=PROMPT, heads=EVERY[:1]).bound(llama)
    count = len(work.baseline["tokens"])
    assert work.memory >= 2 * HEADS * count**2 * 4


def test_a_family_that_gives_no_weights_is_refused_and_left_as_it_was(small, monkeypatch):
    attention = small.parts.layers[1].attention
    usual = attention.forward
    monkeypatch.setattr(attention, "forward", lambda *a, **k: (usual(*a, **k)[0], None))
    with pytest.raises(InputError, match="attention of the Llama family gives no weights"):
        rows(AttendStep(prompts=PROMPT, heads=(HeadRef(1, 0),)), small)

    def another(*given, **named):
        written, weights = usual(*given, **named)
        return (written, weights) if weights is None else (2 * written, weights)

    monkeypatch.setattr(attention, "forward", another)
    with pytest.raises(InputError, match="the attention weights of this model cannot be read"):
        rows(AttendStep(prompts=PROMPT, heads=(HeadRef(1, 0),)), small)
    assert small.hf.config._attn_implementation == "sdpa"
    assert not {*attention._forward_hooks, *attention._forward_pre_hooks}


GIVEN = PromptSet(
    name="given",
    prompts=(
        Prompt(prompt="A 3 and 5, 3 to ", corrupt="A 3 and 5, 5 to ", answer="5", wrong="3"),
        Prompt(prompt="B 7 and 9, one and 7 to ", answer="9", wrong="7"),
    ),
)
"""One case where the corrupt prompt differs, and one of another length that has none."""


def test_positions_have_the_roles_that_the_case_tells(llama):
    case = GIVEN.prompts[0]
    tokens = [*map(llama.token, llama.encode(case).ids)]
    roles = roles_of(tokens, ["5"], ["3"], [tokens.index(",") + 2])
    told = dict(zip(enumerate(tokens), roles, strict=True))
    assert told[0, "A"] == "first"
    assert told[2, "3"] == "wrong answer"
    assert told[3, " "] == "behind wrong answer"
    assert [role for (_, token), role in told.items() if token == "5"] == ["answer"]
    assert roles[tokens.index(",")] == "behind answer"
    assert roles[tokens.index(",") + 2 :][:2] == ["differs", "behind differs"]
    assert roles[-1] == "last"


def test_a_case_says_itself_what_its_words_are(llama):
    """Of a word that two roles name the first place is the first's; one alone has all places."""
    named = {"subject": "Tom", "subject again": "Tom", "object": "Ann", "verb": "gave"}
    case = Prompt(prompt="Ann saw Tomas and Tom. Tom gave Ann", answer="5", roles=named)
    other = Prompt(prompt="é Ann and Tom, Tom gave", answer="5", roles=named)
    prompts = PromptSet(name="mine", prompts=(case, other))
    table = rows(AttendStep(prompts=prompts, heads=(HeadRef(1, 2),)), llama)
    assert {*named} <= {*table["query_token"]}
    encoded = llama.encode(case)
    tokens = [*map(llama.token, encoded.ids)]
    places = roles_by_place(llama.tokenizer, case, encoded)
    roles = roles_of(tokens, ["5"], given=places)
    assert "".join(tokens[-len(case.prompt) :]) == case.prompt
    shown = ["".join(t for t, r in zip(tokens, roles, strict=True) if r == name) for name in named]
    assert shown == ["Tom", "Tom", "AnnAnn", "gave"]
    assert [*places.values()].index("subject again") > [*places.values()].index("subject")
    assert roles[-1] == "object"


def test_words_of_a_chat_have_roles_too(llama):
    turns = (Message(role="user", content="Ann gave Tom a"),)
    case = Prompt(messages=turns, answer="5", roles={"giver": "Ann"})
    llama.tokenizer.chat_template = "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    try:
        encoded = llama.encode(case)
        places = roles_by_place(llama.tokenizer, case, encoded)
    finally:
        llama.tokenizer.chat_template = None
    assert "".join(llama.token(encoded.ids[each]) for each in places) == "Ann"


def test_several_cases_are_averaged_by_role(llama, plain_llama):
    """Over the queries of a role its mean, over the keys of a role the sum, then over cases."""
    step = AttendStep(prompts=GIVEN, heads=(HeadRef(1, 2),))
    work, table = step.bound(llama), rows(step, llama)
    assert work.expected == len(table)
    assert work.baseline["cases"] == 2
    each = []
    for case in GIVEN.prompts:
        ids = llama.encode(case).ids
        tokens = [*map(llama.token, ids)]
        differing = (
            [
                place
                for place, token in enumerate(llama.encode(Prompt(prompt=case.corrupt)).ids)
                if token != ids[place]
            ]
            if case.corrupt
            else []
        )
        roles = roles_of(tokens, [case.answer], [case.wrong], differing)
        each.append((roles, plain_llama.patterns(ids)[1][2]))
    for row in table.to_dicts():
        means = []
        for roles, pattern in each:
            queries = [at for at, role in enumerate(roles) if role == row["query_token"]]
            keys = [at for at, role in enumerate(roles) if role == row["key_token"]]
            if queries:
                sums = [sum(pattern[query, key].item() for key in keys) for query in queries]
                means.append(sum(sums) / len(sums))
        assert row["weight"] == pytest.approx(sum(means) / len(means), abs=TOLERANCE), row
    assert work.baseline["tokens"][row["query"]] == row["query_token"]
    for column in ("weight", "value_weighted"):
        sums = table.group_by("query").agg(pl.col(column).sum())[column]
        assert sums.to_list() == pytest.approx([1.0] * len(sums))


def test_cases_that_tell_no_roles_are_averaged_from_the_end(llama, plain_llama):
    texts = ("the sum of ", "one and 3 is 4, and")
    prompts = PromptSet(name="plain", prompts=tuple(Prompt(prompt=text) for text in texts))
    step = AttendStep(prompts=prompts, heads=(HeadRef(2, 3),))
    table, base = rows(step, llama), step.bound(llama).baseline
    every = [llama.encode(prompt).ids for prompt in prompts.prompts]
    shortest = min(map(len, every))
    counted = [f"−{left}" for left in range(shortest, 0, -1)]
    assert base["tokens"] == ["earlier", *counted]
    last = table.filter(query_token="−1", key_token="−2").item(0, "weight")
    wanted = [plain_llama.patterns(ids)[2][3][-1, -2].item() for ids in every]
    assert last == pytest.approx(sum(wanted) / 2, abs=TOLERANCE)
    asked = AttendStep(prompts=GIVEN, heads=(HeadRef(2, 3),), by="end")
    assert asked.bound(llama).baseline["tokens"][-1] == "−1"


@few
def test_patterns_of_heads_are_plain_counts(model, plainly):
    once = (9, 40, 17, 33, 60, 12)
    if model.info.family in ("GPT-Neo",):
        pytest.skip("its window is too short")
    table = rows(DetectStep(tokens=once), model)
    assert table["name"].to_list() == [str(head) for head in EVERY]
    n, every = len(once), of_every_head(plainly, once * 2)
    for row in table.to_dicts():
        a = every[row["layer"], row["head"]].tolist()
        wanted = {
            "previous": [a[i][i - 1] for i in range(1, 2 * n)],
            "duplicate": [a[i][i - n] for i in range(n, 2 * n)],
            "induction": [a[i][i - n + 1] for i in range(n, 2 * n)],
            "first": [a[i][0] for i in range(1, 2 * n)],
        }
        for name, values in wanted.items():
            assert row[name] == pytest.approx(sum(values) / len(values), abs=TOLERANCE)
        assert row["copying"] is None


def test_random_tokens_are_drawn_by_the_seed_and_said_twice(llama, plain_llama):
    step = DetectStep(length=7, seed=3, heads=(HeadRef(2, 1),))
    special = llama.tokenizer.all_special_ids
    plain = [each for each in range(len(llama.tokenizer)) if each not in special]
    once = tuple(Random("3 detect").sample(plain, 7))
    assert step.bound(llama).baseline["tokens"] == [*map(llama.token, once)]
    (row,) = rows(step, llama).to_dicts()
    again = rows(DetectStep(tokens=once, heads=step.heads), llama).to_dicts()
    assert again == [row]
    with pytest.raises(InputError, match="90 tokens said twice are 180; .* reads 128 at most"):
        DetectStep(length=90).bound(llama)


@few
def test_copying_is_the_share_of_tokens_that_raise_themselves_most(model, plainly):
    head = HeadRef(1, 2)
    (row,) = rows(DetectStep(tokens=(5, 6, 7), heads=(head,), copying=True), model).to_dicts()
    layer, embedding = plainly.layers[1], model.hf.get_input_embeddings().weight.double()
    copied = 0
    for token in range(VOCABULARY):
        vector = embedding[token]
        if plainly.case.attention_norm is not None:
            vector = plainly.weighted(part(layer, plainly.case.attention_norm), vector)
        written = plainly.value_output(1)[2] @ vector * plainly.attention_scale(None, 1)
        copied += plainly.direction(written, written).argmax().item() == token
    assert row["copying"] == pytest.approx(copied / VOCABULARY)


def test_a_head_that_is_made_to_copy_does(small):
    """Its values are the stream, its output the unembedding's way back."""
    plain = Plainly(small.hf, named("llama grouped"))
    before = rows(DetectStep(tokens=(5, 6, 7), heads=(HeadRef(0, 0),), copying=True), small)
    with torch.no_grad():
        value, out = plain.layers[0].self_attn.v_proj.weight, plain.attention_out(0).weight
        basis = torch.linalg.qr(torch.randn(32, 12, generator=torch.Generator().manual_seed(1)))[0]
        value[:12], out[:, :12] = basis.T, basis
    small.forget()
    after = rows(DetectStep(tokens=(5, 6, 7), heads=(HeadRef(0, 0),), copying=True), small)
    assert after["copying"].item() > 10 * before["copying"].item()
