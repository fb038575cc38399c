"""Cases that people bring: what the command line reads and what it says of their answers."""

from __future__ import annotations

import json

import pytest

from sessions import Session

CASES = [{"question": f"one {letter}", "target": ["~", "^"]} for letter in "abc"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(CASES))
    return path


def test_columns_of_a_file_are_named_on_the_command_line_and_in_a_plan(on_tiny, file, tmp_path):
    columns = "prompt=question,answer=target"
    asked = on_tiny("ablate", "L0H0", "--task", file, "--columns", columns, "--json")
    prompts = asked.document["step"]["prompts"]["prompts"]
    assert [each["prompt"] for each in prompts] == ["one a", "one b", "one c"]
    assert prompts[0]["answer"] == ["~", "^"]
    assert "the intact model answers 0 of 3 cases right; what a part does" in asked.err
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[step]]\nkind = "ablate"\nsets = ["L0H0"]\ntask = "./mine.json"\n'
        f'columns = "{columns}"\n[[step]]\nkind = "neurons"\nprompt = "one two"\nanswer = "k"\n'
    )
    run = on_tiny("run", plan)
    assert "the intact model answers 0 of 3 cases right" in run.err
    assert 'reads 8 tokens  "<s>" "o" "n" "e" "␣" "t" "w" "o" → "k"  P = ' in run.err
    recorded = Session.open("plan").steps[0].step
    assert recorded.prompts.prompts[0].answers == ("~", "^")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--task", "add1", "--columns", "prompt=a"],
            "--columns goes with a --task that",
        ),
        (["--task", "FILE", "--columns", "prompt"], "--columns: 'prompt': give it as"),
        (["--task", "FILE", "--columns", "prompt=text"], "mine.json has no column text; it has"),
        (["--task", "FILE"], "mine.json case 1: prompt: Field required; it has question, target"),
        (["--prompt", "a\udcff"], "the text holds half a surrogate pair"),
    ],
)
def test_columns_and_cases_that_do_not_fit_are_one_line(refused, file, options, reason):
    line = refused("heads", *[str(file) if each == "FILE" else each for each in options])
    assert line.startswith(reason)


def test_a_likelier_spelling_is_named_with_what_to_type_and_not_taken(on_tiny, file):
    file.write_text(json.dumps([{"prompt": "one two", "answer": each} for each in "abcdefgh"]))
    said = on_tiny("ablate", "L0H0", "--task", file).err
    (line,) = [each for each in said.splitlines() if "another spelling" in each]
    count, first = line.split(": ", 1)
    assert " of 8 cases the model says another spelling than the answer, first in " in count
    letter = "abcdefgh"[int(count.split()[-1]) - 1]

    def measured(answer):
        return on_tiny("neurons", "--prompt", "one two", "--answer", answer, "--top", "1", "--json")

    alone = measured(letter)
    assert alone.document["baseline"]["answer"] == letter
    (line,) = [each for each in alone.err.splitlines() if "rather than" in each]
    said, typed = line.split("; measure that with --answer ")
    assert said == first
    assert "rather than" not in measured(typed.strip("'")).err


def test_a_pair_is_recorded_as_it_was_typed(on_tiny):
    pair = (
        "--corrupt",
        r"one\nthre",
        "--answer",
        "e",
        "--answer",
        "g",
        "--wrong",
        r"\n",
        "--wrong",
        "f",
    )
    (case,) = on_tiny("ablate", "L0H0", "--prompt", r"one\nfour", *pair, "--json").document["step"][
        "prompts"
    ]["prompts"]
    assert (case["prompt"], case["corrupt"]) == ("one\nfour", "one\nthre")
    assert (case["answer"], case["wrong"]) == (["e", "g"], ["\n", "f"])


def test_a_case_that_cannot_be_measured_is_named(refused, tiny_folder, file):
    cases = [{"prompt": "a", "answer": "b"}, {"prompt": "a", "answer": "be", "wrong": "bf"}]
    file.write_text(json.dumps(cases))
    line = refused("heads", "--task", file, "--model", tiny_folder, "--device", "cpu")
    assert line.startswith(
        "case 2 of mine: the answer and a wrong one begin with the same token, 'b'"
    )
    line = refused("heads", "--task", file, "--wrong", "a")
    assert line.startswith("--wrong goes with --prompt")


def test_a_pair_of_unequal_length_shows_where_the_prompts_part(on_tiny, workbench, tiny_folder):
    pair = ("--prompt", "one abc", "--corrupt", "one abcd", "--answer", "e", "--wrong", "f")
    outcome = workbench("patch", *pair, "--model", tiny_folder, "--device", "cpu")
    assert (outcome.code, outcome.out) == (2, "")
    *_, line, prompt, corrupt, mark = outcome.err.splitlines()
    assert line.startswith("workbench: the prompt has 8 tokens and the corrupt prompt 9; both need")
    assert prompt.endswith('"a" "b" "c"')
    assert corrupt[mark.index("^") :] == '"d"'


def test_a_patch_is_one_of_the_commands(on_tiny):
    pair = ("--prompt", "one abc", "--corrupt", "one xyz", "--answer", "e", "--wrong", "f")
    document = on_tiny("patch", *pair, "--positions", "0,-1", "--json").document
    keys = {"unit", "name", "layer", "position", "token", "recovered", "metric"}
    assert {*document["rows"][0]} == keys
    assert document["baseline"]["metric"] == "logit_difference"
    assert {each["position"] for each in document["rows"]} == {0, 7}
    said = on_tiny("patch", *pair, "--unit", "head", "--noising")
    assert "worst miss L" in said.err
    assert "token" not in said.out
