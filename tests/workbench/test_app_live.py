"""The application on a live model: sweep, stop, resume, pivot, filter, mark, quit."""

from __future__ import annotations

import re

import pytest
import torch
from piloting import driving, rows_by_name
from textual.events import Paste
from tiny_folder import HEADS_IN_ALL, write_tiny_adapter

from analysis.methods.spelling import standing
from analysis.refs import HeadRef
from analysis.tasks.prompts import Prompt
from screens.text import number
from screens.widgets.cell_map import HeadMap
from screens.widgets.lines import ProgressLine, StatusLine
from screens.widgets.token_strip import TokenStrip
from sessions import Session, list_sessions

HEADS = [HeadRef(layer, head) for layer in range(3) for head in range(4)]


async def test_the_first_screen_fills_in_when_the_model_is_there(live):
    async with driving(live()) as user:
        assert user.here == "prompts"
        assert user.table.total == 36
        await user.settled()
        await user.until(lambda: user.workspace.reading is not None)
        assert "says" in user.text("#predictions")
        assert user.app.screen.query_one(TokenStrip).render_line(0).text.startswith(" 0 <s> ")
        assert user.line(StatusLine).startswith("tiny float32 cpu │ parity ")


async def test_r_sweeps_the_heads_and_the_map_shows_what_is_on_disk(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        assert user.here == "heads"
        await user.settled()
        recorded = Session.open("add1-1").step(1)
        rows, intact = rows_by_name(recorded.rows()), recorded.info.baseline["logprob"]
        shown = user.app.screen.query_one(HeadMap)
        for head in HEADS:
            assert shown.value(head) == pytest.approx(rows[str(head)]["logprob"] - intact)
        worst = min(rows.values(), key=lambda row: row["logprob"])
        first = user.text("#most").splitlines()[1]  # rank, most harm, most help
        assert first.split()[:2] == ["1", worst["name"]]


async def test_cells_fill_in_one_by_one_while_a_sweep_runs(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.until(lambda: user.result.estimates is not None)
        shown = user.app.screen.query_one(HeadMap)
        intact = user.result.baseline["logprob"]
        for done in (1, 2, 5):
            gate.let(done - user.result.rows.height)
            await user.until(lambda done=done: user.result.rows.height == done)
            exact = rows_by_name(user.result.rows)
            estimated = rows_by_name(user.result.estimates)
            for head in HEADS:
                row = exact.get(str(head), estimated[str(head)])
                assert shown.value(head) == pytest.approx(row["logprob"] - intact)
            assert f"{done} of 12" in user.line(ProgressLine)
        assert "esc stops" in user.line(ProgressLine)
        gate.let_all()
        await user.settled()
        assert user.line(ProgressLine) == ""


async def test_estimates_are_told_from_exact_values_under_the_cursor(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(1)
        await user.until(lambda: user.result.rows.height == 1)
        exact = HeadRef.parse(user.result.rows["name"][0])
        other = next(head for head in HEADS if head != exact)
        shown = user.app.screen.query_one(HeadMap)
        shown.move_to(exact)
        await user.pilot.pause()
        assert "estimated" not in user.text("#reading")
        assert re.search(r"rank +1 of 1\n", user.text("#reading"))
        shown.move_to(other)
        await user.pilot.pause()
        assert "estimated" in user.text("#reading")
        assert "~" in user.text("#reading")


async def test_esc_before_the_first_rows_leaves_nothing(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.until(lambda: user.result.state == "running")
        assert re.search(r" 0 of 12 · .* s · esc stops", user.line(ProgressLine))
        await user.press("escape")
        await user.until(lambda: not user.workspace.results)
        assert user.text("#empty").startswith("What each attention head is worth")
        assert (user.line(ProgressLine), list_sessions()) == ("", [])


async def test_the_cursor_goes_to_the_strongest_head_unless_it_was_moved(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        shown = user.app.screen.query_one(HeadMap)
        worst = min(user.result.rows.to_dicts(), key=lambda row: row["logprob"])
        assert str(shown.cursor) == worst["name"]
        await user.press("G", "z")
        await user.settled()
        assert len(user.workspace.results) == 2
        assert shown.cursor == HEADS[-1]


async def test_esc_stops_a_sweep_and_r_goes_on_with_it(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(3)
        await user.until(lambda: user.result.rows.height == 3)
        await user.press("escape")
        await user.settled()
        assert user.here == "heads"
        assert user.result.state == "stopped"
        before = Session.open("add1-1").step(1).rows()
        assert before.height == 3

        gate.let_all()
        await user.press("r")
        await user.until(lambda: user.result.state == "done")
        assert len(user.workspace.results) == 1
        assert user.result.rows["name"].to_list()[:3] == before["name"].to_list()
        assert sorted(user.result.rows["name"]) == [str(head) for head in HEADS]
        (summary,) = list_sessions()
        assert summary.states == ("done",)


async def test_a_sweep_that_is_done_is_shown_again_not_run_again(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("1", "r")
        assert user.here == "heads"
        assert user.workspace.running is None
        assert len(user.workspace.results) == 1


async def test_enter_leads_from_a_head_to_its_neurons_to_their_tokens_and_esc_back(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("right", "down", "enter")
        assert user.here == "neurons"
        await user.settled()
        step = user.result.step
        assert (step.kind, str(step.ablate)) == ("cna", "L1H1 zeroed")
        assert step.prompt == user.workspace.prompt
        assert "certified" in user.text("#title")
        name = user.table.current_key
        assert name == user.result.step.ranked(user.result.rows)["name"][0]

        await user.press("down", "enter")
        assert user.here == "tokens"
        await user.settled()
        second = user.workspace.current("cna")
        assert user.result.step.source == second.step.ranked(second.rows)["name"][1]
        assert user.result.step.prompt == user.workspace.prompt
        assert user.result.rows["end"].unique().sort().to_list() == ["bottom", "top"]

        await user.press("escape")
        assert user.here == "neurons"
        await user.press("escape")
        assert user.here == "heads"
        await user.press("escape", "escape", "escape")
        assert user.here == "prompts"


async def test_a_head_that_is_clicked_twice_leads_to_its_neurons(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        layout = user.app.screen.query_one(HeadMap).geometry
        region = layout.region(2, 1)
        await user.pilot.click(HeadMap, offset=(region.x + layout.gap, region.y), times=2)
        await user.until(lambda: user.here == "neurons")
        await user.settled()
        assert str(user.result.step.ablate) == "L2H1 zeroed"


async def test_number_keys_show_every_screen(live):
    async with driving(live()) as user:
        screens = {"2": "heads", "3": "neurons", "4": "tokens", "5": "chain", "7": "sessions"}
        for key, name in screens.items():
            await user.press(key)
            assert user.here == name
        await user.press("1")
        assert user.here == "prompts"


async def test_esc_on_a_screen_stops_what_that_screen_waits_for(live, gate):
    """A second sweep waits behind the first; stopping it leaves the first one running."""
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(1)
        await user.until(lambda: user.result.rows.height == 1)
        await user.press("1", "plus", "r")
        waiting = user.result
        assert (waiting.state, len(user.workspace.results)) == ("queued", 2)
        await user.press("escape")
        gate.let(1)
        await user.until(lambda: len(user.workspace.results) == 1)
        assert user.workspace.results[0].state == "running"
        gate.let_all()
        await user.settled()
        assert [each.state for each in user.workspace.results] == ["done"]
        assert list_sessions()[0].states == ("done",)


async def test_a_projection_comes_while_a_sweep_runs(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(1)
        await user.until(lambda: user.result.rows.height == 1)
        await user.press("4", "n")
        await user.type("L0N7")
        await user.press("enter")
        gate.let(1)
        await user.until(lambda: user.result.state == "done")
        assert user.here == "tokens"
        assert user.workspace.current("heads").state == "running"


async def test_a_model_that_fails_to_load_is_said_and_recorded_sessions_still_open(live):
    async with driving(live(model="./nowhere")) as user:
        await user.until(lambda: user.workspace.model_failed)
        assert "no such file or folder: ./nowhere" in user.notices[-1]
        assert user.line(StatusLine).startswith("no such file or folder: ./nowhere")
        await user.press("r")
        assert user.here == "prompts"
        assert user.notices[-1].startswith("The model is not ready")
        await user.press("7", "enter")
        await user.until(lambda: user.here == "heads")
        assert user.result.rows.height == 270


async def test_what_is_asked_before_the_model_is_there_waits_for_it_and_says_so(live, monkeypatch):
    import threading

    from workbench import jobs

    loaded, plain = threading.Event(), jobs.open_model
    monkeypatch.setattr(jobs, "open_model", lambda *given: loaded.wait(60) and plain(*given))
    async with driving(live()) as user:
        try:
            await user.press("r")
            await user.until(lambda: user.here == "heads")
            assert "heads  waits for the model: loading" in user.line(ProgressLine)
        finally:
            loaded.set()
        await user.settled()
        assert user.result.rows.height == HEADS_IN_ALL


async def test_marked_heads_are_ablated_together_and_the_answer_stands_beside_the_map(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("a")
        assert user.notices[-1].startswith("Mark heads with space first")
        await user.press("space", "right", "down", "space")
        assert user.text("#most").startswith(" marked  L0H0 L1H1")
        await user.press("a")
        await user.settled()
        assert user.here == "heads"
        assert user.result.step.kind == "heads"
        recorded = Session.open("add1-1").step(2)
        row = recorded.rows().row(0, named=True)
        assert (row["name"], row["heads"]) == ("L0H0,L1H1", 2)
        assert "L0H0,L1H1 zeroed" in user.text("#together")
        assert f"accuracy {row['accuracy']:.1%}" in user.text("#together")


async def test_z_sweeps_with_the_mean_in_a_head_s_place_and_back(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        zeroed = user.result
        await user.press("z")
        await user.settled()
        assert user.result.step.mode == "mean"
        assert "mean-ablating" in user.text("#title")
        assert user.result.rows["logprob"].sum() != zeroed.rows["logprob"].sum()
        await user.press("space", "a")
        await user.until(lambda: user.workspace.latest("ablate", 1))
        assert user.workspace.latest("ablate", 1)[0].step.mode == "mean"
        await user.press("z")
        assert user.result.id == zeroed.id
        assert len([each for each in user.workspace.results if each.step.kind == "heads"]) == 2


async def test_an_adapter_is_worn_and_said(live, tiny_folder, tmp_path):
    adapter = write_tiny_adapter(tiny_folder, tmp_path / "lora", "v_proj")
    async with driving(live(adapter=adapter)) as user:
        await user.settled()
        assert user.line(StatusLine).startswith("tiny wearing lora float32 cpu")
        await user.press("i")
        await user.settled()
        assert user.result.model.adapter == "lora"


async def test_another_task_puts_cursor_and_case_on_the_same_prompt(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("down", "down", "down", "t")
        await user.press("down", "enter")
        await user.until(lambda: user.workspace.prompts.name == "sub1")
        await user.until(
            lambda: (
                user.workspace.reading and user.workspace.reading.prompt == user.workspace.prompt
            )
        )
        assert user.table.current_key == str(user.workspace.case + 1)


async def test_every_task_can_be_chosen_and_arithmetic_takes_worked_examples(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("t", *"dd2", "enter")
        await user.until(lambda: user.workspace.prompts.name == "add2")
        assert len(user.workspace.prompts) == 100
        before = user.workspace.prompt.prompt
        await user.press("plus")
        await user.until(lambda: user.workspace.prompt.prompt != before)
        assert user.workspace.prompt.prompt.count("\n") == 3
        await user.press("t", *"gen", "enter")
        await user.until(lambda: user.workspace.prompts.name == "gender")
        assert user.workspace.prompt.prompt == "A woman works as a"
        await user.press("plus")
        await user.until(lambda: user.notices[-1].startswith("Shots belong to arithmetic"))


async def test_a_case_is_typed_in_one_form_and_read_while_one_types(live, tiny_model):
    letters = (
        (each, standing(tiny_model, Prompt(prompt="ab", answer=each)))
        for each in "abcdefghijklmnopqrstuvwxyz"
    )
    letter, found = next((each for each in letters if each[1].rather is not None), ("", None))
    assert found is not None
    async with driving(live()) as user:
        await user.press("n")
        await user.write("\\")  # whatever stands there, nothing is in the way of typing
        await user.press("enter")
        assert user.here == "prompts"
        await user.press("n", "enter")
        assert "the prompt is empty" in user.text("Problem")
        await user.settled()
        user.app.post_message(Paste("one\rtwo\\"))
        await user.press("ctrl+j", "a")
        await user.until(lambda: "says" in user.text("#of-prompt .told"))
        assert "top prediction" in user.text("#of-answer .told")
        assert user.workspace.prompts.name == "prompt"

        # Escape keeps a draft, which stands there again and is typed over.
        await user.press("escape", "n")
        assert user.app.focused.text == "one\ntwo\\\\\na"
        await user.write("ab")
        await user.press("tab")
        await user.write(letter)
        spelt = f"P = {found.prob:.3g}, rank {found.rank:,}"
        await user.until(lambda: spelt in user.text("#of-answer .told"))
        assert "ctrl+r takes that" in user.text("#of-answer .told")
        await user.press("ctrl+r")
        assert user.app.focused.text == found.rather.answer
        await user.press("ctrl+n")
        await user.until(lambda: len(user.workspace.prompts) == 2)
        assert user.workspace.prompt == Prompt(prompt="ab", answer=found.rather.answer)
        assert user.table.current_key == "2"
        await user.press("n")
        assert user.app.focused.text == ""  # what was taken is no draft


async def test_two_prompts_are_typed_under_each_other(live, tiny_model):
    async with driving(live()) as user:
        await user.settled()
        await user.press("n")
        for text in ("the cat sat", "x", "the dog sat"):
            await user.write(text)
            await user.press("tab")
        await user.write("y")
        await user.until(lambda: "difference" in user.text("#of-wrong .told"))
        clean, corrupt = (
            _difference(tiny_model, each, "x", "y") for each in ("the cat sat", "the dog sat")
        )
        shown = user.text("#of-wrong .told")
        assert f"difference {number(clean, 3, sign=True)}" in shown
        assert f"in the corrupt prompt {number(corrupt, 3, sign=True)}" in shown
        await user.press("up")
        await user.write("s on")
        await user.until(lambda: "both need the same number" in user.text("#of-corrupt .told"))
        await user.press("enter")
        assert "both need the same number" in user.text("Problem")
        await user.press("backspace", "backspace", "backspace", "backspace")
        await user.press("enter")
        await user.until(lambda: user.workspace.prompt.corrupt == "the dog sat")
        assert user.workspace.prompt.wrong == "y"


def _difference(model, prompt: str, answer: str, wrong: str) -> float:
    """How much more an answer's logit is than a wrong one's, in one plain run."""
    ids, right = (model.encode(Prompt(prompt=prompt, answer=answer)),) * 2
    other = model.encode(Prompt(prompt=prompt, answer=wrong))
    with torch.no_grad():
        logits = model.hf(torch.tensor([ids.ids])).logits[0, -1]
    return float(logits[right.answer_ids[0]] - logits[other.answer_ids[0]])


async def test_cases_come_from_a_file_whatever_its_columns_are_called(live, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("q,a\none a,~\none b,^\n", "utf-8")
    async with driving(live()) as user:
        await user.settled()
        await user.press("t")
        await user.write(str(path)[:-4])
        await user.press("tab")
        assert user.app.focused.value == str(path)
        await user.press("enter")
        assert "mine.csv row 1: prompt: Field required; it has q, a" in user.text("Problem")
        await user.type("prompt=q,answer=a")
        await user.press("enter")
        await user.until(lambda: user.workspace.prompts.name == "mine")
        await user.press("r")
        await user.settled()
        assert any("answers 0 of 2 cases right" in each for each in user.notices)
