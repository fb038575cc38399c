"""Files of cases as people have them."""

from __future__ import annotations

import gzip
import json
import pickle
from io import BytesIO

import polars as pl
import pytest

from analysis.errors import InputError
from analysis.tasks.prompts import Message, Prompt, PromptSet
from analysis.tasks.task_files import parse_columns, read_task_file

CASES = (
    Prompt(prompt="a\nb", answer="é", group="g", marks=("memorize", "change-one")),
    Prompt(prompt="c", roles={"all": "c"}),
)


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


ASKED = [
    {"prompt": 'a, "b"\nc', "answer": " four"},
    {"prompt": "3 + 5 = ", "answer": "8", "group": "+"},
    {"prompt": "é", "answer": "8.50"},
]
LINES = "\n".join(map(json.dumps, ASKED))
TABLE = 'answer,prompt,group,note\n four,"a, ""b""\nc",,1\n8,3 + 5 = ,+,\n8.50,é,,\n'


def parquet() -> bytes:
    file = BytesIO()
    pl.DataFrame(ASKED).write_parquet(file)
    return file.getvalue()


PACKED = gzip.compress(b"prompt\na\n", mtime=0)
"""With no time in it: the cases of a test are named by their bytes."""
FILES = {
    "a.jsonl": LINES.encode(),
    "bom.jsonl": b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n\r\n").encode() + b"\r\n",
    "utf16.jsonl": LINES.encode("utf-16"),
    "numbers.jsonl": LINES.replace('"8"', "8").replace('"8.50"', "8.50").encode(),
    "array.json": json.dumps(ASKED, indent=1).encode(),
    "lines.json": LINES.encode(),
    "a.csv": TABLE.encode(),
    "crlf.CSV": b"\xef\xbb\xbf" + TABLE.replace("1\n", "1\r\n").replace(",\n", ",\r\n").encode(),
    "a.tsv": TABLE.replace('a, ""', 'a| ""').replace(",", "\t").replace("|", ",").encode(),
    "a.parquet": parquet(),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", FILES)
def test_the_same_cases_are_read_from_every_kind_of_file(tmp_path, name, packed):
    file = tmp_path / (f"{name}.gz" if packed else name)
    file.write_bytes(gzip.compress(FILES[name], mtime=0) if packed else FILES[name])
    read = read_task_file(file)
    assert read.prompts == tuple(Prompt(**each) for each in ASKED)
    assert read.name == name.partition(".")[0]


def test_a_pair_is_read_from_every_kind_of_file(tmp_path):
    pair = {"prompt": "a", "corrupt": "b", "answer": "c", "wrong": "d"}
    case = Prompt(**pair)
    header, row = ",".join(pair), ",".join(pair.values())
    for name, text in {
        "a.jsonl": json.dumps(pair | {"wrong": ["d"]}),
        "a.json": json.dumps([pair]),
        "a.csv": f"{header}\n{row}\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert read_task_file(tmp_path / name).prompts == (case,)
    wrong = [["d", "e"]]
    file = write_parquet(tmp_path / "a.parquet", prompt=["a"], bad=["b"], answer=["c"], wrong=wrong)
    columns = parse_columns("corrupt=bad")
    assert read_task_file(file, columns).prompts == (
        Prompt(prompt="a", corrupt="b", answer="c", wrong=("d", "e")),
    )
    numbers = write_parquet(tmp_path / "b.parquet", prompt=["a"], corrupt=[1])
    with pytest.raises(InputError, match="its column corrupt holds Int64, not String"):
        read_task_file(numbers)


def test_columns_of_other_names_are_named(tmp_path):
    columns = parse_columns("prompt=question, answer=target")
    names = {"question": "a", "target": [1, " one"], "prompt": "not this"}
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    lines.write_text(json.dumps(names))
    table.write_text("question;target\na;1\n".replace(";", ","))
    assert read_task_file(lines, columns).prompts == (Prompt(prompt="a", answer=("1", " one")),)
    assert read_task_file(table, columns).prompts == (Prompt(prompt="a", answer="1"),)
    with pytest.raises(InputError, match="row 1: prompt: Field required; it has question, target"):
        read_task_file(table)
    for file in (lines, table):
        with pytest.raises(InputError, match=f"{file.name} has no column words; it has question"):
            read_task_file(file, {"answer": "words"})


@pytest.mark.parametrize("text", ["prompt", "prompt=", "words=a", "prompt=a,prompt=b", ""])
def test_columns_that_are_none_are_refused(text):
    with pytest.raises(InputError):
        parse_columns(text)


def test_of_acceptable_answers_equal_ones_count_once(tmp_path):
    file = write_parquet(tmp_path / "mine.parquet", prompt=["a", "b"], answer=[["8", " e"], ["1"]])
    both, one = read_task_file(file).prompts
    assert both.answers == ("8", " e")
    assert one == Prompt(prompt="b", answer="1") == Prompt(prompt="b", answer=[1, "1"])


def test_a_chat_is_shown_as_its_messages_and_reads_back(tmp_path):
    file = tmp_path / "chat.jsonl"
    turns = [{"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    file.write_text(json.dumps({"messages": turns, "answer": "d"}))
    (chat,) = read_task_file(file).prompts
    assert chat.messages == (
        Message(role="system", content="b"),
        Message(role="user", content="c"),
    )
    assert chat.prompt == "system: b\nuser: c"
    assert Prompt.model_validate_json(chat.model_dump_json()) == chat
    assert "messages" not in Prompt(prompt="a").model_dump()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"prompt,answer\na,1\nb,1,2\n", "a.csv line 3: this is no row of the table"),
        ("a.csv", b'prompt,answer\na,1\n"b,2\n', "a.csv line 3: this is no row of the table"),
        ("a.csv", b"", "a.csv holds no cases"),
        ("a.csv", b"prompt,answer\n", "a.csv holds no cases"),
        ("a.csv", b"prompt,answer\na,1\n,2\n", "a.csv row 2: prompt: Field required"),
        ("a.csv", b"prompt\na\n\xe9\n", "a.csv: it is not UTF-8 text .line 3"),
        ("a.json", b'[{"prompt": "a"},\n{"prompt" "b"}]', "line 2, column 11: this is not JSON"),
        ("a.json", b'[{"prompt": "a"}, 1]', "a.json case 2 is not an object"),
        ("a.json", b'[{"prompt": "a"}, {"prompt": ""}]', "a.json case 2: the prompt is empty"),
        ("a.json", b"[" * 100_000, "a.json line 1 is nested too deeply"),
        ("a.csv.gz", PACKED[:-9], "a.csv.gz: it is no whole gzip file"),
        ("a.csv.gz", b"\x1f\x8bno", "a.csv.gz: "),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as refused:
        read_task_file(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.tasks.task_files.MAX_TEXT_BYTES", 2**20)
    for name in ("a.jsonl.gz", "a.parquet.gz"):
        (tmp_path / name).write_bytes(gzip.compress(bytes(2**21), mtime=0))
        with pytest.raises(InputError, match=f"{name} holds more than 1 MiB of text"):
            read_task_file(tmp_path / name)


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
        ('{"prompt": "a", "answer": true}', "the answer is neither a text nor a number"),
        ('{"prompt": "a", "answer": []}', "the list of acceptable answers is empty"),
        ('{"prompt": "a", "answer": ["b", ""]}', "an acceptable answer is empty"),
        ('{"prompt": "a", "answer": "\\ud800"}', "half a surrogate pair"),
        ('{"prompt": "a", "answer": ' + "1" * 5_000 + "}", "a number of too many digits"),
        ('{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', "not both"),
        ('{"messages": [{"role": "assistant", "content": "b"}]}', "the last message is the"),
        ('{"messages": [{"role": "user"}]}', "messages.0.content: Field required"),
        ('{"prompt": "a", "marks": "memorize"}', "marks: Input should be a valid tuple"),
        ('{"prompt": "a", "marks": ["know"]}', "marks.0: Input should be 'memorize' or"),
        ('{"prompt": "a", "wrong": ""}', "the wrong answer is empty; leave it out"),
        ('{"prompt": "a", "wrong": ["b", null]}', "the list of wrong answers is empty or has"),
        ('{"prompt": "a", "answer": [1, 2], "wrong": "2"}', "'2' is given as the answer and as w"),
        ('{"prompt": "a", "corrupt": "a"}', "the corrupt prompt is the prompt itself"),
        ('{"prompt": "a", "corrupt": ""}', "the corrupt prompt is empty"),
        ('{"messages": [{"role": "user", "content": "b"}], "corrupt": "c"}', "not with messages"),
        ('{"prompt": "ab", "roles": {"x": "a"}}', "role x: the prompt has 'a' 0 times"),
        (
            '{"prompt": "a", "roles": {"x": "a", "y": "a"}}',
            "x, y: the prompt has 'a' 1 times",
        ),
        ('{"prompt": "a", "roles": "a"}', "give roles as an object, such as"),
        ('{"prompt": "a", "roles": {"x": " "}}', "role x names no word"),
        ('{"prompt": "a", "roles": {"x": 0}}', "role x: the prompt has '0' 0 times"),
        ('{"prompt": "a", "roles": {"x": true}}', "role x is neither a text nor a number"),
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
        ({"prompt": ["a"], "roles": ["x"]}, "its column roles holds String, not Struct of texts"),
        ({"prompt": ["a", ""]}, "mine.parquet row 2: the prompt is empty"),
        ({"prompt": ["a", None]}, "mine.parquet row 2: prompt: Field required"),
        ({"prompt": ["a"], "marks": [["know"]]}, "mine.parquet row 1: marks.0: Input should be"),
        (
            {"prompt": pl.Series([], dtype=pl.String)},
            "mine.parquet holds no cases; an object a line",
        ),
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
    monkeypatch.setattr("analysis.tasks.task_files.MAX_TEXT_BYTES", 2**20)
    assert len(read_task_file(file)) == 1000
    monkeypatch.setattr("analysis.tasks.task_files.MAX_TEXT_BYTES", 2999)
    with pytest.raises(InputError, match="holds more than 0 MiB of text"):
        read_task_file(file)
    monkeypatch.setattr("analysis.tasks.task_files.MAX_CASES", 999)
    with pytest.raises(InputError, match="claims 1,000 cases; 999 at most are read"):
        read_task_file(file)


def test_the_path_of_a_parquet_file_is_no_pattern(tmp_path):
    write_parquet(tmp_path / "a.parquet", prompt=["a"])
    with pytest.raises(InputError, match="No such file"):
        read_task_file(tmp_path / "*.parquet")
