"""`workbench data`: the built-in cases, listed, shown, and written as files for `--task`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from analysis.errors import InputError
from analysis.folders import write_durably
from analysis.tasks.arithmetic import (
    CASES,
    TEST_CASES,
    TRAIN_CASES,
    Case,
    evaluation_cases,
    finetuning_cases,
)
from analysis.tasks.asking import TASK
from analysis.tasks.contrasts import CONTRASTS
from analysis.tasks.pairs import GENDERS, gender_pairs
from analysis.tasks.prompts import escaped
from analysis.tasks.standard import CASES as DRAWN
from analysis.tasks.standard import TASKS, about, task
from workbench.cli import completing, narration, options, output
from workbench.cli.step_commands import OnModel, on_a_model
from workbench.cli.steps import loaded

app = typer.Typer(help="List, show and write built-in cases, for --task.", no_args_is_help=True)

FORMATS = (".jsonl", ".parquet")
SHOWN = 5
"""Cases of a task that are enough to see what it asks."""
ENDS = 3
"""Answers of a case that are shown one by one."""
OutFile = Annotated[
    Path,
    typer.Argument(help="The file to write: .jsonl or .parquet.", metavar="OUT"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


@app.command("arithmetic")
def arithmetic(
    out: OutFile,
    digits: Annotated[int, typer.Option("--digits", help="Of the operands: 1, 2 or 3.")] = 2,
    cases: Annotated[
        int | None,
        typer.Option(
            "--cases",
            min=1,
            help=f"How many; else {CASES:,}, of train {TRAIN_CASES:,}, of test {TEST_CASES:,}.",
        ),
    ] = None,
    shots: options.Shots = 0,
    seed: options.Seed = None,
    split: Annotated[
        str,
        typer.Option("--split", help="eval, or for fine-tuning train or test: they share no case."),
    ] = "eval",
    force: Force = False,
) -> None:
    """Write + − × ÷ in four styles, as numerals and in words; for fine-tuning numerals alone."""
    _check_out(out, force)
    drawing = options.settings(seed=seed).seed
    if split == "eval":
        wanted = CASES if cases is None else cases
        found = evaluation_cases(digits, wanted, shots, drawing)
    elif shots:
        raise InputError("--shots goes with --split eval; fine-tuning has no worked examples")
    else:
        found = _finetuning_cases(split, digits, cases, drawing)
        wanted = len(found)
    rows = [each.prompt.model_dump() | each.details for each in found]
    short = f" (of {wanted:,}: there are no more)" if len(rows) < wanted else ""
    _write(out, rows, f"{split} cases of {digits}-digit arithmetic{short}, seed {drawing}")


@app.command("gender")
def gender(out: OutFile, force: Force = False) -> None:
    """Write 32 professions behind eight prompts, each about a woman and about a man."""
    _check_out(out, force)
    rows = [
        pair.about(gender).model_dump() | pair.details
        for pair in gender_pairs()
        for gender in GENDERS
    ]
    _write(out, rows, "cases of professions of women and men")


@app.command("list")
def listed(json: options.Json = False) -> None:
    """List the tasks that --task takes by name."""
    rows = [{"task": name, "asks": about(name)} for name in TASKS]
    if json:
        output.print_json(rows)
    else:
        output.print_table(pl.DataFrame(rows), "Tasks", ["task", "asks"])


@app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(help="A task.", metavar="TASK", autocompletion=completing.offering(TASK)),
    ],
    cases: Annotated[int, typer.Option("--cases", min=1, help="How many of them.")] = SHOWN,
    shots: options.Shots = 0,
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Show the first cases of a task."""
    found = task(name, shots, seed=options.settings(seed=seed).seed)
    rows = [each.model_dump(mode="json") for each in found.prompts[:cases]]
    if json:
        output.print_json(rows)
        return
    table = pl.DataFrame([_in_words(row) for row in rows])
    output.print_table(table, found.title, table.columns)


def _in_words(row: dict[str, Any]) -> dict[str, str]:
    """A case as a table shows it; a long list of answers by its ends."""
    told = {}
    for name, value in row.items():
        several = value if isinstance(value, list) else [value]
        if name != "marks" and value:
            ends = several if len(several) <= ENDS else [several[0], "…", several[-1]]
            told[name] = " ".join(escaped(each) for each in ends)
    return told


def _contrast(name: str) -> None:
    """Add the command that writes a task of cases with a second prompt."""

    @app.command(name, help=f"Write cases with a second prompt. {about(name)}")
    @on_a_model()
    def command(
        *,
        out: OutFile,
        cases: Annotated[int, typer.Option("--cases", min=1, help="How many to draw.")] = DRAWN,
        seed: options.Seed = None,
        force: Force = False,
        on: OnModel,
    ) -> None:
        _check_out(out, force)
        drawing = options.settings(seed=seed).seed
        drawn = task(name, cases=cases, seed=drawing)
        found = drawn.fitted(loaded(on.settings).fits)
        rows = [each.model_dump(mode="json") for each in found.prompts]
        without = f", {found.left_out} left out that do not fit the tokenizer"
        _write(out, rows, f"cases of {name}{without if found.left_out else ''}, seed {drawing}")


for _name in CONTRASTS:
    _contrast(_name)


def _finetuning_cases(split: str, digits: int, cases: int | None, seed: int) -> list[Case]:
    """The first of the cases to train or to test on, which are in no order."""
    if split not in ("train", "test"):
        raise InputError(f"--split {split}: choose eval, train or test")
    found = finetuning_cases(digits, seed)[("train", "test").index(split)]
    if cases is not None and cases > len(found):
        raise InputError(f"--cases {cases}: --split {split} has {len(found):,}")
    return found[:cases]


def _check_out(path: Path, force: bool) -> None:
    """Refuse, before any work, a file that could not be written or should not be."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path.name}: end it in {' or '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{path.name} is a folder")
    if path.exists() and not force:
        raise InputError(f"{path.name} is there already; --force replaces it")


def _write(path: Path, rows: Sequence[dict[str, Any]], what: str) -> None:
    """Write the rows aside, put them in place, and say so."""
    write_durably(path, _parquet(rows) if path.suffix == ".parquet" else _json_lines(rows))
    narration.say(f"written: {path}, {len(rows):,} {what}")


def _json_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    # Lists that happen to be empty hold words all the same.
    frame = pl.DataFrame(rows, schema_overrides={"marks": pl.List(pl.String)})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
