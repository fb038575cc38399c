"""Prompts, the built-in arithmetic tasks and task files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analysis.errors import InputError
from analysis.prompts import (
    MAX_SHOTS,
    TASKS,
    Prompt,
    PromptSet,
    escaped,
    read_task_file,
    task,
    unescaped,
)


def test_two_shot_addition_is_every_one_digit_sum_behind_two_examples():
    expected = [
        (f"2 + 3 = 5\n7 + 1 = 8\n{a} + {b} = ", str(a + b))
        for a in range(1, 10)
        for b in range(1, 10)
        if a + b < 10
    ]
    built = task("add1", shots=2)
    assert len(built) == 36
    assert [(each.prompt, each.answer) for each in built.prompts] == expected
    assert built.groups == ("+",)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("shots", [0, 1, MAX_SHOTS])
def test_every_case_and_every_example_is_true(name, shots):
    signs = {"+": "+", "-": "-", "*": "*", "/": "//"}
    for each in task(name, shots).prompts:
        *examples, question = each.prompt.split("\n")
        assert len(examples) == shots
        for line in [*examples, question + each.answer]:
            sides, result = line.split(" = ")
            a, sign, b = sides.split(" ")
            assert 1 <= int(a) <= 9
            assert 1 <= int(b) <= 9
            assert eval(f"{a} {signs[sign]} {b}") == int(result)
            assert sign != "/" or int(a) % int(b) == 0
            assert 1 <= int(result) <= 9
        assert each.group == question.split(" ")[1]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_holds_no_case_twice(name):
    prompts = [each.prompt for each in task(name).prompts]
    assert len(set(prompts)) == len(prompts) > 20


def test_several_tasks_make_one_set_with_their_groups():
    both = task("add1, div1", shots=1)
    assert len(both) == len(task("add1")) + len(task("div1"))
    assert both.groups == ("+", "/")


@pytest.mark.parametrize("name", ["add9", "", " , ", "add1,nope"])
def test_an_unknown_task_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match=r"unknown task .*add1, sub1, mul1, div1.*JSONL"):
        task(name)


@pytest.mark.parametrize("shots", [-1, MAX_SHOTS + 1])
def test_a_number_of_shots_out_of_range_is_refused(shots):
    with pytest.raises(InputError, match=f"--shots {shots} is out of range; choose 0 to"):
        task("add1", shots)


def test_a_task_file_is_read_line_by_line(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(
        '{"prompt": "a\\nb", "answer": "é"}\n\n  {"prompt": "c", "group": "g", "note": 1}\n',
        encoding="utf-8",
    )
    read = read_task_file(file)
    assert read.name == "mine"
    assert read.prompts == (
        Prompt(prompt="a\nb", answer="é"),
        Prompt(prompt="c", answer=None, group="g"),
    )


def test_a_line_separator_inside_a_string_does_not_split_a_line(tmp_path):
    file = tmp_path / "odd.jsonl"
    file.write_text(json.dumps({"prompt": "a\u2028b\x85c"}, ensure_ascii=False), encoding="utf-8")
    assert read_task_file(file).prompts[0].prompt == "a\u2028b\x85c"


GOOD = '{"prompt": "1 + 1 = ", "answer": "2"}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "this is not JSON"),
        ("[" * 100_000, "is nested too deeply"),
        ('["prompt"]', "is not an object"),
        ('{"answer": "2"}', "prompt: Field required"),
        ('{"prompt": ""}', "the prompt is empty"),
        ('{"prompt": "a", "answer": ""}', "the answer is empty"),
        ('{"prompt": 5}', "prompt: Input should be a valid string"),
        ('{"prompt": "a", "answer": 5}', "answer: Input should be a valid string"),
    ],
    ids=lambda value: value[:20],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line, message):
    file = tmp_path / "mine.jsonl"
    file.write_text(GOOD + "\n" + line + "\n" + GOOD)
    with pytest.raises(InputError, match=f"mine.jsonl line 3.*{message}"):
        read_task_file(file)


def test_a_task_file_without_cases_is_refused(tmp_path):
    file = tmp_path / "empty.jsonl"
    file.write_text("\n \n")
    with pytest.raises(InputError, match="empty.jsonl holds no cases"):
        read_task_file(file)


def test_a_task_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read task file gone.jsonl: No such file"):
        read_task_file(tmp_path / "gone.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}')
    with pytest.raises(InputError, match="latin.jsonl: it is not UTF-8 text"):
        read_task_file(tmp_path / "latin.jsonl")


def test_an_empty_prompt_is_refused():
    with pytest.raises(InputError, match="the prompt is empty"):
        PromptSet.single("")
    with pytest.raises(ValidationError):
        Prompt(prompt="")


@given(st.text())
def test_text_typed_in_a_shell_reads_back(text):
    assert unescaped(escaped(text)) == text
    assert "\n" not in escaped(text)


def test_an_unknown_escape_stays_as_typed():
    assert unescaped(r"a\nb\\n\q" + "\\") == "a\nb\\n\\q\\"
