"""Screens 3 and 4 on a live model: rank, filter, sort, mark, ablate, hidden neurons, tokens."""

from __future__ import annotations

import pytest
from piloting import Gate, driving, rows_by_name
from tiny_folder import NEURONS


@pytest.fixture
def with_neurons(live):
    """A workbench that shows the importance ranking of the first prompt."""

    async def prepare(user):
        await user.settled()
        await user.press("i")
        await user.settled()
        assert user.here == "neurons"

    return live(), prepare


async def test_the_filter_narrows_the_table_while_it_is_typed(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        everything = user.table.shown
        await user.press("slash")
        await user.type("L1")
        assert 0 < user.table.shown < everything
        await user.press("enter")
        assert user.here == "neurons"
        assert user.app.focused is user.table
        assert user.table.filter_text == "L1"
        assert str(user.table.current_key).startswith("L1N")
        await user.press("slash", "escape")
        assert user.table.shown == everything
        assert user.app.focused is user.table


async def test_keys_typed_into_the_filter_do_nothing_else(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        await user.press("slash")
        await user.type("1 q?[c")
        assert user.here == "neurons"
        assert user.app.focused.value == "1 q?[c"
        assert user.table.marked == frozenset()


async def test_a_filter_that_makes_no_sense_is_said_beside_it(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        await user.press("slash")
        await user.type("change>x")
        note = user.app.screen.query_one(".filter-input--note")
        assert note.has_class("-error")


async def test_s_sorts_by_the_next_column_and_capital_s_turns_it_round(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        columns = []
        for _ in range(3):
            await user.press("s")
            columns.append(user.table.sorted_by)
        assert len(set(columns)) == 3
        before = user.table.descending
        await user.press("S")
        assert user.table.descending is not before


async def test_marked_neurons_are_ablated_together(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        await user.press("a")
        assert user.notices[-1].startswith("Mark neurons with space first")
        await user.press("space", "space")
        marked = user.table.marked
        assert len(marked) == 2
        assert "2 marked" in user.text("#histogram")
        await user.press("a")
        await user.settled()
        assert user.result.step.kind == "cna"
        assert {str(each) for each in user.result.step.ablate.neurons} == marked
        names = rows_by_name(user.result.rows)
        for name in marked:
            assert names[name]["importance_contrast"] == pytest.approx(0, abs=1e-6)


async def test_marked_neurons_are_ablated_on_all_prompts(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        await user.press("space", "A")
        await user.until(lambda: user.here == "heads")
        await user.settled()
        (result,) = user.workspace.latest("ablate", 3)
        assert len(result.step.prompts) == 36
        assert result.rows["neurons"].item() == 1
        assert result.rows["name"].item() in user.text("#empty")


async def test_the_lens_and_the_gains_of_the_case_are_tables_on_the_token_screen(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("4", "o")
        await user.settled()
        assert user.here == "tokens"
        assert user.result.step.kind == "lens"
        assert "L2" in user.seen
        assert "bold is surer than one half" in user.text("#how")
        assert user.table.total == 3
        await user.press("w")
        await user.settled()
        assert user.result.step.kind == "gains"
        sums = [user.result.rows[part].sum() for part in ("attention", "ffn")]
        for value in sums:
            assert f"{abs(value):.2f}" in user.text("#how")
        await user.press("y")
        await user.until(lambda: "attention" in user.app.clipboard)


async def test_a_neuron_is_read_through_an_attention_layer_and_as_its_bare_value(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        await user.press("enter")
        await user.settled()
        source = user.result.step.source
        await user.press("t")
        await user.type("2")
        await user.press("enter")
        await user.until(lambda: user.result.step.through == 2)
        await user.settled()
        assert "through attention layer 2" in user.text("#title")
        await user.press("v")
        await user.until(lambda: user.result.step.prompt is None)
        await user.settled()
        assert user.result.step.source == source
        assert "its value" in user.text("#title")
        await user.press("t")
        await user.type("x")
        await user.press("enter")
        assert "a layer is a number" in user.seen.lower()


async def test_capital_h_finds_hidden_neurons_and_enter_reads_them_behind_their_layer(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("3", "H")
        await user.settled()
        assert user.here == "neurons"
        result = user.result
        assert (result.step.kind, result.expected) == ("hidden", NEURONS)
        assert "hidden-interpretable neurons · numbers and operations" in user.text("#title")
        held = int((result.rows["concepts"] >= 2).sum())
        assert f"{held} hold 2 or more" in user.text("#title")
        assert f"{NEURONS} exact of {NEURONS}" in user.text("#histogram")
        first = result.step.ranked(result.rows).row(0, named=True)
        assert user.table.current_key == first["name"]

        await user.press("enter")
        await user.settled()
        assert user.here == "tokens"
        step = user.result.step
        assert (step.source, step.through, step.prompt) == (first["name"], first["through"], None)
        if step.reading == "specific":  # of a tied model; the search has the paper's reading
            await user.press("m")
            await user.settled()
            step = user.result.step
        shown = step.ranked(user.result.rows)["token"].to_list()
        assert shown[:10] == first["tokens"]

        await user.press("escape", "i")
        await user.settled()
        assert user.result.step.kind == "neurons"
        await user.press("H")
        assert user.result.id == result.id


async def test_a_search_for_hidden_neurons_streams_in_stops_and_goes_on(live, monkeypatch):
    import analysis.methods.hidden

    gate, in_halves = Gate(), analysis.methods.hidden.in_halves

    def gated(*given):
        gate.wait()
        return in_halves(*given)

    monkeypatch.setattr(analysis.methods.hidden, "NEURONS", {"cpu": 10})
    monkeypatch.setattr(analysis.methods.hidden, "in_halves", gated)
    async with driving(live()) as user:
        await user.settled()
        await user.press("3", "H")
        gate.let(2)
        await user.until(lambda: user.result.rows.height == 20)
        assert user.table.total == 20
        await user.press("escape")
        await user.settled()
        assert user.result.state == "stopped"
        gate.let_all()
        await user.press("r")
        await user.until(lambda: user.result.state == "done")
        assert sorted(user.result.rows["neuron"]) == list(range(NEURONS))


async def test_a_filter_is_said_and_does_not_hide_the_next_ranking(with_neurons):
    app, prepare = with_neurons
    async with driving(app) as user:
        await prepare(user)
        await user.press("slash")
        await user.type("L2")
        await user.press("enter")
        await user.until(lambda: user.text("#filtered").startswith("/ L2: "))
        await user.press("space", "a")
        await user.settled()
        assert user.result.step.kind == "cna"
        assert user.table.filter_text == ""
        assert user.table.shown == user.table.total
