"""Pruning: what is kept against plain CNA, and the compact form against zeroed weights."""

from __future__ import annotations

import copy

import polars as pl
import pytest
import torch
from peft import PeftModel
from plainly import Plainly, matrix
from tiny import TinyCase, built, few, named, tokenizer
from torch import Tensor, nn
from working import rows, weights

from analysis.changing import prune
from analysis.changing.compact import Kept, compacted, compare_forms, masked
from analysis.changing.prune import case_name
from analysis.changing.tuning import Tuning
from analysis.errors import InputError
from analysis.methods.neurons import most_changed
from analysis.model.loading import open_model
from analysis.model.model import Model
from analysis.refs import HeadRef
from analysis.steps import LoraStep, PruneStep
from analysis.tasks.prompts import Prompt, PromptSet

SUMS = PromptSet(
    name="sums",
    prompts=tuple(
        Prompt(prompt=f"{a} + {b} = ", answer=str(a + b)) for a in range(2, 6) for b in range(2, 6)
    ),
)
FAST = Tuning(rank=4, alpha=8, rates=(2e-2,), epochs=2, batch=8)
KEPT: Kept = {
    1: torch.tensor([0, 3, 4, 11, 23]),
    2: torch.tensor([], dtype=torch.long),
}
"""One layer with a few neurons, one with none."""
TOKENS = torch.tensor([[5, 17, 30, 42, 9, 77, 12, 60]])
TOLERANCE = 1e-5


def pruned_plainly(model: Model, case: TinyCase, kept: Kept) -> Plainly:
    """A copy whose other neurons have values of zero."""
    copied = Plainly(copy.deepcopy(model.hf), case)
    with torch.no_grad():
        for layer, some in kept.items():
            columns = matrix(copied.ffn_out(layer))
            gone = torch.ones(columns.shape[1], dtype=torch.bool)
            gone[some] = False
            columns[:, gone] = 0
    return copied


def logits(hf: nn.Module) -> Tensor:
    with torch.no_grad():
        found = hf(input_ids=TOKENS, use_cache=False).logits
    assert isinstance(found, Tensor)
    return found


@few
def test_both_forms_are_the_model_with_zeroed_values(case, fresh):
    expected = logits(pruned_plainly(fresh, case, KEPT).hf)
    whole = logits(fresh.hf)
    largest = expected.abs().max()
    assert (expected - whole).abs().max() > 1000 * TOLERANCE * largest
    with masked(fresh, KEPT):
        assert (logits(fresh.hf) - expected).abs().max() < TOLERANCE * largest
    with compacted(fresh, KEPT):
        assert (logits(fresh.hf) - expected).abs().max() < TOLERANCE * largest
    assert torch.equal(logits(fresh.hf), whole)


@few
def test_the_compact_form_really_holds_less_and_leaves_no_trace(case, fresh):
    before, parts = weights(fresh.hf), fresh.parts
    modules = dict(fresh.hf.named_modules())
    ins = [getattr(parts.layers[0], name) for name in ("ffn_gate", "ffn_up", "ffn_gate_up")]
    reading = [each for each in ins if each is not None]
    numbers = [parameter.numel() for each in reading for parameter in each.parameters()]
    a_neuron = (sum(numbers) + parts.layers[0].ffn_out.weight.numel()) // fresh.info.neurons
    gone = len(KEPT) * fresh.info.neurons - sum(map(len, KEPT.values()))
    with compacted(fresh, KEPT):
        small = fresh.hf.num_parameters()
        for layer, some in KEPT.items():
            assert fresh.parts.layers[layer].ffn_out.in_features == len(some)
    assert fresh.hf.num_parameters() - small == gone * a_neuron
    after = weights(fresh.hf)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert dict(fresh.hf.named_modules()) == modules
    assert fresh.parts is parts


def test_the_forms_are_measured_side_by_side(small):
    forms = compare_forms(small, KEPT)
    assert forms.difference < TOLERANCE
    assert forms.masked.parameters == small.info.parameters
    assert forms.compact.bytes == 4 * forms.compact.parameters < forms.masked.bytes
    assert min(forms.masked.seconds, forms.compact.seconds) > 0


