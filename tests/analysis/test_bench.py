"""The benchmark: what it compares are real numbers, and nobody is let off a cost."""

from __future__ import annotations

import itertools
import json
import math
import time
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from analysis.bench import measure, peer, sweeps
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.heads import all_heads
from analysis.methods.importance import Geometry
from analysis.model.loading import DTYPES
from analysis.model.passes import Scores
from analysis.model.random_model import SHAPES, random_model
from analysis.refs import HeadRef
from analysis.steps import CnaStep, HeadsStep, NeuronsStep
from analysis.tasks.prompts import Prompt, PromptSet

TOLERANCE = 1e-4
CASE = Prompt(prompt="1 + 2 = ", answer="3")
PROMPTS = PromptSet(
    name="sums",
    prompts=tuple(
        Prompt(prompt=f"{a} + {b} = ", answer=str(a + b)) for a in (1, 2, 3) for b in (1, 20)
    ),
)
HEAD = Intervention(heads=(HeadRef(0, 1),))
COMPARED = {
    "fast_s",
    "plain_s",
    "ratio",
    "max_difference",
    "peak_mb",
    "forecast_mb",
    "plain_peak_mb",
}


def ignored(stage: str, done: int, expected: int) -> None:
    pass


@pytest.fixture(scope="module")
def tiny():
    return random_model("llama-tiny", device="cpu")


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second whenever it is read, and by more when told to."""
    seconds = itertools.count()
    skipped = [0]
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds) + skipped[0]))

    def skip(more: int) -> None:
        skipped[0] += more

    return skip


def test_the_fast_sweep_finds_what_one_hooked_forward_a_head_finds(tiny):
    report = sweeps.bench_heads(tiny, PROMPTS, ignored)
    assert set(report) == {"heads", "heads_top5"}
    assert set(report["heads"]) == COMPARED | {"max_prompt_difference"}
    assert report["heads"]["max_difference"] < TOLERANCE
    assert report["heads"]["forecast_mb"] > 0


def test_ratios_are_of_the_seconds_measured(tiny, ticking):
    report = sweeps.bench_heads(tiny, PROMPTS, ignored)
    for row in report.values():
        assert row["ratio"] == row["plain_s"] / row["fast_s"]
    assert report["heads_top5"]["fast_s"] <= report["heads"]["fast_s"]
    assert report["heads_top5"]["plain_s"] == report["heads"]["plain_s"]


def test_the_five_heads_are_those_the_plain_sweep_finds(tiny):
    found = sweeps.bench_heads(tiny, PROMPTS, ignored)["heads_top5"]["heads"]
    rows = HeadsStep(prompts=PROMPTS).run(tiny)
    mean = {row["name"]: row["logprob"] for table in rows for row in table.to_dicts()}
    assert found == sorted(mean, key=mean.__getitem__)[:5]


@pytest.mark.parametrize("wrong", [0.5, math.nan])
def test_one_wrong_number_in_a_sweep_is_seen(tiny, monkeypatch, wrong):
    right = sweeps.plain_scores

    def tampered(model, encoded, heads):
        scores = right(model, encoded, heads)
        if heads == (HeadRef(2, 1),):
            scores.logprob[0, 3] += wrong
        return Scores(scores.logprob, scores.correct)

    monkeypatch.setattr(sweeps, "plain_scores", tampered)
    found = sweeps.bench_heads(tiny, PROMPTS, ignored)["heads"]
    assert found["max_prompt_difference"] == pytest.approx(wrong, abs=TOLERANCE, nan_ok=True)
    mean = pytest.approx(wrong / len(PROMPTS), abs=TOLERANCE, nan_ok=True)
    assert found["max_difference"] == mean


def test_cna_finds_what_scoring_every_neuron_finds(tiny):
    cna = sweeps.bench_cna(tiny, CASE, HEAD, 20, ignored)["cna"]
    assert set(cna) == COMPARED | {"first_s", "first_ratio", "same_names", "top"}
    assert cna["max_difference"] < TOLERANCE
    assert cna["same_names"]
    assert cna["top"] == 20


@pytest.mark.parametrize(("rank", "missed"), [(0, False), (100, True)])
def test_a_wrong_neuron_is_seen(tiny, monkeypatch, rank, missed):
    right = sweeps.plain_change

    def tampered(*arguments):
        change = right(*arguments).flatten()
        change[change.argsort(descending=True)[rank]] += 3
        return change.view(tiny.info.layers, -1)

    monkeypatch.setattr(sweeps, "plain_change", tampered)
    cna = sweeps.bench_cna(tiny, CASE, HEAD, 20, ignored)["cna"]
    assert cna["max_difference"] > 1
    assert cna["same_names"] is not missed


def test_the_first_cna_pays_for_reading_the_weights_whatever_ran_before(tiny, monkeypatch, ticking):
    assert tiny.once(Geometry.of) is tiny.once(Geometry.of)
    right = Geometry.of

    def slow(model):
        ticking(1_000)
        return right(model)

    monkeypatch.setattr(Geometry, "of", slow)
    cna = sweeps.bench_cna(tiny, CASE, HEAD, 20, ignored)["cna"]
    assert cna["first_s"] > 1_000 > cna["fast_s"]
    assert cna["first_ratio"] == cna["plain_s"] / cna["first_s"]


def test_the_clock_is_read_when_the_gpu_has_nothing_left_to_do(monkeypatch):
    happened = []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda index, name=name: happened.append(name))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: 10_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: 35_000_000)
    monkeypatch.setattr(time, "perf_counter", lambda: happened.append("clock") or len(happened))
    with measure.measured(torch.device("cuda")) as took:
        happened.append("work")
    begun = happened.index("work")
    assert "synchronize" in happened[:begun]
    assert happened[begun - 1 :] == ["clock", "work", "synchronize", "clock"]
    assert took.peak_mb == 25


def test_progress_goes_from_nothing_to_all_in_every_stage(tiny):
    told: dict[str, list[tuple[int, int]]] = {}

    def tell(stage, done, expected):
        told.setdefault(stage, []).append((done, expected))

    sweeps.bench_heads(tiny, PROMPTS, tell)
    sweeps.bench_cna(tiny, CASE, HEAD, 20, tell)
    assert len(told) == 5
    for steps in told.values():
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


def test_growth_has_rows_for_prompts_heads_and_neurons(tiny, monkeypatch):
    monkeypatch.setattr(sweeps, "SIZES", (16, 32))
    monkeypatch.setattr(sweeps, "SIZED", "llama-tiny")
    rows = sweeps.bench_growth(tiny, PROMPTS, CASE, HEAD, ignored)
    counts: dict[str, list[int]] = {}
    for row in rows:
        assert row["seconds"] > 0
        counts.setdefault(row["grows"], []).append(row["count"])
    layers = SHAPES["llama-tiny"].layers
    assert counts == {
        "prompts": [2, 3, 6],
        "heads": [3, 6, 12],
        "top": [10, 100],
        "neurons": [16 * layers, 32 * layers],
    }
    assert all("plain_s" in row for row in rows if row["grows"] == "neurons")


def test_what_will_run_decides_how_long_it_is_said_to_take(tiny, ticking):
    def expected(*parts, **more):
        return sweeps.expected_seconds(tiny, PROMPTS, CASE, parts, **more)

    assert 0 < expected("heads") < expected("heads", peer_heads=12)
    assert expected("heads", "cna", "growth") > expected("heads", "cna") > expected("heads")


@pytest.mark.parametrize("count", [1, 5, 12, 40])
def test_a_sample_of_heads_lies_evenly_over_the_layers(tiny, count):
    heads = all_heads(tiny)
    some = sweeps.spread(heads, count)
    assert len(set(some)) == min(count, len(heads))
    assert some == sorted(some)
    middle = sum(heads.index(ref) for ref in some) / len(some)
    assert middle == pytest.approx((len(heads) - 1) / 2, abs=0.5)


def test_an_unknown_peer_is_refused():
    with pytest.raises(InputError, match="choose transformer-lens"):
        peer.check_peer("pyvene")


def test_a_peer_that_is_not_installed_is_refused_with_what_installs_it(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(peer, "version", absent)
    with pytest.raises(InputError, match=r"pip install 'cna-workbench\[peer\]'"):
        peer.check_peer("transformer-lens")


def test_the_7b_shape_is_that_of_llama_7b():
    from transformers import AutoModelForCausalLM

    shape = SHAPES["llama-7b"]
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(shape.config())
    assert sum(weight.numel() for weight in hf.parameters()) == 6_738_415_616
    assert shape.parameters == 6_738_415_616


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_random_model_has_weights_of_its_dtype_and_holds_parity(dtype):
    model = random_model("llama-tiny", dtype=dtype, device="cpu", seed=1)
    assert {weight.dtype for weight in model.hf.parameters()} == {DTYPES[dtype]}
    assert model.info.parity_holds
    assert model.encode(CASE).answer_ids


def test_a_seed_decides_the_weights_and_leaves_the_caller_s_random_numbers_alone():
    torch.manual_seed(5)
    following = torch.rand(1)
    torch.manual_seed(5)
    first, same, other = (
        random_model("llama-tiny", device="cpu", seed=seed).parts.unembedding_weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), following)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "llama-8b"}, "unknown shape"),
        ({"name": "llama-tiny", "dtype": "int3"}, "unknown dtype"),
        ({"name": "llama-tiny", "device": "warp"}, "device 'warp' cannot be used"),
    ],
)
def test_what_no_random_model_can_be_is_refused(arguments, reason):
    with pytest.raises(InputError, match=reason):
        random_model(**arguments)


def peak_bytes(step, model, file) -> tuple[int, int]:
    """What a step says it will take, and the most that tensors took: every allocation counted."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work = step.bound(model)
        for _ in work.frames(()):
            pass
    profiled.export_chrome_trace(str(file))
    events = json.loads(file.read_text())["traceEvents"]
    changes = sorted((each["ts"], each["args"]) for each in events if each["name"] == "[memory]")
    return work.memory, max(itertools.accumulate(args["Bytes"] for _, args in changes))


@pytest.mark.parametrize("kind", ["heads", "cna", "neurons"])
def test_the_forecast_is_near_what_tensors_take(kind, tmp_path):
    model = random_model("llama-small", device="cpu")
    some = tuple(sweeps.spread(all_heads(model), 12))
    step = {
        "heads": HeadsStep(prompts=PROMPTS, heads=some),
        "cna": CnaStep(prompt=CASE, ablate=HEAD, top=20),
        "neurons": NeuronsStep(prompt=CASE, top=20),
    }[kind]
    forecast, measured = peak_bytes(step, model, tmp_path / "trace.json")
    assert measured / 1.5 < forecast < measured * 1.5
