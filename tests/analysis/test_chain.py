"""The four-stage chain: its nodes and edges, each computed again by its definition."""

from __future__ import annotations

from functools import cache

import polars as pl
import pytest
import torch
from plainly import Plainly, log_softmax
from test_carry import carried_by_heads
from tiny import TinyCase, few, named, opened
from working import rows

from analysis.errors import InputError
from analysis.methods.directions import keys_in_call
from analysis.model.model import Model
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import ChainStep, CnaStep, HeadsStep
from analysis.tasks.prompts import Prompt, PromptSet

PROMPT = Prompt(prompt="the sum of 3 is ", answer="three")
STEP = ChainStep(prompt=PROMPT, head=HeadRef(1, 1), deep=4, shallow=5, layers=1)
TOLERANCE = 2e-5


@cache
def chained(case: TinyCase) -> tuple[Model, Plainly, dict[str, dict], dict]:
    """A model, its plain twin, the rows of the chain by name, and what they are compared with."""
    model = opened(case)
    work = STEP.bound(model)
    table = pl.concat(list(work.frames(())))
    assert table.height == work.expected
    assert table["name"].is_unique().all()
    return (
        model,
        Plainly(model.hf, case),
        {row["name"]: row for row in table.to_dicts()},
        work.baseline,
    )


def edges(node: dict) -> dict[str, float]:
    return dict(zip(node["to"], node["weight"], strict=True))


def of_stage(nodes: dict[str, dict], stage: int) -> list[dict]:
    return [node for node in nodes.values() if node["stage"] == stage]


def stronger(model: Model, node: dict) -> torch.Tensor:
    """[d] the direction in which a deep neuron's coefficient grows in size."""
    ref = NeuronRef.parse(node["name"])
    calls, _ = model.run(torch.tensor([model.encode(PROMPT).ids]))
    (key,) = keys_in_call(model, calls[ref.layer], ref.layer, [ref.index]).double()
    return key if node["coefficient"] > 0 else -key


@few
def test_the_deep_neurons_are_those_above_the_head_that_it_changes_most(case):
    model, _, nodes, base = chained(case)
    step = CnaStep(prompt=PROMPT, ablate={"heads": ["L1H1"]}, top=None)
    table = step.ranked(rows(step, model))
    fed = min(node["layer"] for node in of_stage(nodes, 4))
    assert fed >= 1
    wanted = table.filter(pl.col("layer") >= (2 if reads_no_attention(case) else 1)).head(4)
    assert [node["name"] for node in of_stage(nodes, 4)] == wanted["name"].to_list()
    for node, row in zip(of_stage(nodes, 4), wanted.to_dicts(), strict=True):
        assert node["score"] == pytest.approx(row["importance_change"], abs=TOLERANCE)
        assert node["coefficient"] == pytest.approx(row["coefficient"], abs=TOLERANCE)
        assert edges(node)["answer"] == pytest.approx(row["importance"], abs=TOLERANCE)
        assert node["tokens"] == row["tokens"]
    lowest = wanted.filter(pl.col("layer") == wanted["layer"].min())
    assert base["root"] == lowest.sort("importance")["name"][-1]


def reads_no_attention(case: TinyCase) -> bool:
    """Parallel blocks: the FFN reads what the attention reads."""
    return case.name in (
        "stablelm parallel",
        "phi",
        "phi grouped",
        "gptj",
        "gpt neox",
        "falcon",
        "falcon new",
        "falcon new, one norm",
    )


@few
def test_an_edge_between_neurons_is_what_the_lower_writes_along_the_key_of_the_upper(case):
    model, plainly, nodes, _ = chained(case)
    ids = model.encode(PROMPT).ids
    deep = of_stage(nodes, 4)
    for node in deep:
        ref = NeuronRef.parse(node["name"])
        written = plainly.contributions(ids, ref.layer)[ref.index]
        above = {
            other["name"]: (written @ stronger(model, other)).item()
            for other in deep
            if other["layer"] > ref.layer
        }
        found = edges(node)
        found.pop("answer")
        assert found == pytest.approx(above, abs=TOLERANCE)


