"""Bad input: exit code 2, one line that says what would be right, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from command_lines import CASE
from safetensors.torch import load_file, save_file

from analysis.errors import InputError
from sessions import Session, list_sessions

Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def tiny_copy(tiny_folder, tmp_path):
    """A copy of the tiny model's folder to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


BEFORE_LOADING = {
    "unknown model": (["heads", *CASE, "--model", "smollm3"], "unknown model 'smollm3'"),
    "no such folder": (["heads", *CASE, "--model", "./nowhere"], "no such file or folder"),
    "neither prompt nor task": (["heads"], "give either --prompt or --task"),
    "both prompt and task": (["heads", *CASE, "--task", "add1"], "give either --prompt or --task"),
    "an answer for a task": (["heads", "--task", "add1", "--answer", "8"], "--answer goes with"),
    "unknown task": (["heads", "--task", "add9"], "unknown task 'add9'; known are add1"),
    "no such task file": (["heads", "--task", "none.jsonl"], "cannot read task file none.jsonl"),
    "too many shots": (["heads", "--task", "add1", "--shots", "9"], "--shots 9 is out of range"),
    "no such operation": (["heads", "--task", "add1", "--ops", "x"], "--ops x: no such group"),
    "an operation of another task": (
        ["heads", "--task", "add2,sub3", "--ops", "*"],
        "--ops *: no such group in add2,sub3; it has +, -",
    ),
    "more cases than there are": (
        ["heads", "--task", "mul2", "--cases", "721"],
        "--cases 721: mul2 has 720; choose 1 to 720",
    ),
    "cases of a prompt": (["heads", *CASE, "--cases", "3"], "--cases goes with --task"),
    "no cases": (["heads", "--task", "add2", "--cases", "0"], "--cases"),
    "shots for gender": (["heads", "--task", "gender", "--shots", "1"], "has no worked examples"),
    "unknown mode": (["heads", *CASE, "--mode", "half"], "choose zero or mean"),
    "no name of a head": (["heads", *CASE, "--heads", "L1"], "'L1' is not the name of a head"),
    "an empty head": (["heads", *CASE, "--heads", "L1H1,"], "not the name of a head"),
    "no number of neurons": (
        ["circuit", *CASE, "--head", "L1H1", "--tops", "x"],
        "--tops: x: give",
    ),
    "none of the neurons": (["circuit", *CASE, "--head", "L1H1", "--tops", "0"], "each 1 or more"),
    "a circuit without answers": (
        ["circuit", "--prompt", "3 + 5 = ", "--head", "L1H1"],
        "case 1 of prompt has no answer",
    ),
    "a neuron for a head": (["chain", *CASE, "--head", "L1N2"], "is not the name of a head"),
    "an empty chain": (["chain", *CASE, "--deep", "0"], "Invalid value for '--deep'"),
    "empty prompt": (["neurons", "--prompt", ""], "the prompt is empty"),
    "empty answer": (["neurons", "--prompt", "1", "--answer", ""], "the answer is empty"),
    "no prompt": (["neurons"], "no prompt; give one with --prompt"),
    "no contrast": (["cna", *CASE], "give one contrast"),
    "two contrasts": (["cna", *CASE, "--ablate", "L0H1", "--against", "1"], "give one contrast"),
    "no name of a part": (["cna", *CASE, "--ablate", "17"], "neither a head nor a neuron"),
    "top 0": (["cna", *CASE, "--ablate", "L0H1", "--top", "0"], "--top"),
    "top of nothing": (["neurons", *CASE, "--top", "-3"], "--top"),
    "top that is no number": (["neurons", *CASE, "--top", "many"], "--top"),
    "a negative layer": (["project", "L0N0", "--through", "-1"], "--through"),
    "no such file of concepts": (
        ["hidden", "--concepts", "no.txt"],
        "cannot read concepts",
    ),
    "no concepts": (["hidden", "--concepts", " , "], "--concepts holds no words"),
    "a negative last layer": (["hidden", "--layers", "-1"], "--layers"),
    "no top tokens": (["hidden", "--top-tokens", "0"], "--top-tokens"),
    "the same set twice": (["ablate", "L0H1", "L0H1", *CASE], "L0H1 is given 2 times"),
    "unknown dtype": (["neurons", *CASE, "--dtype", "int3"], "--dtype"),
    "bits of no kind": (["neurons", *CASE, "--bits", "3"], "--bits: Input should be 8 or 4"),
    "bits that are no number": (["doctor", "--bits", "few"], "--bits"),
    "a negative seed": (["neurons", *CASE, "--seed", "-1"], "--seed"),
    "unknown option": (["heads", "--promt", "1"], "--promt"),
    "unknown command": (["haeds"], "haeds"),
    "unknown subcommand": (["sessions", "list"], "list"),
    "missing argument": (["project"], "Missing argument"),
    "bad ending": (["neurons", *CASE, "--out", "rows.xlsx"], ".parquet, .csv, .json"),
    "no such folder to write": (["neurons", *CASE, "--out", "no/rows.csv"], "there is no folder"),
    "a session by no name": (["neurons", *CASE, "--session", "a/b"], "cannot name a session"),
    "unknown session": (["sessions", "show", "mine"], "no session called mine"),
    "unknown session to resume": (["resume", "mine"], "no session called mine"),
    "unknown session to replay": (["replay", "mine"], "no session called mine"),
    "unknown example": (["replay", "example:mine"], "no example called mine"),
    "unknown model to fetch": (["models", "fetch", "smollm3"], "unknown model 'smollm3'"),
    "no terminal": ([], "the terminal UI needs a terminal"),
}
ON_THE_MODEL = {
    "more neurons than exist": (
        ["circuit", *CASE, "--head", "L1H1", "--tops", "97"],
        "97 neurons are more than the 96 from L1H1's layer up in tiny",
    ),
    "no such head to sweep": (["heads", *CASE, "--heads", "L99H0"], "L99H0 is not in tiny"),
    "no such head": (["cna", *CASE, "--ablate", "L99H0"], "L99H0 is not in tiny"),
    "no such neuron": (["cna", *CASE, "--ablate", "L0N48"], "neurons 0 to 47"),
    "no such neuron to read": (["project", "L0N48"], "neurons 0 to 47"),
    "no such head to read": (["project", "L0H4", *CASE], "heads 0 to 3"),
    "no such layer": (["project", "residual:3", *CASE], "layers 0 to 2"),
    "no such layer to go through": (["project", "L0N0", "--through", "3"], "layers 0 to 2"),
    "nothing to read": (["project", "what"], "names nothing to read"),
    "a head outside a run": (["project", "L0H1"], "give one with --prompt"),
    "a word of many tokens": (["project", "word:three"], "not a single token"),
    "more neurons than there are": (["neurons", *CASE, "--top", "145"], "more than the 144"),
    "more tokens than there are": (["project", "L0N0", "--top", "129"], "too many"),
    "no attention layer above": (["hidden", "--layers", "2"], "allows 0 to 1"),
    "more top tokens than tokens": (["hidden", "--top-tokens", "258"], "more than the 257 tokens"),
    "concepts of many tokens": (["hidden", "--concepts", "one,two"], "none of the 2 concepts is"),
    "a prompt too long": (["heads", "--prompt", "1" * 128], "the model reads 128 at most"),
    "a contrast too long": (["cna", *CASE, "--against", "1" * 129], "the model reads 128 at most"),
    "unknown device": (["neurons", *CASE, "--device", "warp"], "device 'warp' cannot be used"),
}


