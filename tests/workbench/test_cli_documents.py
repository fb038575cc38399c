"""The documents of `--json`: scripts depend on their keys, and the session holds the same rows."""

from __future__ import annotations

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tiny_folder import HEADS_IN_ALL, NEURONS_IN_ALL

from sessions import Session

HEAD_KEYS = ["name", "layer", "head", "accuracy", "logprob", "prob"]
ABLATE_KEYS = ["name", "heads", "neurons", "accuracy", "logprob", "prob"]
NEURON_KEYS = ["name", "layer", "neuron", "importance", "coefficient", "tokens"]
CNA_KEYS = [
    "name",
    "layer",
    "neuron",
    "importance",
    "importance_contrast",
    "importance_change",
    "coefficient",
    "coefficient_contrast",
    "coefficient_change",
    "tokens",
]
LENS_KEYS = [
    "name",
    "layer",
    "position",
    "reads",
    "token",
    "prob",
    "answer_prob",
    "answer_rank",
]
CHAIN_KEYS = [
    "name",
    "stage",
    "part",
    "layer",
    "position",
    "reads",
    "score",
    "coefficient",
    "tokens",
    "through",
    "tokens_through",
    "prob_without",
    "to",
    "weight",
]
CIRCUIT_KEYS = [
    "name",
    "case",
    "top",
    "intact_correct",
    "intact_logprob",
    "head_correct",
    "head_logprob",
    "mask_correct",
    "mask_logprob",
    "mask_random_correct",
    "mask_random_logprob",
    "keep_correct",
    "keep_logprob",
    "keep_random_correct",
    "keep_random_logprob",
    "coefficient_decrease",
    "lowest",
    "lowest_decrease",
    "lowest_random",
    "lowest_random_decrease",
]
HIDDEN_KEYS = ["name", "layer", "neuron", "concepts", "through", "direct", "found", "tokens"]
PROJECT_KEYS = ["end", "rank", "token", "token_id", "logit"]
CASE = ["--prompt", r"2 + 3 = 5\n3 + 5 = ", "--answer", "8"]

COMMANDS = {
    "heads of a task": (["heads", "--task", "add1", "--shots", "2"], HEAD_KEYS),
    "heads of a prompt": (["heads", *CASE], HEAD_KEYS),
    "heads by their mean": (["heads", "--task", "sub1", "--mode", "mean"], HEAD_KEYS),
    "some heads": (["heads", *CASE, "--heads", "L0H1,2.3"], HEAD_KEYS),
    "sets of a task": (["ablate", "L0H1,L1N3", "L2H0", "--task", "add1"], ABLATE_KEYS),
    "neurons": (["neurons", *CASE, "--top", "7"], NEURON_KEYS),
    "all neurons": (["cna", *CASE, "--ablate", "L0H1", "--all"], CNA_KEYS),
    "cna of a head": (["cna", *CASE, "--ablate", "L0H1", "--top", "9"], CNA_KEYS),
    "cna of a neuron": (["cna", *CASE, "--ablate", "L0N7", "--top", "9"], CNA_KEYS),
    "cna of both": (["cna", *CASE, "--ablate", "L0H1,L0N7", "--top", "9"], CNA_KEYS),
    "cna of two factors": (
        ["cna", *CASE, "--ablate", "L0H1=0.5", "--ablate", "L0N7", "--top", "9"],
        CNA_KEYS,
    ),
    "cna of prompts": (["cna", *CASE, "--against", "3 + 5 = ", "--top", "9"], CNA_KEYS),
    "layer gains": (["gains", *CASE], ["name", "layer", "attention", "ffn", "logprob"]),
    "a logit lens": (["lens", *CASE], LENS_KEYS),
    "a chain": (["chain", *CASE], CHAIN_KEYS),
    "a chain of a head": (["chain", *CASE, "--head", "1.2", "--deep", "3"], CHAIN_KEYS),
    "a circuit": (
        ["circuit", *CASE, "--head", "L0H1", "--tops", "9,3"],
        CIRCUIT_KEYS,
    ),
    "hidden neurons": (["hidden", "--layers", "1", "--top-tokens", "20"], HIDDEN_KEYS),
    "neurons that hide other words": (["hidden", "--concepts", "a,b,c"], HIDDEN_KEYS),
    "a neuron": (["project", "L1N5"], PROJECT_KEYS),
    "a neuron in a run": (["project", "L1N5", *CASE], PROJECT_KEYS),
    "a head": (["project", "L1H2", *CASE], PROJECT_KEYS),
    "a word": (["project", "word:7"], PROJECT_KEYS),
    "a residual": (["project", "residual:2", *CASE], PROJECT_KEYS),
    "a neuron through attention": (["project", "L1N5", "--through", "2"], PROJECT_KEYS),
    "a neuron through a head": (["project", "L1N5", "--through", "L2H3"], PROJECT_KEYS),
    "an attention layer": (["project", "attention:1", *CASE], PROJECT_KEYS),
}
every_command = pytest.mark.parametrize(("arguments", "keys"), COMMANDS.values(), ids=COMMANDS)


