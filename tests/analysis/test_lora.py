"""LoRA: trained above the kept residual stream as in the whole model, step by step."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import polars as pl
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from plainly import Plainly
from tiny import built, few, named
from torch import Tensor, nn
from working import rows, weights

from analysis.changing.training import Batches, Lora, train_batch
from analysis.changing.tuning import Tuning
from analysis.errors import Cancelled, InputError
from analysis.model.adapters import put_on, wearing
from analysis.model.loading import open_model
from analysis.model.model import Model
from analysis.model.passes import scored
from analysis.progress import cancellable, heard_by
from analysis.refs import NeuronRef
from analysis.steps import LoraStep
from analysis.tasks.prompts import Prompt, PromptSet

SUMS = PromptSet(
    name="sums",
    prompts=tuple(
        Prompt(prompt=f"{a} + {b} = ", answer=str(a + b), group="+")
        for a in range(2, 7)
        for b in range(2, 7)
    ),
)
"""Answers of one and of two tokens."""
FAST = Tuning(rank=4, alpha=8, rates=(2e-2,), epochs=3, batch=8)
TOLERANCE = 1e-5


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def adapted(hf: nn.Module, lora: Lora) -> list[str]:
    """Paths of the projections that an adapter is on while it is worn."""
    with lora.worn():
        names = [name for name, _ in hf.named_modules()]
    return [name.removesuffix(".lora_A") for name in names if name.endswith(".lora_A")]


def plain_loss(hf: nn.Module, model: Model, cases: list[Prompt]) -> Tensor:
    """Mean over the answer tokens of some cases, each case alone in the whole model."""
    losses = []
    for case in cases:
        each = model.encode(case)
        tokens = torch.tensor([[*each.ids, *each.answer_ids]])
        logits = hf(input_ids=tokens, use_cache=False).logits[0, len(each.ids) - 1 : -1]
        target = torch.tensor(each.answer_ids)
        losses.append(nn.functional.cross_entropy(logits.float(), target, reduction="none"))
    return torch.cat(losses).mean()


@few
def test_training_above_the_kept_residual_is_training_in_the_whole_model(case, fresh):
    encoded = [fresh.encode(each) for each in SUMS.prompts[:16]]
    lora = Lora(fresh, (1,), FAST, seed=3)
    first = [each.clone() for each in lora.state()]
    whole = built(case)
    paths = adapted(fresh.hf, lora)
    transposed = any(path.endswith("c_attn") for path in paths)  # as GPT-2 keeps its weights
    plain = get_peft_model(
        whole,
        LoraConfig(r=4, lora_alpha=8, target_modules=paths, fan_in_fan_out=transposed),
    ).eval()
    trained = [each for each in plain.parameters() if each.requires_grad]
    with torch.no_grad():
        for parameter, value in zip(trained, first, strict=True):
            parameter.copy_(value)
    # AdamW divides by the gradient's size: with its usual eps, steps along a gradient that is all
    # rounding would be as long as any.
    mine = torch.optim.AdamW(lora.parameters, lr=1e-2, eps=1e-2)
    theirs = torch.optim.AdamW(trained, lr=1e-2, eps=1e-2)
    batches = Batches(fresh, encoded, {0, 1}, 8)
    batches.prepare()
    for step in range(4):
        batch = step % 2
        with lora.worn():
            loss = train_batch(fresh, batches, batch, 1, mine)
        theirs.zero_grad()
        expected = plain_loss(plain, fresh, list(SUMS.prompts[8 * batch : 8 * batch + 8]))
        expected.backward()
        theirs.step()
        assert loss == pytest.approx(expected.item(), abs=TOLERANCE)
        for ours, other in zip(lora.parameters, trained, strict=True):
            assert (ours - other).abs().max() < TOLERANCE
    assert loss < plain_loss(built(case), fresh, list(SUMS.prompts[8:16])).item()


@few
def test_only_the_adapters_weights_change_and_the_model_is_as_before(case, fresh):
    before, parts = weights(fresh.hf), fresh.parts
    step = LoraStep(prompts=SUMS, layers=(1,), tuning=FAST)
    frames = step.bound(fresh).frames(())
    losses = []
    for frame in frames:
        # Brief steps run between two frames: the model must be itself then.
        assert same(before, weights(fresh.hf))
        assert fresh.parts is parts
        losses.append(frame["train_loss"][0])
    assert losses[2] < losses[0]
    assert not any("lora" in name for name, _ in fresh.hf.named_modules())
    assert not any(each.requires_grad for each in fresh.hf.parameters())


def test_the_adapter_is_on_every_projection_of_that_layers_attention(case, fresh):
    lora = Lora(fresh, (1,), FAST, seed=0)
    paths = adapted(fresh.hf, lora)
    attention = f"{case.layers}.1.{case.attention_out.rpartition('.')[0]}."
    assert all(path.startswith(attention) for path in paths)
    assert f"{case.layers}.1.{case.attention_out}" in paths
    names = {path.rpartition(".")[2] for path in paths}
    fused = {"qkv_proj", "c_attn", "query_key_value"}
    assert len(names) == (2 if names & fused else 4)
    ids = torch.tensor([fresh.encode(SUMS.prompts[0]).ids])
    entering = fresh.run(ids)[0][1].entering
    lora.load([each + 0.1 for each in lora.parameters])
    with lora.worn():
        calls, _ = fresh.run(ids)
    assert torch.equal(calls[1].entering, entering)
    assert not torch.allclose(calls[2].entering, fresh.run(ids)[0][2].entering)


def test_the_clean_runs_beyond_the_limit_are_computed_again(small):
    encoded = [small.encode(each) for each in SUMS.prompts]
    kept, again = (Batches(small, encoded, {0, 2}, 5, kept_bytes=bytes_) for bytes_ in (2**20, 0))
    for batches in (kept, again):
        batches.prepare()
    lora = Lora(small, (2,), FAST, seed=0)
    lora.load([each + 0.1 for each in lora.parameters])
    runs = []
    with lora.worn():
        plain = scored(small, encoded)
        lowest = small.hf.model.layers[0].mlp
        lowest.register_forward_hook(lambda *run: runs.append(run))
        for batches, again_run in ((kept, 0), (again, 5)):
            runs.clear()
            assert (batches.scores(2).logprob - plain.logprob).abs().max() < TOLERANCE
            assert len(runs) == again_run
    assert (plain.logprob - scored(small, encoded).logprob).abs().max() > TOLERANCE


def test_a_finished_adapter_is_a_folder_that_peft_opens_on_the_base_model(small, tmp_path):
    step = LoraStep(prompts=SUMS, layers=(0, 2), tuning=FAST)
    work = step.bound(small)
    work.place(tmp_path / "files")
    table = pl.concat(list(work.frames(())))
    finished = step.finished(table)
    assert finished["adapter"].to_list() == ["lora-L0", "lora-L2"]
    assert sorted(each.name for each in (tmp_path / "files").iterdir()) == ["lora-L0", "lora-L2"]
    test = [small.encode(each) for each in step.split.test]
    original = Plainly(small.hf, named("llama grouped"))
    for row in finished.to_dicts():
        folder = tmp_path / "files" / row["adapter"]
        assert not list(folder.glob("*.bin"))
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == small.info.source
        assert (config["r"], config["lora_alpha"]) == (4, 8)
        facts = json.loads((folder / "training.json").read_text())
        assert facts["accuracy"] == row["accuracy"]
        merged = PeftModel.from_pretrained(
            built(named("llama grouped")), str(folder)
        ).merge_and_unload()
        plain = Plainly(merged, named("llama grouped"))
        answers = [plain.answered(each.ids, each.answer_ids) for each in test]
        assert row["logprob"] == pytest.approx(sum(a for a, _ in answers) / len(test), abs=1e-4)
        assert row["prompt_correct"] == [right for _, right in answers]
        base = [original.answered(each.ids, each.answer_ids)[1] for each in test]
        assert row["original_accuracy"] == pytest.approx(sum(base) / len(base))


def test_the_best_epoch_of_all_rates_is_chosen_by_validation(small, tmp_path):
    tuning = Tuning(rank=2, alpha=4, rates=(5e-2, 1e-3), epochs=2, batch=8)
    step = LoraStep(prompts=SUMS, layers=(1,), tuning=tuning)
    table = rows(step, small)
    epochs, final = table.head(4), table.row(4, named=True)
    best = epochs.sort(["validation_accuracy", "validation_loss"], descending=[True, False])
    assert (final["rate"], final["epoch"]) == best.select("rate", "epoch").row(0)
    assert final["validation_loss"] == best["validation_loss"][0]


def test_the_same_seed_trains_the_same_adapter_and_another_one_another(small):
    step = LoraStep(prompts=SUMS, layers=(1,), tuning=FAST)
    torch.manual_seed(1)
    first = rows(step, small)
    torch.manual_seed(2)
    again = rows(step, small)
    assert first.drop("seconds").equals(again.drop("seconds"))
    other = rows(step.model_copy(update={"seed": 1}), small)
    assert not first["train_loss"].equals(other["train_loss"])


def test_one_adapter_on_layers_together(small):
    step = LoraStep(prompts=SUMS, layers=(2, 0), together=True, tuning=FAST)
    assert step.adapters == {"L0+2": (0, 2)}
    table = rows(step, small)
    assert table["name"].to_list()[-1] == "L0+2"
    assert table.height == 4
    whole = LoraStep(prompts=SUMS, layers=(0, 1, 2), together=True)
    assert list(whole.adapters) == ["L0-2"]


def test_finished_layers_are_skipped_and_begun_ones_start_over(small):
    step = LoraStep(prompts=SUMS, layers=(0, 1), tuning=FAST)
    table = rows(step, small)
    assert step.bound(small).expected == table.height == 8
    done = table["name"].to_list()[:6]  # the first layer, and two epochs of the second
    left = rows(step, small, done)
    assert left["name"].to_list() == table["name"].to_list()[6:]
    assert left.drop("seconds").equals(table[6:].drop("seconds"))


def test_it_tells_how_far_each_epoch_is(small):
    told: list[tuple[float, str]] = []
    step = LoraStep(prompts=SUMS, layers=(1,), tuning=FAST)
    frames = step.bound(small).frames(())
    with heard_by(lambda share, words: told.append((share, words))):
        next(frames)
    batches = -(-len(step.split.train) // FAST.batch)
    assert batches > 1
    epoch = [each for each in told if each[1].startswith("epoch 1 loss ")]
    assert [share for share, _ in epoch] == [(place + 1) / batches for place in range(batches)]


def test_it_stops_in_the_middle_of_an_epoch_and_leaves_the_model_alone(small):
    before = weights(small.hf)
    flag = threading.Event()
    with cancellable(flag):
        frames: Iterator[pl.DataFrame] = (
            LoraStep(prompts=SUMS, layers=(0, 1), tuning=FAST).bound(small).frames(())
        )
        next(frames)
        flag.set()
        with pytest.raises(Cancelled):
            next(frames)
    assert same(before, weights(small.hf))


def test_how_far_coefficients_rise_is_counted_from_plain_runs(small, tmp_path):
    compared = SUMS.model_copy(update={"prompts": SUMS.prompts[:3]})
    watched = (NeuronRef(2, 5), NeuronRef(0, 1))
    step = LoraStep(prompts=SUMS, layers=(0,), tuning=FAST, compared=compared, watched=watched)
    work = step.bound(small)
    work.place(tmp_path)
    row = pl.concat(list(work.frames(()))).row(-1, named=True)
    case = named("llama grouped")
    merged = PeftModel.from_pretrained(built(case), str(tmp_path / "lora-L0")).merge_and_unload()
    adapted, original = Plainly(merged, case), Plainly(small.hf, case)
    increases = []
    for prompt in compared.prompts:
        each = small.encode(prompt)
        frozen = adapted.run(each.ids).leaving[-1]
        token = each.answer_ids[0]
        change = adapted.importance(each.ids, token, frozen) - original.importance(
            each.ids, token, frozen
        )
        m, changed = (run.run(each.ids).coefficients.flatten() for run in (original, adapted))
        top = change.flatten().topk(10).indices
        rise = (m[top].sign() * changed[top]).sum() / m[top].abs().sum() - 1
        increases.append(rise.item())
    assert row["case_increase_10"] == pytest.approx(increases, abs=1e-3)
    assert row["increase_10"] == pytest.approx(sum(increases) / 3, abs=1e-3)
    ids = small.encode(compared.prompts[0]).ids
    m, changed = original.run(ids).coefficients, adapted.run(ids).coefficients
    assert row["watched_original"] == pytest.approx([m[2, 5].item(), m[0, 1].item()], abs=1e-4)
    assert row["watched_coefficient"] == pytest.approx(
        [changed[2, 5].item(), changed[0, 1].item()], abs=1e-4
    )


def test_splits_share_no_case(small):
    twice = SUMS.model_copy(update={"prompts": SUMS.prompts * 2})
    found = LoraStep(prompts=twice, layers=(0,)).split
    sets = [set(each) for each in (found.train, found.validation, found.test)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(SUMS)
    assert [len(each) for each in sets] == [21, 2, 2]
    test = PromptSet(name="test", prompts=SUMS.prompts[:4])
    own = LoraStep(prompts=SUMS, layers=(0,), test=test).split
    assert own.test == test.prompts
    assert not set(own.test) & {*own.train, *own.validation}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"tuning": {"rank": 0}}, "tuning: rank: Input should be greater than or equal to 1"),
        ({"tuning": {"rates": (1e-3, 0.0)}}, "learning rate 0: give numbers above 0"),
        ({"tuning": {"rates": (float("nan"),)}}, "learning rate nan: give numbers above 0"),
        ({"layers": (-1,)}, "layer -1: layers count from 0"),
        (
            {"prompts": PromptSet(name="few", prompts=SUMS.prompts[:2])},
            "few has 2 distinct cases; training takes at least 3",
        ),
        (
            {"prompts": PromptSet(name="open", prompts=(Prompt(prompt="Q"),))},
            "case 1 of open has no answer",
        ),
        ({"watched": (NeuronRef(0, 0),)}, "neurons can be watched where cases are compared"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, line):
    with pytest.raises(InputError) as error:
        LoraStep.of(**{"prompts": SUMS, "layers": (0,), **changes})
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("accuracies", "together", "line"),
    [
        ((0.2, 0.6), False, "best: L1 60.0% of the test cases, original 20.0%"),
        ((0.2, 0.2), False, "no layer beats the original's 20.0%; best: L0 20.0% of the test"),
        ((0.1, 0.0), True, "no adapter beats the original's 20.0%; best: L0 10.0% of the"),
    ],
)
def test_a_summary_says_whether_an_adapter_beats_the_original(accuracies, together, line):
    step = LoraStep(prompts=SUMS, layers=(0, 1), together=together)
    rows = [
        {
            "name": f"L{layer}",
            "layer": layer,
            "adapter": f"lora-L{layer}",
            "accuracy": accuracy,
            "original_accuracy": 0.2,
        }
        for layer, accuracy in enumerate(accuracies)
    ]
    assert step.summary(pl.DataFrame(rows)).startswith(line)


def test_what_does_not_fit_the_model_is_refused(small, tmp_path):
    with pytest.raises(InputError, match="layer 3 is out of range; small has layers 0 to 2"):
        LoraStep(prompts=SUMS, layers=(3,)).bound(small)
    with pytest.raises(InputError, match="rank 33 is more than the width 32"):
        LoraStep(prompts=SUMS, layers=(0,), tuning=Tuning(rank=33)).bound(small)
    step = LoraStep(prompts=SUMS, layers=(0,), tuning=FAST, out=tmp_path)
    work = step.bound(small)
    work.place(tmp_path / "elsewhere")
    list(work.frames(()))
    assert (tmp_path / "lora-L0").is_dir()
    step.bound(small)  # the same training may write the same adapter again
    with pytest.raises(InputError, match="has another lora-L0 already; choose another --out"):
        step.model_copy(update={"seed": 5}).bound(small)
    hf = built(named("llama grouped"))
    put_on(hf, tmp_path / "lora-L0")
    worn = open_model(hf, small.tokenizer, name="worn", adapter=tmp_path / "lora-L0")
    with pytest.raises(InputError, match="wears the adapter lora-L0 already"):
        LoraStep(prompts=SUMS, layers=(0,)).start(worn)


def test_a_layer_without_projections_is_refused(small):
    attention = small.parts.layers[1].attention
    for name, module in list(attention.named_children()):
        if isinstance(module, nn.Linear):
            setattr(attention, name, nn.Sequential())
    with pytest.raises(InputError, match="attention of layer 1 of small has no projection"):
        LoraStep(prompts=SUMS, layers=(1,)).bound(small)


def test_an_adapter_of_other_weights_is_refused_though_it_would_fit(small, tmp_path):
    hashed = [
        Model(small.hf, small.tokenizer, small.parts, info)
        for info in (
            small.info.model_copy(update={"weights_sha256": each}) for each in ("first", "second")
        )
    ]
    work = LoraStep(prompts=SUMS, layers=(0,), tuning=FAST).start(hashed[0])
    work.place(tmp_path)
    list(work.frames(()))
    adapter = tmp_path / "lora-L0"
    with wearing(hashed[0], adapter):
        pass
    with (
        pytest.raises(InputError, match="lora-L0 was trained on small, whose weights are not"),
        wearing(hashed[1], adapter),
    ):
        pass
    (adapter / "training.json").write_text("[" * 100_000)
    with wearing(hashed[1], adapter):  # nothing is known of it
        pass


def test_a_low_precision_model_is_trained_with_float32_weights(small):
    half = open_model(small.hf.to(torch.bfloat16), small.tokenizer, name="half")
    lora = Lora(half, (1,), FAST, seed=0)
    assert {each.dtype for each in lora.parameters} == {torch.float32}
    table = rows(LoraStep(prompts=SUMS, layers=(1,), tuning=FAST), half)
    assert table["train_loss"][2] < table["train_loss"][0]
    assert {each.dtype for each in half.hf.parameters()} == {torch.bfloat16}
