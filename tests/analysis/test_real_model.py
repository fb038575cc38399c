"""The real model against values that plain procedures computed, with no code of this project.

Tolerances are those of the digits printed, and what float32 rounds differently elsewhere.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import polars as pl
import pytest
import torch
from working import rows

from analysis.interventions import Intervention
from analysis.model.loading import load_model
from analysis.model.model import Model
from analysis.refs import HeadRef
from analysis.steps import (
    AttendStep,
    ChainStep,
    CnaStep,
    DetectStep,
    DirectStep,
    HeadsStep,
    HiddenStep,
    NeuronsStep,
    PatchStep,
    ProjectStep,
)
from analysis.tasks.concepts import CONCEPTS
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import task

pytestmark = pytest.mark.real_model

CASE = Prompt(prompt="2 + 3 = 5\n7 + 1 = 8\n3 + 5 = ", answer="8")
SIX, FOUR = 1e-5, 6e-5


@pytest.fixture(scope="module")
def smol() -> Model:
    from workbench.models import resolve

    location = resolve("smollm2-135m").location
    assert isinstance(location, Path)
    return load_model(location, name="smollm2-135m", device="cpu")


def test_the_model_is_read_exactly(smol):
    info = smol.info
    assert (info.layers, info.heads, info.kv_heads, info.neurons) == (30, 9, 3, 1536)
    assert info.parity.worst < 1e-3
    assert info.packed


def test_zeroing_a_head_changes_the_probability_of_the_answer(smol):
    plain = {
        "L0H1": 0.361118,
        "L13H4": 0.373784,
        "L21H2": 0.374196,
        "L14H2": 0.518771,
        "L20H8": 0.822431,
        "L1H4": 0.862593,
        "L18H5": 0.864816,
        "L0H3": 0.889828,
        "L1H3": 0.894453,
        "L1H0": 0.903691,
    }
    step = HeadsStep(prompts=PromptSet(name="case", prompts=(CASE,)), heads=tuple(plain))
    work = step.bound(smol)
    assert work.baseline["prob"] == pytest.approx(0.992265, abs=SIX)
    table = step.ranked(pl.concat(work.frames(())))
    assert table["name"].to_list() == list(plain)
    assert table["prob"].to_list() == pytest.approx(list(plain.values()), abs=SIX)


def test_heads_of_the_reference_workload(smol):
    plain = {
        "L20H8": (0.4444, -2.311690),
        "L13H4": (0.6944, -0.955725),
        "L0H1": (0.7222, -0.823930),
        "L1H0": (0.7778, -0.524569),
        "L14H1": (0.8889, -0.415067),
        "L10H5": (0.9444, -0.367240),
    }
    step = HeadsStep(prompts=task("add1", shots=2), heads=tuple(plain))
    work = step.bound(smol)
    assert work.baseline["accuracy"] == 1
    assert work.baseline["logprob"] == pytest.approx(-0.177508, abs=SIX)
    for row in pl.concat(work.frames(())).to_dicts():
        accuracy, logprob = plain[row["name"]]
        assert row["accuracy"] == pytest.approx(accuracy, abs=FOUR)
        assert row["logprob"] == pytest.approx(logprob, abs=SIX)


def test_cna_for_the_head_that_matters_most(smol):
    plain = {
        "L2N90": (3.5757, -0.8638, -4.4395, 31.5635, 50.5748),
        "L2N430": (1.6384, 0.0119, -1.6265, -0.2387, -37.9481),
        "L10N222": (0.5309, -0.6110, -1.1420, -17.6311, -31.8734),
        "L26N664": (0.4890, -0.0908, -0.5798, -6.0052, -9.1311),
        "L23N761": (0.3726, 0.9637, 0.5911, 17.5375, 12.4814),
        "L23N1038": (0.3484, 0.3960, 0.0476, -7.3436, -0.9890),
        "L29N943": (0.3299, -0.0061, -0.3360, 5.2096, 9.3363),
        "L28N541": (0.2801, 0.0268, -0.2533, 1.8872, -1.4083),
        "L22N1046": (0.1950, -0.0818, -0.2768, 2.3201, 3.5006),
        "L26N534": (0.1912, 0.0847, -0.1065, 15.0690, 16.2449),
    }
    table = rows(CnaStep(prompt=CASE, ablate=Intervention.parse("L0H1"), top=10), smol)
    assert table["name"].to_list() == list(plain)
    for row in table.to_dicts():
        found = (
            row["importance_change"],
            row["importance"],
            row["importance_contrast"],
            row["coefficient"],
            row["coefficient_contrast"],
        )
        assert found == pytest.approx(plain[row["name"]], abs=1e-4)


def test_the_most_important_neurons_of_the_intact_run(smol):
    plain = {
        "L24N1493": 1.8602,
        "L0N68": 1.1485,
        "L23N761": 0.9637,
        "L1N149": 0.4666,
        "L23N980": 0.4156,
        "L23N1038": 0.3960,
        "L25N39": 0.3681,
        "L22N1010": 0.3227,
        "L24N1464": 0.3002,
        "L1N76": 0.2921,
    }
    step = NeuronsStep(prompt=CASE, top=10)
    work = step.bound(smol)
    assert math.exp(work.baseline["logprob"]) == pytest.approx(0.992265, abs=SIX)
    table = pl.concat(work.frames(()))
    assert table["name"].to_list() == list(plain)
    assert table["importance"].to_list() == pytest.approx(list(plain.values()), abs=FOUR)


def test_hidden_interpretable_neurons_are_what_plain_projections_hold(smol):
    """Four neurons by the plain way: each projection whole, as `workbench project` shows it."""
    step = HiddenStep(layers=1)
    few = {"L0N0", "L0N292", "L1N149", "L1N430"}
    rest = {f"L{layer}N{k}" for layer in (0, 1) for k in range(1536)} - few
    words = {word.casefold() for word in CONCEPTS}
    found = {row["name"]: row for row in rows(step, smol, done=rest).to_dicts()}
    assert set(found) == few

    def top(name: str, through: int | None) -> list[str]:
        shown = rows(ProjectStep(source=name, through=through, top=50), smol)
        return shown.filter(pl.col("end") == "top")["token"].to_list()

    def held(tokens: list[str]) -> list[str]:
        return [token for token in tokens if token.strip().casefold() in words]

    for name, row in found.items():
        behind = [top(name, layer) for layer in range(3)]
        counts = [len(held(tokens)) for tokens in behind]
        most = max(counts)
        assert (row["concepts"], row["direct"]) == (most, len(held(top(name, None))))
        if most:
            assert row["through"] == counts.index(most)
            assert row["found"] == held(behind[row["through"]])
            assert row["tokens"] == behind[row["through"]][:10]
    assert {row["concepts"] for row in found.values()} > {0}


def test_the_chain_of_a_case(smol):
    work = ChainStep(prompt=CASE, head="L20H8", deep=8, shallow=8, layers=2).bound(smol)
    assert work.baseline["prob"] == pytest.approx(0.992265, abs=SIX)
    nodes = {row["name"]: row for row in pl.concat(work.frames(())).to_dicts()}
    assert nodes["L20H8"]["prob_without"] == pytest.approx(0.822431, abs=SIX)
    importance = {
        name: dict(zip(node["to"], node["weight"], strict=True))["answer"]
        for name, node in nodes.items()
        if node["stage"] == 4
    }
    assert importance["L24N1493"] == pytest.approx(1.8602, abs=FOUR)
    assert importance["L23N761"] == pytest.approx(0.9637, abs=FOUR)
    # The head reads the digits of the case: what feeds it most stands at "3".
    fed_by = [node for node in nodes.values() if node["stage"] == 1 and node["to"] == ["L20H8"]]
    assert {node["reads"] for node in fed_by} == {"3"}
    assert nodes["L20H8"]["tokens"][:3] == ["3", "4", "5"]


PAIR = Prompt(
    prompt="When Mary and John went to the store, John gave a drink to",
    corrupt="When Mary and John went to the store, Mary gave a drink to",
    answer=" Mary",
    wrong=" John",
)


@pytest.mark.parametrize(
    ("unit", "plain"),
    [
        (
            "residual",
            {
                "L16@9": 1.0129,
                "L15@9": 1.0126,
                "L14@9": 1.0109,
                "L18@9": 1.0075,
                "L12@9": 1.0070,
                "L13@9": 1.0069,
            },
        ),
        (
            "attention",
            {
                "L23@13": 0.8900,
                "L20@13": 0.2171,
                "L17@9": 0.2060,
                "L19@13": 0.1123,
                "L29@13": 0.0843,
                "L23@10": 0.0713,
            },
        ),
        (
            "ffn",
            {
                "L0@9": 0.9993,
                "L21@9": 0.1383,
                "L26@13": 0.1114,
                "L17@9": 0.1039,
                "L29@13": 0.0750,
                "L13@9": 0.0613,
            },
        ),
        (
            "head",
            {
                "L23H3": 0.583798,
                "L29H1": 0.265204,
                "L20H0": 0.215523,
                "L17H4": 0.178310,
                "L19H2": 0.161986,
                "L23H0": 0.119925,
            },
        ),
    ],
)
def test_what_patching_a_pair_brings_back(smol, unit, plain):
    step = PatchStep(prompts=PromptSet(name="pair", prompts=(PAIR,)), unit=unit)
    work = step.bound(smol)
    assert work.baseline["clean"] == pytest.approx(6.119588, abs=1e-4)
    assert work.baseline["corrupt"] == pytest.approx(-5.485271, abs=1e-4)
    table = step.ranked(pl.concat(work.frames(())))
    assert table.height == (270 if unit == "head" else 30 * 14)
    first = dict(table.head(6).select("name", "recovered").iter_rows())
    assert first == pytest.approx(plain, abs=1e-4)
    if unit == "head":
        last = dict(table.tail(3).select("name", "recovered").iter_rows())
        assert last == pytest.approx(
            {"L24H4": -0.250085, "L29H0": -0.203395, "L24H5": -0.036079}, abs=1e-4
        )


def test_direct_attribution_of_a_clean_prompt(smol):
    text = "When Mary and John went to the store, John gave a drink to"
    step = DirectStep(prompt=Prompt(prompt=text, answer=" Mary", wrong=" John"))
    base, table = step.bound(smol).baseline, step.ranked(rows(step, smol))
    plain = {"embedding": -0.043381, "heads": 1.620675, "ffn": 4.542294, "sum": 6.119589}
    plain |= {"logit_difference": 6.119588, "prob": 0.922909, "biases": 0.0}
    for name, value in plain.items():
        assert base[name] == pytest.approx(value, abs=FOUR), name
    heads = {
        "L23H3": (2.855340, 0.465756),
        "L29H1": (1.729522, 2.021428),
        "L24H4": (-1.070863, -1.209429),
        "L29H0": (-1.007063, -1.099671),
        "L23H0": (0.818043, 0.900063),
        "L23H1": (0.777707, 0.842474),
        "L23H7": (0.578794, 0.613908),
    }
    found = table.filter(unit="head").head(len(heads))
    assert found["name"].to_list() == list(heads)
    for row in found.to_dicts():
        both = row["logit_difference"], row["logprob_increase"]
        assert both == pytest.approx(heads[row["name"]], abs=FOUR)


def test_heads_look_where_eager_attention_of_the_plain_model_does(smol):
    """L20H8 looks from the last position at the first number of the sum, as it always did."""
    heads = (HeadRef(20, 8), HeadRef(0, 1))
    case = PromptSet(name="prompt", prompts=(CASE,))
    table = rows(AttendStep(prompts=case, heads=heads), smol)
    ids = torch.tensor([list(smol.encode(CASE).ids)])
    plain = copy.deepcopy(smol.hf)
    plain.set_attn_implementation("eager")
    weights = plain(ids, output_attentions=True).attentions
    for head in heads:
        some = table.filter(name=str(head))
        place = some["query"].cast(int).to_list(), some["key"].cast(int).to_list()
        wanted = weights[head.layer][0, head.index][place].tolist()
        assert some["weight"].to_list() == pytest.approx(wanted, abs=SIX)
    assert table.filter(name="L20H8", query=21, key=16)["weight"].item() > 0.9
    (row,) = rows(DetectStep(heads=(HeadRef(18, 6),)), smol).to_dicts()
    assert row["induction"] > 0.9