def plainly_kept(
    model: Model, first: Plainly, second: Plainly, cases: list[Prompt], top: int, deep: int
) -> set[str]:
    """The union of the cases' top neurons by the change of their importance, of deep layers."""
    found = set()
    for case in cases:
        each = model.encode(case)
        frozen = first.run(each.ids).leaving[-1]
        token = each.answer_ids[0]
        change = first.importance(each.ids, token, frozen) - second.importance(
            each.ids, token, frozen
        )
        for flat in change.flatten().topk(top).indices.tolist():
            layer, neuron = divmod(flat, change.shape[1])
            if layer >= deep:
                found.add(f"L{layer}N{neuron}")
    return found


def test_the_neurons_kept_are_those_of_plain_cna_with_the_head_zeroed(small):
    step = PruneStep(prompts=SUMS, head=HeadRef(1, 2), top=9, from_layer=1, cases=4)
    everything = rows(step, small)
    table = step.finished(everything)
    assert tuple(table["name"]) == ("original", "pruned", "pruned, compact", "random")
    plain = Plainly(small.hf, named("llama grouped"))
    cases = [*step.split.train[:4]]
    expected = plainly_kept(small, plain, plain.without_heads((1, 2)), cases, top=9, deep=1)
    pruned = table.row(1, named=True)
    assert set(pruned["kept_neurons"]) == expected
    assert pruned["neurons"] == len(expected)
    assert pruned["kept"] == pytest.approx(len(expected) / 48)
    for number, case in enumerate(cases):
        row = everything.row(by_predicate=pl.col("name") == case_name(number), named=True)
        own = plainly_kept(small, plain, plain.without_heads((1, 2)), [case], top=9, deep=1)
        assert set(row["kept_neurons"]) == own
        assert row["neurons"] == len(own)


def by_layer(names: list[str]) -> dict[str, int]:
    layers = [name.partition("N")[0] for name in names]
    return {layer: layers.count(layer) for layer in layers}


def test_the_random_control_has_as_many_neurons_in_each_layer_and_follows_the_seed(small):
    step = PruneStep(prompts=SUMS, head=HeadRef(1, 2), top=9, from_layer=1, cases=4)
    table = rows(step, small)
    kept, drawn = (
        table.filter(pl.col("name") == name)["kept_neurons"][0].to_list()
        for name in ("pruned", "random")
    )
    assert by_layer(kept) == by_layer(drawn)
    assert not set(kept) & set(drawn)
    again = rows(step, small)
    assert again["kept_neurons"].equals(table["kept_neurons"])


def test_accuracy_is_that_of_the_model_with_zeroed_values(small):
    step = PruneStep(prompts=SUMS, head=HeadRef(1, 2), top=9, from_layer=1, cases=4)
    case = named("llama grouped")
    test = [small.encode(each) for each in step.split.test]
    for row in step.finished(rows(step, small)).to_dicts():
        names = row["kept_neurons"]
        kept = {
            layer: torch.tensor(
                [int(name.split("N")[1]) for name in names or () if name.startswith(f"L{layer}N")],
                dtype=torch.long,
            )
            for layer in (1, 2)
        }
        plain = pruned_plainly(small, case, {} if names is None else kept)
        answers = [plain.answered(each.ids, each.answer_ids) for each in test]
        logprob = sum(value for value, _ in answers) / len(test)
        assert row["logprob"] == pytest.approx(logprob, abs=1e-4), row["name"]
        assert row["prompt_correct"] == [right for _, right in answers]


