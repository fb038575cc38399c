"""Prompts and task files."""

from __future__ import annotations

import json
import pickle

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analysis.errors import InputError
from analysis.prompts import Prompt, PromptSet, escaped, read_task_file, unescaped


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
        ('{"prompt": "a", "marks": "memorize"}', "marks: Input should be a valid tuple"),
        ('{"prompt": "a", "marks": ["know"]}', "marks.0: Input should be 'memorize' or"),
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


CASES = (
    Prompt(prompt="a\nb", answer="é", group="g", marks=("memorize", "change-one")),
    Prompt(prompt="c"),
)


def write_parquet(path, **columns):
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_cases_read_from_parquet_are_those_written(tmp_path):
    file = tmp_path / "mine.parquet"
    pl.DataFrame([each.model_dump() | {"a": 1} for each in CASES]).write_parquet(file)
    assert read_task_file(file) == PromptSet(name="mine", prompts=CASES)


def test_a_null_in_parquet_is_a_field_left_out(tmp_path):
    file = write_parquet(
        tmp_path / "mine.parquet",
        prompt=["a", "b"],
        answer=[None, "1"],
        group=[None, None],
        marks=[["memorize"], None],
    )
    assert read_task_file(file).prompts == (
        Prompt(prompt="a", marks=("memorize",)),
        Prompt(prompt="b", answer="1"),
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"answer": ["1"]}, "mine.parquet has no column prompt"),
        ({"prompt": [1]}, "its column prompt holds Int64, not String"),
        ({"prompt": ["a"], "marks": ["memorize"]}, "its column marks holds String, not List"),
        ({"prompt": ["a", ""]}, "mine.parquet row 2: the prompt is empty"),
        ({"prompt": ["a", None]}, "mine.parquet row 2: prompt: Field required"),
        ({"prompt": ["a"], "marks": [["know"]]}, "mine.parquet row 1: marks.0: Input should be"),
        ({"prompt": pl.Series([], dtype=pl.String)}, "mine.parquet holds no cases; a row each"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_parquet_that_does_not_hold_cases_is_refused(tmp_path, columns, message):
    with pytest.raises(InputError, match=message):
        read_task_file(write_parquet(tmp_path / "mine.parquet", **columns))


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b'{"prompt": "a"}', pickle.dumps(["a"]), b"PAR1" + b"\0" * 99 + b"PAR1"]
)
def test_a_file_that_only_claims_to_be_parquet_is_refused(tmp_path, data):
    file = tmp_path / "mine.parquet"
    file.write_bytes(data)
    with pytest.raises(InputError, match="cannot read task file mine.parquet: it is no whole"):
        read_task_file(file)


def test_parquet_cut_short_is_refused(tmp_path):
    file = write_parquet(tmp_path / "mine.parquet", prompt=["a", "b"])
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cannot read task file mine.parquet"):
            read_task_file(file)


def test_a_flipped_byte_in_parquet_gives_cases_or_one_line(tmp_path):
    file = write_parquet(tmp_path / "mine.parquet", prompt=["a", "b"], answer=["1", "2"])
    whole = file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        file.write_bytes(damaged)
        try:
            read_task_file(file)
        except InputError as error:
            assert "\n" not in str(error)


def test_parquet_that_is_missing_or_a_folder_is_refused(tmp_path):
    (tmp_path / "folder.parquet").mkdir()
    for name in ("gone.parquet", "folder.parquet"):
        with pytest.raises(InputError, match=f"cannot read task file {name}: "):
            read_task_file(tmp_path / name)


def test_parquet_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    file = write_parquet(tmp_path / "mine.parquet", prompt=["abc"] * 1000)
    monkeypatch.setattr("analysis.prompts.MAX_TEXT_BYTES", 2**20)
    assert len(read_task_file(file)) == 1000
    monkeypatch.setattr("analysis.prompts.MAX_TEXT_BYTES", 2999)
    with pytest.raises(InputError, match="holds more than 0 MiB of text"):
        read_task_file(file)
    monkeypatch.setattr("analysis.prompts.MAX_CASES", 999)
    with pytest.raises(InputError, match="claims 1,000 cases; 999 at most are read"):
        read_task_file(file)


def test_the_path_of_a_parquet_file_is_no_pattern(tmp_path):
    write_parquet(tmp_path / "a.parquet", prompt=["a"])
    with pytest.raises(InputError, match="No such file"):
        read_task_file(tmp_path / "*.parquet")


def test_a_set_that_lacks_an_answer_is_refused_where_all_are_needed():
    whole = PromptSet(name="mine", prompts=(CASES[0], CASES[0]))
    whole.require_answers()
    with pytest.raises(InputError, match="case 2 of mine has no answer"):
        PromptSet(name="mine", prompts=CASES).require_answers()


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
