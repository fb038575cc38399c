"""Screen 6: LoRA, pruning and the neurons of pairs, asked for in forms."""

from __future__ import annotations

import json

from piloting import driving, staged_names
from textual.widgets import Input

from analysis.changes import Changes
from analysis.refs import HeadRef
from analysis.steps import EvaluateStep, LoraStep, PairsStep, PruneStep
from screens.widgets.frame_table import FrameTable


async def fill(user, **values):
    """Type into the fields of the form that is open."""
    for name, text in values.items():
        (field,) = [each for each in user.app.screen.query(Input) if each.name == name]
        field.focus()
        await user.pilot.pause()
        await user.type(text)


async def test_t_trains_adapters_layer_by_layer_and_draws_the_curve(live):
    async with driving(live(), (120, 40)) as user:
        await user.settled()
        await user.press("6", "t")
        await fill(user, layers="0,2", epochs="3")
        await user.press("enter")
        await user.until(lambda: user.result.rows.height > 0)
        await user.settled()
        assert user.here == "change"
        step = user.result.step
        assert isinstance(step, LoraStep)
        assert LoraStep.finished(user.result.rows)["layer"].sort().to_list() == [0, 2]
        assert user.app.screen.query_one("#curve").display
        assert "LoRA on 2 layers, one at a time" in user.text("#title")
        await user.press("t")
        await user.type("9")
        await user.press("enter")
        assert "layer 9 is out of range; tiny has layers 0 to 2" in user.text("Problem")
        await user.press("escape", "t")
        assert user.app.focused.value == "9"


async def test_p_prunes_to_the_neurons_of_a_head(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("6", "p")
        await fill(user, head="L1H2", top="20")
        await user.press("enter")
        await user.settled()
        step = user.result.step
        assert isinstance(step, PruneStep)
        assert (step.head, step.from_layer, step.top) == (HeadRef(1, 2), 1, 20)
        measures = user.app.screen.query_one("#measures", FrameTable)
        assert measures.copied(True)["name"].to_list() == list(step.forms)
        assert user.result.rows.height == user.result.expected > len(step.forms)
        await user.press("p")
        assert user.app.focused.value == "L1H2"
        await user.type("")
        await user.press("enter")
        assert "name a head, or a layer for LoRA and one to prune from" in user.text("Problem")
        await fill(user, **{"from layer": "2", "lora layer": "9"})
        await user.press("enter")
        assert "layer 9 is out of range" in user.text("Problem")
        await user.type("0")
        await user.press("enter")
        await user.until(lambda: user.result.step.layer == 0)
        step = user.result.step
        assert (step.head, step.from_layer, step.layer) == (None, 2, 0)
        await user.settled()
        await user.press("p")
        await fill(user, head="L1N2")
        await user.press("enter")
        assert "is not the name of a head" in user.text("Problem")
        await user.type("L99H1")
        await user.press("enter")
        assert "L99H1 is not in tiny: it has layers 0 to 2" in user.text("Problem")
        await user.press("tab", "tab")
        assert user.app.focused.value == "20"
        await user.press("escape")
        assert user.here == "change"


async def test_a_finds_the_neurons_of_pairs_x_stages_them_and_e_measures_their_gap(live):
    async with driving(live(), (100, 30)) as user:
        await user.settled()
        await user.press("6", "x")
        assert user.notices[-1].startswith("Nothing is found yet. Press a")
        await user.press("a")
        await fill(user, top="5")
        await user.press("enter")
        await user.until(lambda: user.workspace.results)
        await user.settled()
        found = user.result
        assert isinstance(found.step, PairsStep)
        assert (len(found.step.pairs), found.step.top) == (32, 5)
        first, *_ = found.step.pairs
        assert (first.first.prompt, first.second.prompt) == (
            "A woman works as a",
            "A man works as a",
        )
        assert "x stages these 5 neurons" in user.text("#variant")
        assert user.table.total == 5
        await user.press("x")
        names = found.rows.sort("importance_change", descending=True)["name"].to_list()
        assert staged_names(user) == names
        assert "staged; e measures the gap of 256 pairs" in user.text("#variant")
        await user.press("e")
        await user.settled()
        step = user.result.step
        assert isinstance(step, EvaluateStep)
        zeroed = {str(part): factor for part, factor in Changes.of(step.edit).factors}
        assert zeroed == dict.fromkeys(names, 0.0)
        assert (len(step.pairs), step.prompts, step.text.name) == (256, None, "sample")
        measured = user.result.rows["name"].to_list()
        assert measured == ["gap", "gap woman", "gap man", "loss", "perplexity"]
        await user.press("d")  # without one of them it is still an edit of these pairs
        assert "e measures the gap of 256 pairs" in user.text("#no-measures")
        await user.press("u", "u")
        assert user.workspace.staged.changes == Changes()
        await user.press("x")
        assert staged_names(user) == names


async def test_pairs_come_from_a_file_too(live, tmp_path):
    cases = [
        {"prompt": f"{number} + ", "answer": str(answer), "group": group}
        for answer in range(3, 6)
        for number, group in ((1, "low"), (7, "high"))
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in cases), "utf-8")
    async with driving(live(), (100, 30)) as user:
        await user.settled()
        await user.press("6", "a")
        await user.type("race")
        await user.press("enter")
        assert "pairs 'race': give gender, or the path" in user.text("Problem")
        await user.type(str(path))
        await fill(user, top="many")
        await user.press("enter")
        assert "'many' is not a whole number" in user.text("Problem")
        await user.type("4")
        await user.press("enter")
        await user.until(lambda: user.here == "change" and user.workspace.results)
        await user.settled()
        assert len(user.result.step.pairs) == 3
        await user.press("x", "e")
        await user.settled()
        pair, *others = user.result.step.pairs
        assert (pair.first.prompt, pair.second.prompt, pair.answer) == ("1 + ", "7 + ", "3")
        assert len(others) == 2


async def test_lora_is_tuned_and_its_cases_are_chosen_in_the_terminal(live):
    async with driving(live(), (100, 30)) as user:
        await user.settled()
        await user.press("t", *["down"] * 5, "enter")
        await user.type("30")
        await user.press("tab", "tab")
        await user.type("1")
        await user.press("enter", "6", "t")
        assert "arithmetic1 · 30 prompts" in user.text(".question")
        await fill(user, layers="1", rank="2", lr="fast")
        await user.press("enter")
        assert "learning rates fast: give numbers above 0" in user.text("Problem")
        await fill(user, lr="1e-2", epochs="1")
        await user.press("enter")
        await user.until(lambda: user.here == "change" and user.workspace.results)
        await user.settled()
        step = user.result.step
        assert isinstance(step, LoraStep)
        assert (step.tuning.rank, step.tuning.rates, step.tuning.epochs) == (2, (0.01,), 1)
        assert len(step.prompts) == 30
        assert step.prompts.prompts[0].prompt == "1 + 3 = 4\n1 + 5 = "