@pytest.mark.parametrize(("arguments", "reason"), BEFORE_LOADING.values(), ids=BEFORE_LOADING)
def test_bad_input_is_refused_before_a_model_is_touched(refused, arguments, reason):
    assert reason in refused(*arguments)


@pytest.mark.parametrize(("arguments", "reason"), ON_THE_MODEL.values(), ids=ON_THE_MODEL)
def test_what_does_not_fit_the_model_leaves_nothing(
    refused, tiny_folder, sessions_folder, arguments, reason
):
    assert reason in refused(*arguments, "--model", tiny_folder)
    assert list_sessions(sessions_folder) == []


@pytest.mark.parametrize(("arguments", "reason"), ON_THE_MODEL.values(), ids=ON_THE_MODEL)
def test_what_does_not_fit_the_model_leaves_a_session_as_it_was(
    refused, on_tiny, tiny_folder, arguments, reason
):
    on_tiny("project", "L0N0", "--session", "mine", "--json")
    assert reason in refused(*arguments, "--model", tiny_folder, "--session", "mine")
    assert [each.info.state for each in Session.open("mine").steps] == ["done"]


@pytest.mark.parametrize(
    "misplaced", [["--model", "nosuch"], ["--dtype", "int3"], ["--session", "x"], ["--readonly"]]
)
def test_an_option_before_the_command_is_refused_rather_than_ignored(refused, misplaced):
    line = refused(*misplaced, "neurons", *CASE)
    assert line == f"{misplaced[0]} goes behind the command: workbench neurons {misplaced[0]} …"


