"""Sessions whose rows are well-formed lies are replayed without ending the program."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from piloting import driving

from analysis.tasks import task
from screens.workspace import Workspace
from sessions import Session, examples_root
from sessions.parts import write_frame
from workbench.app import WorkbenchApp
from workbench.settings import load_settings

PAPER = examples_root() / "paper"
KINDS = sorted({each.step.kind: each.id for each in Session.open("example:paper").steps}.items())
TEXTS = (
    "",
    "[bold red]x[/]",
    "\x1b]52;c;x\x07",
    "L99999H1",
    "L-1N2",
    "x" * 3000,
    "a\u202eb\n\t",
    None,
)


def lied(frame: pl.DataFrame, chance: random.Random) -> pl.DataFrame:
    """The same columns with values that nobody measured."""
    columns = []
    for name, dtype in frame.schema.items():
        if chance.random() < 0.4:
            columns.append(frame[name])
            continue
        values = [_lie(dtype, chance) for _ in range(frame.height)]
        columns.append(pl.Series(name, values, dtype=dtype, strict=False))
    return pl.DataFrame(columns)


def _lie(dtype: pl.DataType, chance: random.Random):
    if isinstance(dtype, pl.List):
        return [_lie(dtype.inner, chance) for _ in range(chance.randrange(4))]
    if dtype == pl.String:
        return chance.choice(TEXTS)
    if dtype == pl.Boolean:
        return chance.choice((True, False, None))
    if dtype.is_float():
        return chance.choice((float("nan"), float("inf"), -1e300, 0.0, None))
    return chance.choice((-1, 0, 7, 2**31 - 1, None))


def hostile(folder: Path, kind: str, seed: int) -> str:
    """A session of the one step, lied about."""
    chance = random.Random(f"{kind} {seed}")
    own = folder / "hostile"
    source = next(PAPER / id for each, id in KINDS if each == kind)
    step = own / f"001-{kind}"
    step.mkdir(parents=True)
    (own / "session.json").write_bytes((PAPER / "session.json").read_bytes())
    (step / "step.json").write_bytes((source / "step.json").read_bytes())
    rows = Session.open("example:paper").step(source.name).rows()
    write_frame(step / "part-00000.parquet", lied(rows.head(40), chance))
    return "hostile"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
async def test_lies_are_shown_or_refused_and_the_program_goes_on(sessions_folder, kind, seed):
    session = Session.open(hostile(sessions_folder, kind, seed))
    workspace = Workspace(task("add1", shots=2))
    workspace.replay(session)
    async with driving(WorkbenchApp(workspace, load_settings())) as user:
        first = user.here
        await user.press("down", "right", "end", "s", "y", "enter", "T", "escape")
        for key in "12345678":
            await user.press(key)
        assert "\x1b" not in user.seen
        await user.press("7")
        assert user.here == "sessions"
        assert first in {"heads", "neurons", "tokens", "chain", "change", "paper", "sessions"}
