"""Screen 6: changes staged from other screens, undone, measured, used and exported."""

from __future__ import annotations

import shutil

import pytest
from piloting import driving, staged_names
from recorded_change import FOLDER as RECORDED
from textual.widgets import Footer
from textual.widgets._footer import FooterKey
from tiny_folder import write_tiny_adapter

from analysis.changes import Changes
from analysis.steps import CnaStep, EvaluateStep, HeadsStep, PairsStep
from screens.staged import Staged
from screens.widgets.frame_table import FrameTable
from sessions import Session


def keys_line(user) -> str:
    """The keys in sight at the bottom, and nothing that is cut off there."""
    footer = user.app.screen.query_one(Footer)
    shown = [each for each in footer.query(FooterKey) if each.region.right <= footer.region.right]
    return " ".join(f"{each.key_display} {each.description}" for each in shown)


@pytest.fixture
def swept(live, monkeypatch):
    """A workbench in front of a finished sweep, with little to measure elsewhere."""
    from screens import change

    monkeypatch.setattr(change, "ONE_DIGIT", ("add1", "sub1"))

    async def ready(user) -> None:
        await user.settled()
        await user.press("r")
        await user.settled()
        assert user.here == "heads"

    return live, ready


def test_history_goes_back_and_forth():
    staged, one = Staged(), Changes.parse(["L0H1"])
    assert not staged.go(-1)
    staged.put(one)
    staged.put(one.merged(Changes.parse(["L1N2=0.5"]).interventions))
    assert staged.unsaved
    assert staged.go(-1)
    assert staged.changes == one
    assert staged.go(1)
    assert len(staged.changes) == 2
    assert not staged.go(1)
    staged.go(-1)
    staged.put(Changes.parse(["L2H2"]))  # another way: what was undone is gone
    assert not staged.go(1)
    staged.saved(staged.changes)
    assert not staged.unsaved