@few
def test_the_head_feeds_each_neuron_with_what_it_writes_along_its_key(case):
    model, plainly, nodes, base = chained(case)
    written = plainly.head_outputs(model.encode(PROMPT).ids, 1)[1]
    wanted = {node["name"]: (written @ stronger(model, node)).item() for node in of_stage(nodes, 4)}
    assert edges(nodes["L1H1"]) == pytest.approx(wanted, abs=TOLERANCE)
    assert nodes["L1H1"]["score"] == pytest.approx(wanted[base["root"]], abs=TOLERANCE)


@few
def test_a_layer_is_weighed_by_what_it_writes_and_by_what_the_head_reads_of_it(case):
    model, plainly, nodes, base = chained(case)
    ids = model.encode(PROMPT).ids
    (layer,) = of_stage(nodes, 2)
    assert layer["name"] == "L0"
    key = stronger(model, nodes[base["root"]])
    written = plainly.run(ids).attention[0]
    assert layer["score"] == pytest.approx((written @ key).item(), abs=TOLERANCE)
    total = 0.0
    silent = plainly.copied()  # what attention wrote, everywhere: the stream with and without it
    for position, added in enumerate(attention_everywhere(silent, ids)):
        heads = carried_by_heads(plainly, ids, 1, position, added[None])
        total += (heads[0, 1] @ key).item()
    assert edges(layer) == pytest.approx({"L1H1": total}, abs=TOLERANCE)


def attention_everywhere(plainly: Plainly, ids: tuple[int, ...]) -> torch.Tensor:
    """[n, d] what attention of the first layer adds: the stream less the words less the FFN."""
    added = plainly.stream(ids, 1) - plainly.stream(ids, 0)
    neurons = [plainly.contributions(ids, 0, at).sum(0) for at in range(len(ids))]
    rest = added - torch.stack(neurons)
    bias = plainly.ffn_out(0).bias
    if bias is not None:
        rest = rest - bias.double() * plainly.case.residual_multiplier
    return rest


@few
def test_the_shallow_nodes_are_those_of_which_most_is_carried(case):
    model, plainly, nodes, base = chained(case)
    ids = model.encode(PROMPT).ids
    key = stronger(model, nodes[base["root"]])
    shares = {}
    for position in range(len(ids)):
        word = plainly.stream(ids, 0)[position, None]
        by_layer = carried_by_heads(plainly, ids, 0, position, word).sum(1) @ key
        by_head = carried_by_heads(plainly, ids, 1, position, word)[:, 1] @ key
        shares[f"word@{position}"] = max((by_layer.item(), "L0"), (by_head.item(), "L1H1"))
        neurons = plainly.contributions(ids, 0, position)
        carried = carried_by_heads(plainly, ids, 1, position, neurons)[:, 1] @ key
        for neuron, share in enumerate(carried.tolist()):
            shares[f"L0N{neuron}@{position}"] = (share, "L1H1")
    wanted = sorted(shares.items(), key=lambda item: -item[1][0])[:5]
    found = of_stage(nodes, 1)
    assert [node["name"] for node in found] == [name for name, _ in wanted]
    for node, (_, (share, to)) in zip(found, wanted, strict=True):
        assert node["score"] == pytest.approx(share, abs=TOLERANCE)
        assert edges(node) == pytest.approx({to: share}, abs=TOLERANCE)
        assert node["through"] == (0 if to == "L0" else 1)
        assert node["reads"] == model.token(ids[node["position"]])


@few
def test_without_a_node_the_answer_is_as_probable_as_with_its_weights_taken_away(case):
    model, plainly, nodes, base = chained(case)
    ids = model.encode(PROMPT).ids
    token = base["answer_id"]
    assert base["prob"] == pytest.approx(plain_prob(plainly, ids, token), abs=TOLERANCE)
    for node in nodes.values():
        if node["part"] is None:
            assert node["prob_without"] is None
            continue
        if node["stage"] in (1, 4):
            ref = NeuronRef.parse(node["part"])
            assert str(ref) == node["name"].partition("@")[0]
            edited = plainly.without_neurons((ref.layer, ref.index))
        elif node["stage"] == 2:
            edited = plainly.without_heads(*((0, head) for head in range(model.info.heads)))
        else:
            edited = plainly.without_heads((1, 1))
        assert node["prob_without"] == pytest.approx(plain_prob(edited, ids, token), abs=TOLERANCE)