@every_command
def test_a_document_has_exactly_the_fixed_keys_and_the_rows_of_the_session(
    on_tiny, arguments, keys
):
    document = on_tiny(*arguments, "--json").document

    assert list(document) == ["step", "model", "baseline", "rows"]
    assert document["rows"]
    assert {tuple(row) for row in document["rows"]} == {tuple(keys)}
    assert document["step"]["kind"] == arguments[0]
    assert document["model"]["name"] == "tiny"

    recorded = Session.open(document["step"]["session"]).step(document["step"]["id"])
    assert recorded.info.state == "done"
    assert recorded.info.expected == len(document["rows"])
    on_disk = pl.concat([pl.read_parquet(each.path) for each in recorded.readable_parts()])
    expected = recorded.step.ranked(on_disk).select(keys)
    rows = pl.DataFrame(document["rows"], schema=expected.schema)
    assert_frame_equal(rows, expected, check_exact=True)


@every_command
def test_stdout_holds_the_document_and_stderr_the_narration(on_tiny, arguments, keys):
    outcome = on_tiny(*arguments, "--json")
    assert outcome.out.startswith("{\n")
    assert "workbench replay" not in outcome.out
    assert "look again with: workbench replay" in outcome.err


def test_the_baseline_of_a_sweep_is_the_intact_model(on_tiny):
    baseline = on_tiny("heads", "--task", "add1", "--shots", "2", "--json").document["baseline"]
    assert list(baseline) == ["accuracy", "logprob", "prob", "metric"]
    assert baseline["metric"] == "logprob"
    assert 0 <= baseline["accuracy"] <= 1
    assert baseline["logprob"] < 0 < baseline["prob"] < 1


def test_a_sweep_has_a_row_for_each_head_most_harmful_first(on_tiny):
    rows = on_tiny("heads", "--task", "add1", "--shots", "2", "--json").document["rows"]
    names = [f"L{layer}H{head}" for layer in range(3) for head in range(4)]
    assert sorted(row["name"] for row in rows) == names
    assert [row["name"] for row in rows] == [f"L{row['layer']}H{row['head']}" for row in rows]
    values = [row["logprob"] for row in rows]
    assert values == sorted(values)
    assert len(set(values)) == HEADS_IN_ALL


def test_a_sweep_of_some_heads_agrees_with_the_whole_one(on_tiny):
    sweep = ["heads", "--task", "add1", "--shots", "1", "--json"]
    whole = {row["name"]: row for row in on_tiny(*sweep).document["rows"]}
    some = on_tiny(*sweep, "--heads", "L0H1,L2H3").document["rows"]
    assert {row["name"] for row in some} == {"L0H1", "L2H3"}
    for row in some:
        assert row["logprob"] == pytest.approx(whole[row["name"]]["logprob"], abs=1e-5)


def test_mean_ablation_differs_from_zeroing(on_tiny):
    sweep = ["heads", "--task", "add1", "--json"]
    zero = on_tiny(*sweep).document
    mean = on_tiny(*sweep, "--mode", "mean").document
    assert mean["step"]["mode"] == "mean"
    assert mean["baseline"] == pytest.approx(zero["baseline"], abs=1e-6)
    by_name = {row["name"]: row["logprob"] for row in zero["rows"]}
    assert any(abs(by_name[row["name"]] - row["logprob"]) > 1e-3 for row in mean["rows"])