def test_a_folder_without_a_model_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused("heads", *CASE, "--model", tmp_path / "empty")
    assert line == "empty holds no model: config.json is missing"


def test_a_pickle_is_refused(refused, tiny_copy):
    (tiny_copy / "model.safetensors").rename(tiny_copy / "pytorch_model.bin")
    line = refused("heads", *CASE, "--model", tiny_copy)
    assert line.startswith("copy has only a pickle (pytorch_model.bin)")


def test_a_model_that_lacks_weights_is_refused_rather_than_made_up(refused, tiny_copy):
    file = tiny_copy / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    line = refused("heads", *CASE, "--model", tiny_copy)
    assert line == "copy lacks 1 of its weights, model.layers.1.mlp.up_proj.weight among them"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("model.safetensors", "cannot load copy: "),
        ("tokenizer.json", "copy: tokenizer.json cannot be read: "),
    ],
)
def test_a_damaged_model_file_is_one_line(refused, tiny_copy, name, line):
    file = tiny_copy / name
    file.write_bytes(file.read_bytes()[:200])
    assert refused("heads", *CASE, "--model", tiny_copy).startswith(line)


def test_weights_that_the_config_has_no_place_for_are_refused_unless_the_owner_knows(
    refused, workbench, tiny_copy
):
    config = json.loads((tiny_copy / "config.json").read_text())
    weights = load_file(tiny_copy / "model.safetensors")
    more = {"model.layers.0.self_attn.q_proj.bias": torch.ones(len(weights[Q_PROJ]))}
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file(weights | more | old, tiny_copy / "model.safetensors", metadata={"format": "pt"})
    asked = ("heads", *CASE, "--heads", "L1H1", "--model", tiny_copy)
    assert refused(*asked).startswith(
        "copy: its config has no place for 1 of the weights, model.layers.0.self_attn.q_proj.bias "
    )
    outcome = workbench(*asked, "--ignore-unused", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["model"]["unused"] == list(more)
    other = config | {"intermediate_size": config["intermediate_size"] + 8}
    (tiny_copy / "config.json").write_text(json.dumps(other))
    assert "model.layers.0.mlp.down_proj.weight is" in refused(*asked, "--ignore-unused")


def test_a_prompt_with_a_token_beyond_the_embedding_is_one_line(refused, tiny_copy):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_copy)
    tokenizer.add_tokens([f"[{place}]" for place in range(2_000)])
    tokenizer.save_pretrained(tiny_copy)
    line = refused("heads", "--prompt", "one [1999] two", "--model", tiny_copy)
    assert line.startswith("'[1999]' is token ")