def test_an_adapter_is_compared_and_lora_trained_on_top_of_both_cuts(small, tmp_path):
    training = LoraStep(prompts=SUMS, layers=(0,), tuning=FAST).bound(small)
    training.place(tmp_path)
    list(training.frames(()))
    adapter = tmp_path / "lora-L0"
    step = PruneStep(
        prompts=SUMS, adapter=adapter, top=9, from_layer=1, cases=3, layer=0, tuning=FAST
    )
    before = weights(small.hf)
    table = step.finished(rows(step, small))
    assert all(torch.equal(before[name], value) for name, value in small.hf.state_dict().items())
    case = named("llama grouped")
    merged = Plainly(PeftModel.from_pretrained(built(case), str(adapter)).merge_and_unload(), case)
    plain = Plainly(small.hf, case)
    expected = plainly_kept(small, merged, plain, [*step.split.train[:3]], top=9, deep=1)
    found = {row["name"]: row for row in table.to_dicts()}
    assert set(found["pruned"]["kept_neurons"]) == expected
    assert found["pruned + LoRA"]["rate"] == 2e-2
    assert found["pruned + LoRA"]["train_accuracy"] is not None
    assert found["pruned + LoRA"]["logprob"] != found["pruned"]["logprob"]
    assert list(found) == list(step.forms)
    # Without an adapter one is trained first, as the step before did.
    own = step.finished(rows(step.model_copy(update={"adapter": None}), small))
    assert set(own.row(2, named=True)["kept_neurons"]) == expected
    done = [*step.forms[:5], *map(case_name, range(3))]
    left = rows(step, small, done=done)
    assert left["name"].to_list() == ["random", "random + LoRA"]
    assert left.drop("seconds").equals(table[5:].drop("seconds"))


def test_cases_found_before_a_stop_are_not_compared_again(small, monkeypatch):
    step = PruneStep(prompts=SUMS, head=HeadRef(1, 2), top=9, from_layer=1, cases=4)
    work = step.bound(small)
    whole = pl.concat(list(work.frames(())))
    assert work.expected == whole.height == 4 + len(step.forms)
    assert whole["name"].to_list()[:5] == ["original", *map(case_name, range(4))]
    compared = []

    def seen(*arguments):
        compared.append(arguments)
        return most_changed(*arguments)

    monkeypatch.setattr(prune, "most_changed", seen)
    before = whole[:4]
    again = step.bound(small)
    assert again.recall is not None
    again.recall(before)
    left = pl.concat(list(again.frames(before["name"].to_list())))
    assert len(compared) == 1
    assert left.drop("seconds").equals(whole[4:].drop("seconds"))
    forged = before.with_columns(kept_neurons=pl.lit(["L1N99"]))
    with pytest.raises(InputError, match="L1N99 is not in small"):
        step.bound(small).recall(forged)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"head": None}, "give a head, an adapter, or a layer to train LoRA on"),
        ({"adapter": "somewhere"}, "give a head or an adapter to compare with, not both"),
        ({"top": 0}, "top: Input should be greater than or equal to 1"),
        ({"from_layer": -1}, "from_layer: Input should be greater than or equal to 0"),
    ],
)
def test_what_cannot_be_pruned_is_refused(changes, line):
    with pytest.raises(InputError) as error:
        PruneStep.of(**{"prompts": SUMS, "head": HeadRef(0, 0), "from_layer": 1, **changes})
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"top": 1_000}, "--top 1,000 is more than the 72 neurons of small"),
        ({"from_layer": 3}, "--from-layer 3 is out of range; small has layers 0 to 2"),
        ({"head": HeadRef(7, 0)}, "L7H0 is not in small"),
        ({"layer": 5}, "layer 5 is out of range"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(small, changes, line):
    step = PruneStep.of(**{"prompts": SUMS, "head": HeadRef(0, 0), "from_layer": 1, **changes})
    with pytest.raises(InputError) as error:
        step.bound(small)
    assert line in str(error.value)


def test_a_folder_that_is_no_adapter_or_another_models_is_refused(small, tmp_path):
    with pytest.raises(InputError, match="is not an adapter folder"):
        PruneStep(prompts=SUMS, adapter=tmp_path, from_layer=1, top=9).bound(small)
    gpt = open_model(built(named("gpt2")), tokenizer(False), name="gpt")
    training = LoraStep(prompts=SUMS, layers=(0,), tuning=FAST).bound(gpt)
    training.place(tmp_path)
    list(training.frames(()))
    step = PruneStep(prompts=SUMS, adapter=tmp_path / "lora-L0", from_layer=1, top=9)
    with pytest.raises(InputError, match="adapter lora-L0 does not fit LlamaForCausalLM"):
        rows(step, small)


def test_an_ffn_of_packed_weights_is_refused(small):
    layer = small.parts.layers[1].module.mlp
    layer.up_proj.weight = nn.Parameter(torch.zeros(24, 32, dtype=torch.int8), requires_grad=False)
    with (
        pytest.raises(InputError, match="the FFN of small cannot be made smaller"),
        compacted(small, KEPT),
    ):
        pass