def test_ops_choose_the_operations_of_a_mixed_task(on_tiny):
    sweep = ["heads", "--task", "add1,sub1,div1", "--heads", "L0H0", "--json"]
    prompts = on_tiny(*sweep, "--ops", "+,/").document["step"]["prompts"]["prompts"]
    assert {prompt["group"] for prompt in prompts} == {"+", "/"}
    alone = on_tiny("heads", "--task", "sub1", "--heads", "L0H0", "--json").document
    mixed = on_tiny(*sweep, "--ops", "-").document
    assert mixed["baseline"] == pytest.approx(alone["baseline"], abs=1e-6)


def test_the_seed_draws_the_cases_of_a_task(on_tiny):
    def cases(*seed):
        sweep = ["heads", "--task", "add2,gender", "--cases", "4", "--heads", "L0H0", "--json"]
        return on_tiny(*sweep, *seed).document["step"]["prompts"]["prompts"]

    assert len(cases()) == 8
    assert {"+"} < {each["group"] for each in cases()} <= {"+", "woman", "man"}
    assert cases() == cases("--seed", "0") != cases("--seed", "1")


def test_cases_come_from_a_file_too(on_tiny, tmp_path):
    file = tmp_path / "sums.jsonl"
    cases = [{"prompt": "1 + 1 = ", "answer": "2"}, {"prompt": "1 + 2 = ", "answer": "3"}]
    file.write_text("\n".join(json.dumps(case) for case in cases))
    document = on_tiny("heads", "--task", file, "--json").document
    assert document["step"]["prompts"]["name"] == "sums"
    assert [each["prompt"] for each in document["step"]["prompts"]["prompts"]] == [
        "1 + 1 = ",
        "1 + 2 = ",
    ]


def test_cna_of_a_neuron_takes_its_whole_importance(on_tiny):
    rows = on_tiny("cna", *CASE, "--ablate", "L2N7", "--all", "--json").document["rows"]
    assert len(rows) == NEURONS_IN_ALL
    (row,) = [row for row in rows if row["name"] == "L2N7"]
    assert row["importance"] != 0
    assert row["importance_contrast"] == pytest.approx(0, abs=1e-6)
    assert row["importance_change"] == pytest.approx(row["importance"], abs=1e-6)


def test_the_top_rows_of_cna_are_those_of_scoring_everything(on_tiny):
    compare = ["cna", *CASE, "--ablate", "L0H1", "--json"]
    top = on_tiny(*compare, "--top", "12").document
    everything = on_tiny(*compare, "--all").document
    assert top["baseline"]["certified"] is True
    assert [row["name"] for row in top["rows"]] == [row["name"] for row in everything["rows"][:12]]


@pytest.mark.parametrize("contrast", [["--ablate", "L0H1"], ["--against", "3 + 5 = "]])
def test_the_baseline_of_cna_tells_of_both_runs(on_tiny, contrast):
    baseline = on_tiny("cna", *CASE, *contrast, "--json").document["baseline"]
    assert baseline["answer"] == "8"
    assert 0 < baseline["prob"] < 1
    assert 0 < baseline["prob_contrast"] < 1
    assert baseline["prob"] != baseline["prob_contrast"]


def test_without_an_answer_the_top_prediction_is_measured(on_tiny):
    run = ["neurons", "--prompt", "3 + 5 = ", "--top", "3", "--json"]
    free = on_tiny(*run).document
    answer = free["baseline"]["answer"]
    given = on_tiny(*run, "--answer", answer).document
    assert given["baseline"]["answer_id"] == free["baseline"]["answer_id"]
    assert given["rows"] == free["rows"]


def test_a_projection_gives_both_ends_from_the_outside_in(on_tiny):
    rows = on_tiny("project", "L1N5", "--top", "4", "--json").document["rows"]
    assert [(row["end"], row["rank"]) for row in rows] == [
        *(("top", rank) for rank in (1, 2, 3, 4)),
        *(("bottom", rank) for rank in (1, 2, 3, 4)),
    ]
    logits = [row["logit"] for row in rows]
    assert logits[:4] == sorted(logits[:4], reverse=True)
    assert logits[4:] == sorted(logits[4:])
    assert logits[3] > logits[7]


