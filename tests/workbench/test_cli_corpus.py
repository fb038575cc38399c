"""`workbench corpus`: what parts fire on in a text, from the command line."""

from __future__ import annotations

import json

import pytest

KEYS = {"name", "kind", "rank", "document", "position", "token", "context", "value"}


@pytest.fixture
def text(tmp_path):
    """Four short documents."""
    path = tmp_path / "tale.txt"
    path.write_text("\n\n".join(f"3 + {each} = {3 + each}, and so on" for each in range(4)))
    return path


def test_contexts_tokens_and_quantiles_of_each_part(workbench, tiny, text):
    out = workbench(
        "corpus", "L1N2,L1H1", "--text", text, "--contexts", "2", "--json", *tiny
    ).document
    rows = out["rows"]
    assert set(rows[0]) >= KEYS
    assert {row["name"] for row in rows} == {"L1N2", "L1H1"}
    top = [row for row in rows if (row["name"], row["kind"]) == ("L1N2", "top")]
    assert [row["rank"] for row in top] == [1, 2]
    assert top[0]["value"] >= top[1]["value"]
    assert top[0]["token"] in top[0]["context"]
    assert len({row["document"] for row in top}) == 2
    assert str(text.parent) not in json.dumps(out)
    assert out["step"]["text"]["name"] == "tale.txt"


def test_the_table_has_the_token_in_the_middle_of_what_stands_around_it(workbench, tiny, text):
    told = workbench("corpus", "L1N2", "--text", text, *tiny).out
    line = next(line for line in told.splitlines() if " top " in line)
    assert "[" in line
    assert "]" in line


@pytest.mark.parametrize(
    ("part", "file", "words"),
    [
        ("L9N2", "tale.txt", "layers 0 to"),
        ("two", "tale.txt", "no neuron, head or layer"),
        ("L1N2", "none.txt", "there is no file"),
        ("L1N2", "empty.txt", "is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(refused, tiny, text, part, file, words):
    (text.parent / "empty.txt").touch()
    assert words in refused("corpus", part, "--text", text.parent / file, *tiny)