@pytest.mark.parametrize(
    ("left", "line"),
    [
        ({}, "copy has no tokenizer: tokenizer.json is missing"),
        (
            {"tokenizer.model": b"no such thing"},
            "copy: tokenizer.json is missing and tokenizer.model",
        ),
    ],
)
def test_a_folder_without_a_tokenizer_that_can_be_read_says_what_to_put_there(
    refused, tiny_copy, left, line
):
    for file in tiny_copy.glob("token*"):
        file.unlink()
    for name, content in left.items():
        (tiny_copy / name).write_bytes(content)
    assert refused("heads", *CASE, "--model", tiny_copy).startswith(line)


def test_a_family_nobody_knows_is_refused(refused, tiny_copy):
    config = json.loads((tiny_copy / "config.json").read_text())
    (tiny_copy / "config.json").write_text(json.dumps(config | {"model_type": "gpt_bigcode"}))
    assert "'gpt_bigcode' is not supported" in refused("heads", *CASE, "--model", tiny_copy)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "2"', "this is not JSON"),
        ('["2"]', "is not an object"),
        ('{"answer": "2"}', "prompt: Field required"),
        ('{"prompt": ""}', "the prompt is empty"),
        ('{"prompt": "1", "answer": ""}', "the answer is empty"),
        ('{"prompt": 3}', "prompt: Input should be a valid string"),
    ],
)
def test_a_malformed_task_file_is_refused_with_the_line(refused, tmp_path, line, reason):
    file = tmp_path / "cases.jsonl"
    file.write_text(f'{{"prompt": "1 + 1 = ", "answer": "2"}}\n\n{line}\n')
    said = refused("heads", "--task", file)
    assert said.startswith("cases.jsonl line 3")
    assert reason in said


def test_a_task_file_that_is_no_parquet_is_refused(refused, tmp_path):
    (tmp_path / "cases.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    line = refused("heads", "--task", tmp_path / "cases.parquet")
    assert line == "cannot read task file cases.parquet: it is no whole Parquet file"


def test_what_native_code_says_of_a_task_file_goes_to_the_log(tmp_path, monkeypatch, capfd):
    from workbench.cli import run
    from workbench.paths import log_file

    def panics(path, columns):
        os.write(2, b"thread panicked at parquet.rs\n")
        raise InputError(f"cannot read task file {path.name}")

    monkeypatch.setattr("analysis.tasks.asking.read_task_file", panics)
    assert run(["heads", "--task", "cases.parquet"]) == 2
    assert capfd.readouterr().err == "workbench: cannot read task file cases.parquet\n"
    assert "thread panicked" in log_file().read_text()


def test_a_task_file_without_cases_is_refused(refused, tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    assert "holds no cases" in refused("heads", "--task", tmp_path / "none.jsonl")


def test_a_session_of_another_model_is_refused(refused, on_tiny, tiny_copy):
    from tiny_folder import write_tiny_model

    on_tiny("project", "L0N0", "--session", "mine", "--json")
    other = write_tiny_model(tiny_copy, seed=1)
    line = refused("project", "L0N0", "--session", "mine", "--model", other)
    assert "recorded with another model" in line


def test_a_step_nobody_recorded_is_refused(refused, on_tiny):
    on_tiny("project", "L0N0", "--session", "mine", "--json")
    assert refused("sessions", "show", "mine", "--step", "7") == (
        "session mine has no step 7; it has 001-project"
    )


def test_a_recorded_session_needs_a_terminal_to_be_replayed(refused, on_tiny):
    on_tiny("project", "L0N0", "--session", "mine", "--json")
    assert refused("replay", "mine").endswith("workbench sessions show mine prints its steps")


@pytest.mark.parametrize(
    ("variable", "value"), [("WORKBENCH_DTYPE", "int3"), ("WORKBENCH_SEED", "x")]
)
def test_a_bad_setting_is_named_where_it_was_made(refused, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert refused("neurons", *CASE).startswith(f"{variable}: ")


def test_a_broken_settings_file_is_named(refused, tmp_path, monkeypatch):
    file = tmp_path / "broken.toml"
    file.write_text("model = \n")
    monkeypatch.setenv("WORKBENCH_CONFIG", str(file))
    assert refused("neurons", *CASE).startswith(f"{file} is not valid TOML")
