"""The built-in tasks by name."""

from __future__ import annotations

import pytest

from analysis.errors import InputError
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import ARITHMETIC, MAX_SHOTS, ONE_DIGIT, TASKS, drawn, task

LARGE = [name for name in ARITHMETIC if name not in ONE_DIGIT]
SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


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


@pytest.mark.parametrize("name", ONE_DIGIT)
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
    cases = task(name).prompts
    assert len(set(cases)) == len(cases) > 20


def test_several_tasks_make_one_set_with_their_groups():
    both = task("add1, div1", shots=1)
    assert len(both) == 36 + 23
    assert both.groups == ("+", "/")


@pytest.mark.parametrize("name", ["add9", "", " , ", "add1,nope"])
def test_an_unknown_task_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match=r"unknown task .*add1, sub1, mul1, div1.*JSONL"):
        task(name)


@pytest.mark.parametrize("shots", [-1, MAX_SHOTS + 1])
def test_a_number_of_shots_out_of_range_is_refused(shots):
    with pytest.raises(InputError, match=f"--shots {shots} is out of range; choose 0 to"):
        task("add1", shots)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("shots", [0, 3])
def test_a_large_task_draws_true_cases_behind_true_examples(name, shots):
    built = task(name, shots)
    assert len(built) == 100
    assert built.groups == (SIGNS[name[:3]],)
    assert len({each.prompt.rpartition("\n")[0] for each in built.prompts}) == 1
    for each in built.prompts:
        *examples, question = each.prompt.split("\n")
        assert len(examples) == shots
        assert question not in [f"{line.rpartition(' ')[0]} " for line in examples]
        for line in [*examples, question + each.answer]:
            a, sign, b, _, result = line.split(" ")
            assert sign == SIGNS[name[:3]]
            assert eval(f"{a} {sign} {b}") == int(result)


@pytest.mark.parametrize("name", [*LARGE, "gender", "add1,gender"])
def test_the_seed_decides_the_cases(name):
    first = task(name, cases=20, seed=1)
    assert first == task(name, cases=20, seed=1)
    assert first != task(name, cases=20, seed=2)


def test_the_cases_stay_the_same_behind_more_examples():
    def questions(shots):
        return [each.prompt.rpartition("\n")[2] for each in task("sub2", shots).prompts]

    assert questions(0) == questions(4)
    assert (
        task("sub2", 5)
        .prompts[0]
        .prompt.startswith(task("sub2", 4).prompts[0].prompt.rpartition("\n")[0])
    )


def test_a_number_of_cases_is_that_of_each_task():
    assert len(task("add1,mul3,gender", cases=7)) == 21
    assert len(task("mul2", cases=720)) == 720


@pytest.mark.parametrize(
    ("name", "shots", "most"),
    [("mul1", 0, 23), ("gender", 0, 512), ("div2", 0, 720), ("mul2", 8, 712)],
)
def test_more_cases_than_there_are_are_refused(name, shots, most):
    assert len(task(name, shots, cases=most)) == most
    for cases in (0, most + 1):
        with pytest.raises(InputError, match=f"--cases {cases}: {name} has {most}; choose 1 to"):
            task(name, shots, cases)


def test_gender_has_no_worked_examples():
    assert task("gender").groups == ("woman", "man")
    with pytest.raises(InputError, match="task gender has no worked examples"):
        task("add1,gender", shots=1)


def test_cases_drawn_from_a_set_keep_their_order():
    numbers = PromptSet(name="n", prompts=tuple(Prompt(prompt=str(n)) for n in range(50)))
    some = [int(each.prompt) for each in drawn(numbers, 20, seed=3).prompts]
    assert len(set(some)) == 20
    assert some == sorted(some)
    assert drawn(numbers, None) == numbers