async def test_the_screen_says_how_to_begin(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6")
        assert user.here == "change"
        assert "x  stages a head (2), x a neuron (3), x a node (5)" in user.text("#empty")
        await user.press("e")
        assert user.notices[-1].startswith("Nothing is staged")
        await user.press("u")
        assert user.notices[-1] == "There is nothing to undo."


async def test_x_stages_a_head_and_marked_neurons_and_u_takes_them_back(swept):
    live, ready = swept
    async with driving(live()) as user:
        await ready(user)
        await user.press("x")
        assert "staged; 6 shows what is" in user.notices[-1]
        await user.press("enter")
        await user.settled()
        assert user.here == "neurons"
        await user.press("space", "space", "x", "6")
        assert len(staged_names(user)) == 3
        assert "not in use · not exported" in user.text("#title")
        await user.press("u")
        assert len(staged_names(user)) == 1
        await user.press("U")
        assert len(staged_names(user)) == 3
        await user.press("d")
        assert len(staged_names(user)) == 2
        await user.press("D", "y")
        assert user.workspace.staged.changes == Changes()
        await user.press("u")
        assert len(staged_names(user)) == 2


async def test_e_measures_what_is_staged_beside_random_parts(swept):
    live, ready = swept
    async with driving(live(), (120, 36)) as user:
        await ready(user)
        await user.press("x", "6", "e")
        await user.settled()
        assert user.here == "change"
        result = user.result
        assert isinstance(result.step, EvaluateStep)
        assert Changes.of(result.step.edit) == user.workspace.staged.changes
        assert [each.name for each in result.step.others] == ["sub1"]
        measures = user.app.screen.query_one("#measures", FrameTable)
        assert measures.total == result.rows.height > 3
        assert {"before", "after", "control"} <= set(measures.current)
        await user.press("f")
        await user.type("L0H0=0.5")
        await user.press("enter")
        assert "not measured yet; e measures the task at hand" in user.text("#no-measures")


async def test_v_runs_every_analysis_on_the_variant(swept):
    live, ready = swept
    async with driving(live()) as user:
        await ready(user)
        plain = user.result
        await user.press("x", "6", "v")
        changes = user.workspace.staged.changes
        assert f"with {changes}" in user.notices[-1]
        await user.press("1", "r")
        await user.settled()
        assert user.here == "heads"
        step = user.result.step
        assert isinstance(step, HeadsStep)
        assert Changes.of(step.changes) == changes
        assert "· with L0H0" in user.text("#title")
        edited = plain.rows.filter(name=changes.texts[0])["logprob"].item()
        assert user.result.baseline["logprob"] == pytest.approx(edited, abs=1e-5)
        await user.press("6", "n")  # against the model as it is, though the variant is in use
        await user.settled()
        step = user.result.step
        assert isinstance(step, CnaStep)
        assert step.changes == ()
        assert step.ablate == changes.interventions[0]


async def test_w_exports_what_is_staged(swept, tmp_path):
    live, ready = swept
    async with driving(live()) as user:
        await ready(user)
        await user.press("x", "6", "w")
        await user.type(str(tmp_path / "changed"))
        await user.press("enter")
        await user.until(lambda: "exported" in user.text("#title").split("·")[-1])
        await user.until(lambda: not user.workspace.staged.unsaved)
        assert (tmp_path / "changed" / "provenance.json").exists()
        assert (tmp_path / "changed" / "model.safetensors").exists()
        await user.press("w", "enter")
        assert "is not empty; name a new folder" in user.text("Problem")
        assert user.app.focused.value == str(tmp_path / "changed")
        await user.type(str(tmp_path / "alone"))
        await user.press("tab")
        await user.type("adapter")
        await user.press("enter")
        assert "the model wears no adapter" in user.text("Problem")
        await user.type("mask")
        await user.press("enter")
        await user.until(lambda: (tmp_path / "alone" / "mask.json").exists())


async def test_w_writes_a_model_that_nothing_is_changed_in(live, tmp_path):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6", "w")
        await user.type(str(tmp_path / "plain"))
        await user.press("enter")
        await user.until(lambda: (tmp_path / "plain" / "provenance.json").exists())


async def test_w_copies_the_adapter_that_the_model_wears(live, tiny_folder, tmp_path):
    adapter = write_tiny_adapter(tiny_folder, tmp_path / "worn", "q_proj")
    async with driving(live(adapter=adapter)) as user:
        await user.settled()
        await user.press("6", "w")
        await user.type(str(tmp_path / "copy"))
        await user.press("tab")
        await user.type("adapter")
        await user.press("enter")
        await user.until(lambda: (tmp_path / "copy" / "adapter_model.safetensors").exists())


async def test_a_read_only_workbench_changes_nothing(live):
    async with driving(live(readonly=True)) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("x")
        assert user.notices[-1] == "The workbench is read-only: nothing is changed."
        assert user.workspace.staged.changes == Changes()


async def test_what_read_only_refuses_is_not_offered(live):
    async with driving(live(readonly=True)) as user:
        await user.settled()
        await user.press("6")
        footer = keys_line(user)
        assert "Pairs" in footer
        for words in ("LoRA", "Prune", "Stage", "Factor", "Measure", "Undo", "Use", "Write"):
            assert words not in footer
        assert "read-only: nothing is staged" in user.text("#empty")
        await user.press("e")
        assert user.notices[-1] == "The workbench is read-only: nothing is changed."


async def test_the_line_of_keys_fits_and_names_what_can_be_done(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6")
        beginning = keys_line(user)
        for words in ("a Pairs", "t LoRA", "p Prune", "x Stage", "f Factor", "T Steps", "? Keys"):
            assert words in beginning
        assert "e Measure" not in beginning
        await user.press("f")
        await user.type("L0H0")
        await user.press("enter")
        staged = keys_line(user)
        for words in ("e Measure", "u Undo", "f Factor", "d Drop", "v Use", "n CNA", "w Write"):
            assert words in staged
        assert "T Steps" in staged
        assert "? Keys" in staged
        await user.press("t")  # not in the line, yet there
        assert user.here == "Form"


async def test_a_replay_shows_the_recorded_change_and_nothing_of_what_is_staged(
    live, sessions_folder
):
    shutil.copytree(RECORDED, sessions_folder / RECORDED.name)
    for part in (sessions_folder / RECORDED.name / "002-evaluate").glob("*.parquet"):
        part.unlink()
    async with driving(live()) as user:
        await user.settled()
        await user.press("6", "f")
        await user.type("L0H0")
        await user.press("enter", "v", "7", "enter", "right_square_bracket")
        assert user.here == "change"
        assert user.workspace.replaying
        assert "18 neurons zeroed" in user.text("#title")
        assert "as recorded" in user.text("#title")
        user.app.clear_notifications()
        await user.pilot.pause()
        assert "L0H0" not in user.seen
        assert "staged" not in user.seen
        assert "in use" not in user.seen
        assert "there are no rows of it" in user.text("#no-measures")
        for words in ("Pairs", "LoRA", "Prune", "Stage", "Undo", "Use", "Write"):
            assert words not in keys_line(user)
        await user.press("e")
        assert user.notices[-1] == "This is a replay. Press c to continue it live."
        await user.press("c")
        assert staged_names(user) == ["L0H0"]
        assert "in use" in user.text("#title")


async def test_a_recorded_change_is_staged_again(live, on_tiny):
    on_tiny("edit", "--ablate", "L0H1,L1N2", "--factor", "0.5", "--session", "mine")
    session = Session.open("mine", writable=True)
    app = live(session)
    app.workspace.recall(session)
    async with driving(app) as user:
        await user.settled()
        assert user.here == "change"
        assert "as recorded" in user.text("#title")
        assert user.text("#variant").startswith(" x stages this change again")
        await user.press("x")
        assert user.workspace.staged.changes == Changes.parse(["L0H1,L1N2=0.5"])
        assert "not in use · not exported" in user.text("#title")
        assert user.text("#variant").endswith("u undoes, w writes")


async def test_parts_that_are_none_are_said(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6", "f")
        await user.type("L1Q2")
        await user.press("enter")
        assert "names neither a head nor a neuron" in user.text("Problem")


async def test_parts_that_the_model_does_not_have_are_refused_where_they_are_named(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6", "f")
        for part in ("L99H1", "L1H99", "L0N9999"):
            await user.type(f"L0H0,{part}")
            await user.press("enter")
            assert user.here == "Ask"
            assert f"{part} is not in tiny: it has layers 0 to 2 with" in user.text("Problem")
        await user.type("L0H0")
        await user.press("enter")
        assert staged_names(user) == ["L0H0"]


async def test_typing_takes_the_place_of_the_part_under_the_cursor(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6", "f")
        await user.type("L0H1=0.5")
        await user.press("enter", "f")
        assert user.text(".question") == "Scale L0H1, or other parts"
        assert user.app.focused.value == "L0H1=0.5"
        await user.press("L", "1", "N", "2", "enter")
        assert staged_names(user) == ["L0H1", "L1N2"]


def test_every_kind_of_step_has_a_screen():
    from analysis.step import REGISTRY
    from workbench.app import screen_for

    for kind in set(REGISTRY) - {"paced"}:
        shown = screen_for(kind)
        assert shown.NAME == "result" or kind in (*shown.KINDS, *shown.BESIDE)
    assert screen_for("what nobody has heard of").NAME == "result"


async def test_parts_of_other_origin_are_measured_on_the_task_at_hand(swept):
    live, ready = swept
    async with driving(live(), (100, 30)) as user:
        await ready(user)
        await user.press("x", "6", "a", "tab", "tab")
        await user.type("3")
        await user.press("enter")
        await user.until(lambda: isinstance(user.result.step, PairsStep))
        await user.settled()
        await user.press("x", "e")
        await user.settled()
        step = user.result.step
        assert isinstance(step, EvaluateStep)
        assert (step.prompts.name, step.pairs) == ("add1", ())


async def test_a_prompt_without_an_answer_is_measured_on_what_the_model_says_itself(swept):
    live, ready = swept
    async with driving(live()) as user:
        await ready(user)
        await user.press("1", "n")
        await user.type("1 + 1")
        await user.press("enter", "enter", "2", "x", "6", "e")
        await user.settled()
        step, names = user.result.step, user.result.rows["name"].to_list()
        assert [(each.prompt, each.answer) for each in step.prompts.prompts] == [("1 + 1", None)]
        assert names[:3] == ["accuracy", "logprob", "logit difference"]


async def test_the_last_change_undone_leaves_its_measures_and_a_way_forward(swept):
    live, ready = swept
    async with driving(live(), (100, 30)) as user:
        await ready(user)
        await user.press("x", "6", "e")
        await user.settled()
        assert user.text("#title").lstrip().startswith("Change · ")
        await user.press("u")
        assert user.text("#title").lstrip().startswith("Nothing is staged · measured before · ")
        shown = {
            each.binding.key
            for each in user.app.screen.active_bindings.values()
            if each.binding.show
        }
        assert "U" in shown
        assert "u" not in shown


async def test_n_compares_with_a_variant_of_several_factors(swept):
    live, ready = swept
    async with driving(live()) as user:
        await ready(user)
        await user.press("6", "n")
        assert user.notices[-1].startswith("Nothing is staged")
        await user.press("f")
        await user.type("L0H1,L0N4=0.5")
        await user.press("enter", "f")
        await user.type("L1N5=2")
        await user.press("enter", "n")
        await user.settled()
        step = user.result.step
        assert isinstance(step, CnaStep)
        assert len(step.contrast) == 2
        assert step.contrast == user.workspace.staged.changes.interventions