def test_hidden_neurons_are_counted_on_stderr_and_as_many_rows_printed_as_asked(on_tiny, tmp_path):
    file = tmp_path / "letters.txt"
    file.write_text("a\nb\nc\nd\ne\n")
    search = ["hidden", "--concepts", file, "--layers", "1", "--top-tokens", "30"]
    document = on_tiny(*search, "--json").document
    assert document["step"]["concepts"] == list("abcde")
    counts = [row["concepts"] for row in document["rows"]]
    assert counts == sorted(counts, reverse=True)
    at_least = [sum(count >= least for count in counts) for least in (1, 2, 3, 4)]
    words = "  ".join(f"≥{least} {count}" for least, count in enumerate(at_least, start=1))
    outcome = on_tiny(*search, "--top", "3")
    assert f"concept tokens: {words} of 96 neurons" in outcome.err
    assert "hidden-interpretable neurons · letters" in outcome.out
    printed = [word for word in outcome.out.split() if word.startswith("L")]
    assert printed == [row["name"] for row in document["rows"][:3]]
    assert "… 93 more rows" in outcome.out


def test_a_table_is_printed_where_no_json_is_asked_for(on_tiny):
    outcome = on_tiny("heads", "--task", "add1", "--shots", "2")
    assert "add1 · 36 prompts · zeroing one head at a time" in outcome.out
    for name in ("L0H0", "L1H2", "L2H3"):
        assert name in outcome.out


def test_the_prompt_is_shown_as_tokens_before_the_rows(on_tiny):
    narration = on_tiny("neurons", "--prompt", r"1 + 1 = ", "--answer", "2").err
    assert 'reads 9 tokens  "<s>" "1" "␣" "+"' in narration
    assert '→ "2"' in narration


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_rows_are_written_in_the_format_the_file_names(on_tiny, tmp_path, ending):
    file = tmp_path / f"rows.{ending}"
    document = on_tiny("cna", *CASE, "--ablate", "L0H1", "--out", file, "--json").document
    if ending == "json":
        assert json.loads(file.read_text("utf-8")) == document
        return
    rows = pl.read_parquet(file) if ending == "parquet" else pl.read_csv(file)
    assert rows.columns == CNA_KEYS
    assert rows["name"].to_list() == [row["name"] for row in document["rows"]]
    expected = [row["importance_change"] for row in document["rows"]]
    assert rows["importance_change"].to_list() == expected


def test_several_steps_go_into_the_session_that_is_named(on_tiny):
    on_tiny("heads", *CASE, "--session", "mine", "--json")
    document = on_tiny("project", "L0N0", "--session", "mine", "--json").document
    assert (document["step"]["session"], document["step"]["id"]) == ("mine", "002-project")
    assert [each.id for each in Session.open("mine").steps] == ["001-heads", "002-project"]


def test_rows_are_the_same_each_time(on_tiny):
    sweep = ["heads", "--task", "mul1", "--shots", "1", "--json"]
    assert on_tiny(*sweep).document["rows"] == on_tiny(*sweep).document["rows"]


def test_a_chain_is_printed_by_stage_with_what_its_nodes_feed(on_tiny):
    out = on_tiny("chain", *CASE, "--head", "L1H2", "--deep", "3", "--layers", "1").out
    nodes = [line for line in out.splitlines() if line.strip()[:1] in tuple("12345")]
    assert [line.split()[0] for line in nodes] == [*"1" * 8, "2", "3", *"4" * 3, "5"]
    (head,) = (
        row for row in Session.open("chain-1").step(1).rows().to_dicts() if row["stage"] == 3
    )
    edges = zip(head["weight"], head["to"], strict=True)
    weight, fed = max(edges, key=lambda edge: abs(edge[0]))
    assert f"{fed} {'+' if weight > 0 else '−'}{abs(weight):.2f}" in nodes[9]