def plain_prob(plainly: Plainly, ids: tuple[int, ...], token: int) -> float:
    return log_softmax(plainly.logits(ids))[token].exp().item()


def test_shallow_nodes_say_what_they_are_and_what_attention_makes_of_them(llama, plain_llama):
    ids = llama.encode(PROMPT).ids
    frozen = plain_llama.run(ids).leaving[-1]
    table = rows(STEP.model_copy(update={"shallow": 200}), llama)
    seen = set()
    for node in table.filter(stage=1).to_dicts():
        position, through = node["position"], node["through"]
        if node["part"] is None:
            vector = plain_llama.stream(ids, 0)[position]
        else:
            ref = NeuronRef.parse(node["part"])
            vector = plain_llama.contributions(ids, ref.layer, position)[ref.index]
        seen.add((node["part"] is None, through))
        assert node["tokens"] == top_tokens(llama, plain_llama.direction(vector, frozen))
        if through == 1:  # the head's own layer: by the head alone
            read = plain_llama.into_attention(ids, 1, -1, vector)
            moved = plain_llama.value_output(1)[1] @ read
        else:
            moved = plain_llama.transformed(vector, through, ids)
        assert node["tokens_through"] == top_tokens(llama, plain_llama.direction(moved, frozen))
    assert seen == {(True, 0), (True, 1), (False, 1)}


def top_tokens(model: Model, logits: torch.Tensor) -> list[str]:
    return [model.token(token) for token in logits.topk(10).indices.tolist()]


def test_the_layers_shown_carry_the_strongest_shallow_nodes(llama):
    step = ChainStep(prompt=PROMPT, head=HeadRef(2, 0), shallow=6, layers=2)
    both = rows(step, llama)
    one = rows(step.model_copy(update={"layers": 1}), llama)
    for table, count in ((both, 2), (one, 1)):
        shown = table.filter(stage=2)["name"].to_list()
        assert len(shown) == count
        fed = {name for to in table.filter(stage=1)["to"] for name in to}
        assert fed <= {*shown, "L2H0"}
    # With a layer less to go through, nothing arrives stronger.
    assert (one.filter(stage=1)["score"] <= both.filter(stage=1)["score"] + TOLERANCE).all()


def test_without_a_head_the_costliest_one_is_taken(llama):
    step = HeadsStep(prompts=PromptSet(name="one", prompts=(Prompt(prompt=PROMPT.prompt),)))
    free = ChainStep(prompt=Prompt(prompt=PROMPT.prompt))
    swept = step.ranked(rows(step, llama)).filter(pl.col("layer") > 0)
    assert free.bound(llama).baseline["head"] == swept["name"][0]


def test_a_chain_goes_on_with_the_nodes_that_are_left(llama):
    table = rows(STEP, llama)
    done = table["name"][:6].to_list()
    assert rows(STEP, llama, done).equals(table[6:])


def test_the_first_token_of_the_answer_counts(llama):
    long = STEP.model_copy(update={"prompt": Prompt(prompt=PROMPT.prompt, answer="three one")})
    assert rows(long, llama).equals(rows(STEP, llama))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("L0H1", "L0H1 is in the first layer, so nothing feeds it; choose a head of layer 1"),
        ("L3H0", "L3H0 is not in .*layers 0 to 2"),
        ("L1H4", "L1H4 is not in .*heads 0 to 3"),
    ],
)
def test_a_head_that_cannot_stand_in_a_chain_is_refused(llama, head, message):
    with pytest.raises(InputError, match=message):
        ChainStep(prompt=PROMPT, head=head).bound(llama)


def test_in_parallel_blocks_the_last_layer_s_heads_feed_no_neuron():
    model = opened(named("gptj"))
    with pytest.raises(InputError, match="L2H0 is in the last layer, whose FFN does not read it"):
        ChainStep(prompt=PROMPT, head="L2H0").bound(model)
    assert ChainStep(prompt=PROMPT).bound(model).baseline["head"].startswith("L1H")


@pytest.mark.parametrize("name", ["deep", "shallow", "layers"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"step chain: {name}"):
        ChainStep.of(prompt=PROMPT, **{name: 0})
