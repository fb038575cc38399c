"""Sessions whose rows are well-formed lies are replayed without ending the program."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hands import Idle, workspace_of_all
from hostile import NASTY, harmless
from piloting import driving
from replays import replaying
from textual.events import Paste

from analysis.tasks.prompts import Prompt, PromptSet
from screens.case_form import CaseForm
from screens.dialogs import Ask, Confirm
from screens.workspace import InMemory, Reading
from sessions import Session, examples_root
from sessions.parts import write_frame
from workbench.app import WorkbenchApp
from workbench.roster import SCREENS

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


def hostile(folder: Path) -> str:
    """A session with a step of each kind recorded twice, lied about in two ways."""
    own = folder / "hostile"
    number = 0
    for kind, id in KINDS:
        rows = Session.open("example:paper").step(id).rows().head(40)
        for again in (1, 2):
            number += 1
            step = own / f"{number:03d}-{kind}"
            step.mkdir(parents=True)
            (step / "step.json").write_bytes((PAPER / id / "step.json").read_bytes())
            lies = lied(rows, random.Random(f"{kind} {again}"))
            write_frame(step / "part-00000.parquet", lies)
    (own / "session.json").write_bytes((PAPER / "session.json").read_bytes())
    return "hostile"


async def test_lies_are_shown_or_refused_and_the_program_goes_on(sessions_folder):
    session = Session.open(hostile(sessions_folder))
    app = replaying(session)
    screens = {kind: each.NAME for each in SCREENS for kind in (*each.KINDS, *each.BESIDE)}
    async with driving(app) as user:
        await user.press("left_curly_bracket")
        for place, recorded in enumerate(session.steps):
            kind = recorded.step.kind
            assert (user.here, user.workspace.replay_place) == (screens[kind], place), kind
            await user.press("down", "right", "end", "s", "y", "enter", "T", "escape")
            assert "\x1b" not in user.seen, kind
            if user.app.screen.result is not None:
                await user.press("V", "down", "right", "m", "y", "V")
                assert "\x1b" not in user.seen, kind
                assert user.here == "result", kind
            await user.press("right_square_bracket")
        await user.press(*"123456787")
        assert user.here == "sessions"


async def test_a_mistake_of_ours_is_not_called_damage_of_sound_rows(monkeypatch):
    def broken(self):
        raise TypeError("ours")

    app = replaying("example:addition")
    monkeypatch.setattr(SCREENS[1], "update", broken)
    with pytest.raises(TypeError, match="ours"):
        async with driving(app):
            pass


def tainted(value):
    """JSON in which every text is nasty."""
    if isinstance(value, str):
        return NASTY
    if isinstance(value, list):
        return [tainted(each) for each in value]
    return {key: tainted(each) for key, each in value.items()} if isinstance(value, dict) else value


def tainted_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows whose texts are nasty, but for the names that hold them together."""
    names = ("name", "part", "to")
    texts = {pl.String: NASTY, pl.List(pl.String): [NASTY, NASTY]}
    return frame.with_columns(
        pl.Series(name, [None if each is None else texts[dtype] for each in frame[name]], dtype)
        for name, dtype in frame.schema.items()
        if dtype in texts and name not in names
    )


def tainted_step(step):
    """The step on nasty prompts of a nasty name."""
    changes = {}
    for name in type(step).model_fields:
        value = getattr(step, name)
        if isinstance(value, Prompt):
            changes[name] = nasty_prompt(value)
        elif isinstance(value, PromptSet):
            prompts = tuple(map(nasty_prompt, value.prompts))
            changes[name] = value.model_copy(update={"name": NASTY, "prompts": prompts})
        elif name == "source":
            changes[name] = NASTY
    return step.model_copy(update=changes)


def nasty_prompt(prompt):
    return prompt.model_copy(update={"prompt": NASTY, "answer": NASTY, "group": NASTY})


def tainted_result(result):
    base = {k: v if k in ("head", "root") else tainted(v) for k, v in result.baseline.items()}
    return replace(
        result,
        step=tainted_step(result.step),
        baseline=base,
        held=InMemory(tainted_rows(result.rows)),
        note=NASTY,
        error=NASTY,
    )


@pytest.mark.parametrize("replaying", [True, False], ids=["in a replay", "live"])
async def test_no_text_of_anybody_is_obeyed_on_any_screen(replaying, sessions_folder):
    workspace = workspace_of_all()
    workspace.results = [tainted_result(each) for each in workspace.results]
    workspace.replaying, workspace.following = replaying, NASTY
    workspace.prompts = PromptSet(name=NASTY, prompts=(nasty_prompt(workspace.prompt),) * 3)
    workspace.reading = Reading(workspace.prompt, (NASTY,), frozenset(), (NASTY,), ((NASTY, 0.5),))
    workspace.model = workspace.model.model_copy(update={"name": NASTY})
    app = Idle(workspace)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:

        async def harmless_everywhere() -> None:
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            for strip in strips:
                assert strip.cell_length == 120
                assert harmless(strip.text), (app.screen, ascii(strip.text))
                assert not any(each.style and each.style.link for each in strip)
            if app.screen.query("#title"):
                assert r"\x1b" in "".join(strip.text for strip in strips)

        await pilot.pause()
        for screen in SCREENS:
            app.switch_screen(screen.NAME)
            for place, result in enumerate(workspace.results):
                if result.step.kind in (*screen.KINDS, *screen.BESIDE) or place == 0:
                    workspace.show(result)
                    workspace.replay_place = place
                    app.screen.refresh_all()
                    await harmless_everywhere()
        await pilot.press("T")
        await harmless_everywhere()
        await pilot.press("escape")
        WorkbenchApp.notify(app, NASTY)
        await harmless_everywhere()
        case = Prompt(
            prompt=f"{NASTY}\n{NASTY}", answer=(NASTY, "b"), corrupt="c", wrong=NASTY + "w"
        )
        form = CaseForm(app.workspace, case, {})
        for dialog in (Ask(NASTY, "", NASTY), Confirm(NASTY, NASTY)):
            app.push_screen(dialog)
            await harmless_everywhere()
            app.pop_screen()
        # What is edited is shown as the terminal draws it, but nothing that a terminal obeys.
        app.push_screen(form)
        await pilot.pause()
        for strip in app.screen._compositor.render_strips():
            assert not any(unicodedata.category(each) == "Cc" for each in strip.text)


async def test_what_is_pasted_into_a_line_is_taken_whole_or_not_at_all(sessions_folder):
    app = Idle(workspace_of_all())
    async with app.run_test() as pilot:
        await pilot.pause()
        app.push_screen(Ask("Prompt", escapes=True))
        await pilot.pause()

        async def paste(text: str) -> str:
            app.post_message(Paste(text))
            await pilot.pause()
            return app.focused.value

        assert await paste("one\rtwo\tthree") == r"one\ntwo\tthree"
        for refused in ("a\x1b]52;c;eA==\x07b", "a\x9b31m", "a\ud800", "a" * 100_000):
            assert await paste(refused) == r"one\ntwo\tthree"
        assert len(app.told) == 4
        assert all(each.startswith("Nothing is pasted: ") for each in app.told)
        assert all(harmless(each) for each in app.told)
