"""Direct attribution, against vectors taken out one by one and read by the frozen norm."""

from __future__ import annotations

import pytest
import torch
from plainly import Plainly, log_softmax
from tiny import few
from working import rows

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods import inputs
from analysis.steps import DirectStep, InputsStep
from analysis.tasks.prompts import Prompt, PromptSet

CASE = Prompt(prompt="the sum of one and 3 is ", answer="4", wrong="7")
ALONE = CASE.model_copy(update={"wrong": None})
CASES = PromptSet(
    name="three",
    prompts=(
        CASE,
        CASE.model_copy(update={"answer": "5"}),
        Prompt(prompt="2", answer="3", wrong="1"),
    ),
)
TOLERANCE = 1e-4
COUNTED_TWICE = "falcon alibi"
"""Its eager attention, the plain way to the weights, is not what the model computes."""


class Plain:
    """What a vector adds in a case, with nothing shared with `analysis`."""

    def __init__(self, model, plainly: Plainly, case: Prompt) -> None:
        encoded = model.encode(case)
        self.plainly, self.ids = plainly, encoded.ids
        self.answer, self.wrong = encoded.answer_ids[0], encoded.wrong
        self.run = plainly.run(encoded.ids)
        self.frozen = self.run.leaving[-1]

    def _of(self, logits: torch.Tensor) -> float:
        wrong = logits[self.wrong[0]] if self.wrong else 0.0
        return (logits[self.answer] - wrong).item()

    @property
    def total(self) -> float:
        return self._of(self.plainly.logits(self.ids))

    def share(self, vector: torch.Tensor) -> float:
        added = self.plainly.direction(vector, self.frozen)
        if (cap := self.plainly.case.softcap) is not None:
            capped = self.plainly.readout(self.frozen, self.frozen)
            added = added * capped / (cap * torch.atanh(capped / cap))
        return self._of(added)

    def increase(self, x: torch.Tensor, vector: torch.Tensor) -> float:
        def logprob(x: torch.Tensor) -> float:
            return log_softmax(self.plainly.readout(x, self.frozen))[self.answer].item()

        return logprob(x + vector) - logprob(x)

    def parts(self):
        """Name, what it is added to, and the vector of every part but the final biases."""
        run = self.run
        yield "embedding", torch.zeros_like(self.frozen), run.entering[0]
        for layer in range(len(run.entering)):
            heads = self.plainly.head_outputs(self.ids, layer)
            for head, vector in enumerate(heads):
                yield f"L{layer}H{head}", run.entering[layer], vector
            yield (
                f"L{layer} attention bias",
                run.entering[layer],
                run.attention[layer] - heads.sum(0),
            )
            yield f"L{layer}F", run.before_ffn[layer], run.ffn[layer]

    def sources(self, layer: int):
        """[H, n, d] what each head writes of each position."""
        plain, ids = self.plainly, self.ids
        streams = plain.stream(ids, layer)
        read = torch.stack(
            [plain.into_attention(ids, layer, at, streams[at]) for at in range(len(ids))]
        )
        if (
            plain.case.attention_norm
            and (
                norm := plain.layers[layer].get_submodule(plain.case.attention_norm)
            ).__class__.__name__
            == "LayerNorm"
        ):
            read = read + norm.bias.double()
        values = torch.einsum("hdx,nx->hnd", plain.value_output(layer), read)
        values = values * plain.attention_scale(ids, layer)
        looks = plain.patterns(ids)[layer][:, -1]
        # Biases of the values, which come with whatever is attended to.
        rest = plain.head_outputs(ids, layer) - torch.einsum("hn,hnd->hd", looks, values)
        return looks[:, :, None] * (values + rest[:, None] / looks.sum(-1)[:, None, None])


@pytest.mark.parametrize("prompt", [CASE, ALONE], ids=["difference", "logit"])
def test_the_parts_have_their_shares_and_sum_to_the_models_own_logits(model, plainly, prompt):
    plain = Plain(model, plainly, prompt)
    step = DirectStep(prompt=prompt)
    work, table = step.bound(model), rows(step, model)
    known = {row["name"]: row for row in table.to_dicts()}
    for name, x, vector in plain.parts():
        if name not in known:  # attention without a bias
            assert vector.abs().max() < TOLERANCE
            continue
        row = known.pop(name)
        assert row["logit_difference"] == pytest.approx(plain.share(vector), abs=TOLERANCE), name
        assert row["logprob_increase"] == pytest.approx(plain.increase(x, vector), abs=TOLERANCE), (
            name
        )
    assert set(known) <= {"final bias"}
    assert table["logit_difference"].sum() == pytest.approx(plain.total, abs=TOLERANCE)
    base = work.baseline
    assert base[base["metric"]] == pytest.approx(plain.total, abs=TOLERANCE)
    assert base["sum"] == pytest.approx(plain.total, abs=TOLERANCE)
    assert base["off"] < TOLERANCE
    parts = ("embedding", "heads", "ffn", "biases")
    assert base["sum"] == pytest.approx(sum(base[each] for each in parts))


def test_neurons_have_theirs_and_sum_to_the_same(model, plainly):
    plain = Plain(model, plainly, CASE)
    count = model.info.layers * model.info.neurons
    step = DirectStep(prompt=CASE, unit="neuron", top=count)
    table, base = rows(step, model), step.bound(model).baseline
    assert base["off"] < TOLERANCE
    assert table["logit_difference"].sum() == pytest.approx(base["neurons"], abs=TOLERANCE)
    assert table["logit_difference"].abs().is_sorted(descending=True)
    wanted = torch.stack(
        [plainly.contributions(plain.ids, layer) for layer in range(model.info.layers)]
    )
    increases = plainly.importance(plain.ids, plain.answer, plain.frozen)
    for row in table.to_dicts()[:: count // 12]:
        at = row["layer"], row["neuron"]
        assert row["logit_difference"] == pytest.approx(plain.share(wanted[at]), abs=TOLERANCE)
        assert row["logprob_increase"] == pytest.approx(increases[at].item(), abs=TOLERANCE)


def test_a_head_is_the_sum_of_what_it_brings_from_each_position(model, plainly):
    plain = Plain(model, plainly, CASE)
    heads = ("L1H0", "L2H3")
    step = DirectStep(prompt=CASE, sources=heads)
    table, base = rows(step, model), step.bound(model).baseline
    assert base["sources_off"] < TOLERANCE
    assert table["name"].to_list() == [
        f"{each}@{at}" for each in heads for at in range(len(plain.ids))
    ]
    if plainly.case.name == COUNTED_TWICE:
        return
    for row in table.to_dicts():
        layer, head, at = row["layer"], row["head"], row["position"]
        vector = plain.sources(layer)[head, at]
        entering = plain.run.entering[layer]
        assert row["token"] == model.token(plain.ids[at])
        assert row["logit_difference"] == pytest.approx(plain.share(vector), abs=TOLERANCE)
        assert row["logprob_increase"] == pytest.approx(
            plain.increase(entering, vector), abs=TOLERANCE
        )


def test_heads_scaled_in_a_variant_bring_as_much_less(llama):
    half = (Intervention.parse("L1H2", factor=0.5),)
    whole, scaled = (
        DirectStep(prompt=CASE, sources=("L1H2",), changes=changes) for changes in ((), half)
    )
    assert scaled.bound(llama).baseline["sources_off"] < TOLERANCE
    shares = [rows(each, llama)["logit_difference"] for each in (whole, scaled)]
    assert (shares[0] - shares[1]).abs().max() > TOLERANCE


def test_cases_have_means_with_intervals(llama):
    step = DirectStep(prompt=CASE).over(CASES)
    table = {row["name"]: row for row in rows(step, llama).to_dicts()}
    each = [rows(step.for_case(one), llama) for one in CASES.prompts]
    for name in ("embedding", "L1H2", "L2F"):
        for column, low, high in (
            ("logit_difference", "low", "high"),
            ("logprob_increase", "logprob_low", "logprob_high"),
        ):
            alone = [one.filter(name=name)[column].item() for one in each]
            row = table[name]
            assert row[f"case_{column}"] == pytest.approx(alone)
            assert row[column] == pytest.approx(sum(alone) / 3)
            assert min(alone) <= row[low] < row[column] < row[high] <= max(alone)
    base = step.bound(llama).baseline
    assert base["cases"] == 3
    assert base["sum"] == pytest.approx(base["logit_difference"], abs=TOLERANCE)


def test_neurons_over_cases_are_ranked_by_their_mean(llama):
    step = DirectStep(prompt=CASE, unit="neuron", top=5).over(CASES)
    table = rows(step, llama)
    every = [
        rows(DirectStep(prompt=one, unit="neuron", top=72), llama).sort("layer", "neuron")
        for one in CASES.prompts
    ]
    means = sum(each["logit_difference"] for each in every) / 3
    best = every[0]["name"].gather(means.abs().arg_sort(descending=True).head(5))
    assert table["name"].to_list() == best.to_list()


def test_sources_stand_at_places_that_all_cases_have(llama):
    step = DirectStep(prompt=CASE, sources=("L1H2",)).over(CASES)
    with pytest.raises(InputError, match="not the same in all"):
        step.bound(llama)
    step = step.model_copy(update={"positions": (-1,)})
    (row,) = rows(step, llama).to_dicts()
    assert (row["name"], row["position"], row["token"]) == ("L1H2@-1", -1, None)


def test_it_goes_on_where_it_stopped(llama):
    for how in ({}, {"unit": "neuron", "top": 9}, {"sources": ("L0H1", "L2H0")}):
        step = DirectStep(prompt=CASE, **how)
        whole = rows(step, llama)
        rest = rows(step, llama, done=whole["name"].to_list()[:5])
        assert rest.equals(whole.slice(5))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"sources": ("L1H2",), "unit": "neuron"}, "takes heads apart"),
        ({"positions": (1,)}, "name --sources too"),
        ({"sources": ()}, "name the heads"),
    ],
)
def test_what_does_not_go_together_is_refused(how, words):
    with pytest.raises(InputError, match=words):
        DirectStep.of(prompt=CASE, **how)


def test_cases_with_and_without_wrong_answers_are_not_mixed():
    mixed = PromptSet(name="mixed", prompts=(CASE, ALONE))
    with pytest.raises(InputError, match="case 2 of mixed has no wrong answer"):
        DirectStep(prompt=CASE).over(mixed)


@few
@pytest.mark.parametrize("prompt", [CASE, ALONE], ids=["difference", "logprob"])
def test_tokens_add_what_plain_gradients_say(model, plainly, prompt):
    encoded, step = model.encode(prompt), InputsStep(prompt=prompt)
    table, base = rows(step, model), step.bound(model).baseline
    double = plainly.copied().hf.double()
    embedding = double.get_input_embeddings()
    own = embedding(torch.tensor(encoded.ids)).detach()
    neutral = embedding(torch.arange(embedding.weight.shape[0])).mean(0).expand_as(own).detach()

    def slopes(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = (neutral + points[:, None, None] * (own - neutral)).requires_grad_()
        hook = embedding.register_forward_hook(lambda module, args, output: leaf)
        tokens = torch.tensor([encoded.ids] * len(points))
        logits = double(input_ids=tokens, use_cache=False).logits[:, -1]
        hook.remove()
        if encoded.wrong:
            values = logits[:, encoded.answer_ids[0]] - logits[:, encoded.wrong[0]]
        else:
            values = logits.log_softmax(-1)[:, encoded.answer_ids[0]]
        return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]

    ends, at_ends = slopes(torch.tensor([0.0, 1.0]).double())
    wanted = (at_ends[1] * own).sum(-1)
    assert table["gradient_input"].to_list() == pytest.approx(wanted.tolist(), abs=TOLERANCE)
    middles = (torch.arange(600).double() + 0.5) / 600
    found = [slopes(some)[1].sum(0) for some in middles.split(200)]
    along = (torch.stack(found).sum(0) / 600 * (own - neutral)).sum(-1)
    close = 0.02
    assert table["integrated"].to_list() == pytest.approx(along.tolist(), abs=close)
    assert base["difference"] == pytest.approx((ends[1] - ends[0]).item(), abs=TOLERANCE)
    assert base["sum"] == pytest.approx(table["integrated"].sum())
    assert base["off"] == pytest.approx(abs(base["sum"] - base["difference"]))
    assert base["off"] < close / 2


def test_few_gradients_leave_more_open_and_say_so(llama, monkeypatch):
    few, many = (InputsStep(prompt=CASE, steps=steps) for steps in (17, 400))
    few, many = (each.bound(llama).baseline for each in (few, many))
    assert few["gradients"] == 17 < many["gradients"]
    assert few["off"] > many["off"]
    monkeypatch.setattr(inputs, "AT_ONCE", 30)
    assert InputsStep(prompt=CASE).bound(llama).baseline["sum"] == pytest.approx(
        many["sum"], abs=1e-3
    )
