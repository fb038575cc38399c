"""`workbench run`: several steps from one file, read as the command line reads them."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from pathlib import Path

import pytest

from analysis.changes import Changes
from sessions import Session, list_sessions
from sessions.parts import part_path, write_frame
from workbench.cli.plans import kinds, planned, read_plan

EXAMPLE = Path(__file__).parents[2] / "docs" / "plans" / "addition.toml"
CASE = 'prompt = "3 + 5 = "\nanswer = "8"'
SWEEP = f'kind = "heads"\n{CASE}'
READ = 'kind = "project"\nsource = "L0N7"\ntop = 3'
PAIR = 'prompt = "one and abc"\ncorrupt = "one and xyz"\nanswer = "b"\nwrong = "a"'
TALE = files("analysis.tasks.texts") / "sample.txt"
TYPED_PAIR = "--prompt 'one and abc' --corrupt 'one and xyz' --answer b --wrong a"
FAILS = 'kind = "project"\nsource = "L9N7"'


# What a plan says

TYPED = {
    "heads": (
        'task = "add1,mul1"\nshots = 2\ncases = 5\nops = "+"\nmode = "mean"\nheads = "L1H1,L0H2"',
        "heads --task add1,mul1 --shots 2 --cases 5 --ops + --mode mean --heads L1H1,L0H2",
    ),
    "neurons": (r"prompt = '1\n2 = '" + "\nall = true", r"neurons --prompt '1\n2 = ' --all"),
    "patch": (
        f'{PAIR}\nunit = "head"\nheads = "L1H1"\npositions = "-2,-1"',
        f"patch {TYPED_PAIR} --unit head --heads L1H1 --positions=-2,-1",
    ),
    "edges": (
        f'{PAIR}\nmethod = "eap-ig"\nverify = 2',
        f"edges {TYPED_PAIR} --method eap-ig --verify 2",
    ),
    "faithfulness": (
        f'{PAIR}\nshares = "0.1,1"',
        f"faithfulness {TYPED_PAIR} --shares 0.1,1",
    ),
    "ablate": (
        'sets = ["L1H1", "L0H1,L2N3"]\ntask = "add1"\nfactor = 0.5\nchange = ["L1H0", "L2N1=2"]',
        "ablate L1H1 L0H1,L2N3 --task add1 --factor 0.5 --change L1H0 --change L2N1=2",
    ),
    "cna": (
        'prompt = "2 + 3 = "\nanswer = "5"\nagainst = "--"\ntop = 7\nchange = "L1H1=0.5"',
        "cna --prompt '2 + 3 = ' --answer 5 --against=-- --top 7 --change L1H1=0.5",
    ),
    "chain": (
        'prompt = "a"\nhead = "L1H1"\ndeep = 2\nshallow = 3\nlayers = 1',
        "chain --prompt a --head L1H1 --deep 2 --shallow 3 --layers 1",
    ),
    "circuit": (
        'head = "L1H2"\ntask = "sub1"\ntops = "9,5"\nseed = 7',
        "circuit --head L1H2 --task sub1 --tops 9,5 --seed 7",
    ),
    "gains": ('prompt = "a"', "gains --prompt a"),
    "lens": ('prompt = "a"\nanswer = "b"', "lens --prompt a --answer b"),
    "hidden": (
        'concepts = "1,2"\nlayers = 0\ntop_tokens = 9',
        "hidden --concepts 1,2 --layers 0 --top-tokens 9",
    ),
    "pairs": ('pairs = "gender"\ntop = 3', "pairs --pairs gender --top 3"),
    "project": (
        'source = "L1N2"\nthrough = "L1H2"\nprompt = "a"',
        "project L1N2 --through L1H2 --prompt a",
    ),
    "lora": (
        'layers = "1-2"\ntask = "add1"\ntogether = true\nlr = 1e-3\nrank = 2\ncompare = 3',
        "lora --layers 1-2 --task add1 --together --lr 1e-3 --rank 2 --compare 3",
    ),
    "prune": (
        'from_layer = 1\ntask = "add1"\nhead = "L1H1"\ntop = 5\nlora_layer = 0',
        "prune --from-layer 1 --task add1 --head L1H1 --top 5 --lora-layer 0",
    ),
    "evaluate": (
        'change = "L1H1"\ntask = "add1"\nagainst_tasks = "sub1"\ncontrols = 0',
        "evaluate --change L1H1 --task add1 --against-tasks sub1 --controls 0",
    ),
    "attend": ('heads = ["L1H1"]\nprompt = "a"', "attend L1H1 --prompt a"),
    "detect": ("length = 5", "attend --detect --length 5"),
    "direct": ('prompt = "a"\nanswer = "8"', "direct --prompt a --answer 8"),
    "direct_cases": ('task = "add1"\ncases = 3', "direct --task add1 --cases 3"),
    "inputs": ('prompt = "a"\nanswer = "8"', "direct --inputs --prompt a --answer 8"),
    "corpus": (f'parts = "L1N2"\ntext = "{TALE}"', f"corpus L1N2 --text {TALE}"),
}


@pytest.mark.parametrize("kind", TYPED)
def test_a_step_of_a_plan_is_the_one_its_command_records(kind, plan, workbench, on_tiny):
    values, command = TYPED[kind]
    on_tiny(*shlex.split(command), "--session", "night")
    path = plan(f'kind = "{kind}"\n{values}')
    listed = workbench("run", path, "--list", "--json").document["steps"]
    assert [(each["step"], each["kind"], each["id"], each["state"]) for each in listed] == [
        (1, kind, f"001-{kind}", "there already")
    ]


def test_every_kind_of_a_plan_is_held_to_its_command():
    assert {*TYPED, "table"} == set(kinds())


def test_tables_of_the_paper_are_steps_of_their_own(plan):
    path = plan('kind = "table"\ntable = "T1,T5"\ncases = 3', SWEEP)
    found = planned(path, read_plan(path), {"seed": 4})
    assert [(each.number, each.step.title.split(" ")[0]) for each in found] == [
        (1, "T1"),
        (1, "T5"),
        (2, "prompt"),
    ]
    assert {each.step.scale.seed for each in found[:2]} == {4}


def test_paths_that_begin_with_a_dot_start_from_the_plan(plan, tmp_path, monkeypatch):
    (tmp_path / "sums.jsonl").write_text('{"prompt": "1 + 1 = ", "answer": "2"}\n')
    path = plan('kind = "heads"\ntask = "./sums.jsonl"', top='model = "../m"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    read = read_plan(path)
    assert read.model == str(tmp_path.parent / "m")
    assert planned(path, read, {})[0].step.prompts.name == "sums"


BAD_STEPS = {
    "no kind": ('task = "add1"', "step 2: kind is missing; known are heads, neurons"),
    "unknown kind": ('kind = "haeds"', "step 2: unknown kind 'haeds' (did you mean heads?)"),
    "a kind that is no text": ("kind = 3", "step 2: unknown kind 3"),
    "unknown key": (
        'kind = "heads"\nshotz = 2',
        "step 2 (heads): unknown key 'shotz' (did you mean shots?); known are prompt, task",
    ),
    "a dash": ('kind = "prune"\nfrom-layer = 1', "(did you mean from_layer?)"),
    "a key of the plan": ('kind = "heads"\nmodel = "a"', "model is of the whole plan"),
    "a table": ('kind = "heads"\n[step.task]\na = 1', "step 2 (heads): task: give a text"),
    "a date": ('kind = "gains"\nprompt = 2026-01-01', "prompt: give a text or a number, not 2026"),
    "a flag's number": (
        'kind = "lora"\nlayers = "1"\ntask = "add1"\ntogether = 1',
        "together: give true or false, not 1",
    ),
    "a text that is true": ('kind = "heads"\ntask = true', "task: give a text or a number, not tr"),
    "a list": ('kind = "lora"\nlayers = [1, 2]', 'layers: give one text, such as "1,2", not a li'),
    "no number": ('kind = "heads"\ntask = "add1"\nshots = "x"', "value for 'shots'"),
    "too few": ('kind = "heads"\ntask = "add1"\nshots = -1', "value for 'shots'"),
    "a missing option": ('kind = "lora"\ntask = "add1"', "Missing option 'layers'"),
    "a missing argument": ('kind = "project"', "Missing argument 'source'"),
    "no name of a head": (f"{SWEEP}\nheads = 'L1'", "step 2 (heads): heads: 'L1' is not the name"),
    "no name of a part": (
        f'kind = "cna"\n{CASE}\nablate = "17"',
        "step 2 (cna): ablate: '17' names neither a head nor a neuron",
    ),
    "no change": (f"{SWEEP}\nchange = 'L1'", "change: 'L1' names neither"),
    "no contrast": (f'kind = "cna"\n{CASE}', "give one contrast: ablate L20H8,L3N7, against"),
    "no such file": ('kind = "heads"\ntask = "no.jsonl"', "cannot read task file no.jsonl"),
    "no rank": (
        'kind = "lora"\nlayers = 1\ntask = "add1"\nrank = 0',
        "Invalid value for 'rank': 0 is less than 1",
    ),
    "no such table": ('kind = "table"\ntable = "T99"', "step 2 (table): no table 'T99'"),
    "no seed": (f"{SWEEP}\nseed = -1", "step 2 (heads): seed: Input should be greater"),
}
BAD_PLANS = {
    "no steps": ("", "night.toml: it has no steps; write each under [[step]]"),
    "one bracket": (f"[step]\n{READ}", "night.toml: [step] is one table; write [[step]]"),
    "steps that are none": ("step = 3", "night.toml: it has no steps"),
    "unknown key": ('modle = "a"\n[[step]]', "unknown key 'modle' (did you mean model?)"),
    "a model that is a number": ("model = 3\n[[step]]", "model: Input should be a valid string"),
    "no TOML": ("model = ", "night.toml is not valid TOML"),
    "nested beyond reason": ("step = " + "[" * 9999, "night.toml is not valid TOML"),
    "no session": (f'session = "a/b"\n[[step]]\n{READ}', "cannot name a session"),
    "no dtype": (f'dtype = "int3"\n[[step]]\n{READ}', "--dtype: Input should be 'float32'"),
}


@pytest.mark.parametrize(("step", "reason"), BAD_STEPS.values(), ids=BAD_STEPS)
def test_a_bad_step_is_told_in_one_line_before_a_model_is_touched(plan, refused, step, reason):
    line = refused("run", plan(SWEEP, step), "--model", "./nowhere")
    assert line.startswith("night.toml, step 2")
    assert reason in line
    assert list_sessions() == []


@pytest.mark.parametrize(("text", "reason"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_a_bad_plan_is_told_in_one_line(plan, refused, text, reason):
    path = plan()
    path.write_text(text)
    assert reason in refused("run", path)


def test_a_plan_that_cannot_be_read_is_told_in_one_line(refused, tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        assert refused("run", path).startswith(f"cannot read plan {path}")


# What becomes of it


def test_the_steps_of_a_plan_go_into_one_session_once(plan, workbench, tiny, on_tiny):
    path = plan(SWEEP, READ, 'kind = "table"\ntable = "T1"\ncases = 2\nshots = 0')
    outcome = workbench("run", path, *tiny, "--json")
    assert outcome.code == 0, outcome.err
    told = outcome.document
    assert told["session"] == "night"
    assert [each["state"] for each in told["steps"]] == ["done"] * 3
    assert [(each["step"], each["kind"]) for each in told["steps"]] == [
        (1, "heads"),
        (2, "project"),
        (3, "table"),
    ]
    kinds = [each.step.kind for each in Session.open("night").steps]
    assert (kinds[:2], kinds[-1]) == (["heads", "project"], "table")
    alone = on_tiny("project", "L0N7", "--top", "3", "--json").document
    mine = workbench("sessions", "show", "night", "--step", "2", "--json").document
    assert mine["rows"] == alone["rows"]

    before = {each.id: each.info for each in Session.open("night").steps}
    again = workbench("run", path, *tiny)
    assert again.code == 0, again.err
    assert {each.id: each.info for each in Session.open("night").steps} == before
    assert again.err.count("there already") == 3
    assert "2 of 3  002-project  L0N7  6 rows  there already" in again.err


def test_a_plan_can_be_looked_at_without_a_model(plan, workbench):
    outcome = workbench("run", plan(SWEEP, READ, top='session = "mine"\n'), "--list", "--json")
    assert outcome.code == 0
    assert outcome.document["session"] == "mine"
    assert [each["state"] for each in outcome.document["steps"]] == ["waiting"] * 2
    assert list_sessions() == []
    assert "zeroing one head" in workbench("run", plan(SWEEP), "--list").out


def test_the_list_of_a_plan_says_how_far_its_session_is(plan, workbench, tiny):
    path = plan(READ, SWEEP)
    assert workbench("run", path, *tiny).code == 0
    with Session.open("night", writable=True) as session:
        sweep = session.step(2)
        write_frame(part_path(sweep.folder, 0), sweep.rows().head(5))
        session.amend(sweep, state="stopped")
        expected = sweep.info.expected
    listed = workbench("run", path, "--list")
    assert f"stopped 5 of {expected}" in listed.out
    assert "there already" in listed.out
    steps = workbench("run", path, "--list", "--json").document["steps"]
    assert [(each["state"], each["id"]) for each in steps] == [
        ("there already", "001-project"),
        ("stopped", "002-heads"),
    ]


def test_a_failing_step_stops_the_plan(plan, workbench, tiny):
    outcome = workbench("run", plan(READ, FAILS, SWEEP), *tiny, "--json")
    assert outcome.code == 1
    assert [each["state"] for each in outcome.document["steps"]] == ["done", "failed", "waiting"]
    (line,) = [each for each in outcome.err.splitlines() if each.startswith("workbench: ")]
    assert line.startswith("workbench: night.toml, step 2 (project): L9N7 is not in tiny")
    assert "1 behind it not run" in line
    assert [each.step.kind for each in Session.open("night").steps] == ["project"]


@pytest.mark.parametrize("said", ["plan", "option"])
def test_a_plan_that_keeps_going_runs_what_stands_behind(plan, workbench, tiny, said):
    path = plan(FAILS, READ, top="keep_going = true\n" if said == "plan" else "")
    option = ["--keep-going"] if said == "option" else []
    outcome = workbench("run", path, *tiny, *option, "--json")
    assert outcome.code == 1
    assert [each["state"] for each in outcome.document["steps"]] == ["failed", "done"]
    assert "L9N7 is not in tiny" in outcome.document["steps"][0]["error"]


def test_a_mistake_of_the_program_fails_its_step_alone(plan, workbench, tiny, monkeypatch):
    import analysis.methods.heads

    def broken(*_, **__):
        raise RuntimeError("what nobody foresaw\nin detail")

    monkeypatch.setattr(analysis.methods.heads, "sweep_work", broken)
    outcome = workbench("run", plan(SWEEP, READ), *tiny, "--keep-going", "--json")
    assert outcome.code == 1
    assert [each["state"] for each in outcome.document["steps"]] == ["failed", "done"]
    assert "RuntimeError: what nobody foresaw in detail" in outcome.document["steps"][0]["error"]


def test_a_session_of_another_model_is_refused(plan, workbench, tiny, on_tiny, tmp_path):
    from tiny_folder import write_tiny_model

    other = write_tiny_model(tmp_path / "other", seed=5)
    on_tiny("project", "L0N0", "--session", "night", "--json")
    outcome = workbench("run", plan(READ), "--model", other, "--device", "cpu")
    assert outcome.code == 2
    assert "session night was recorded with another model" in outcome.err


def test_who_writes_the_session_is_told_before_a_model_is_loaded(plan, refused, on_tiny):
    on_tiny("project", "L0N0", "--session", "night", "--json")
    with Session.open("night", writable=True):
        line = refused("run", plan(READ), "--model", "./nowhere", code=1)
    assert line.startswith("session night is being written by process")


def test_the_plans_of_the_documentation_are_plans(tmp_path, workbench):
    page = (EXAMPLE.parents[1] / "plans.md").read_text("utf-8")
    named = re.search(r"Kinds: (.*?)\.\n", page, re.DOTALL)
    assert named is not None
    assert re.findall(r"`(\w+)`", named[1]) == list(kinds())
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "night.toml"
    path.write_text(block, "utf-8")
    listed = workbench("run", path, "--list", "--json")
    assert listed.code == 0, listed.err
    assert [each["kind"] for each in listed.document["steps"]] == ["heads", "cna", "evaluate"]


def test_the_plan_in_the_documentation_runs(workbench, tiny, tmp_path):
    """On a tiny model, whose layers it is given: those of SmolLM2 are not in it."""
    assert workbench("run", EXAMPLE, "--list").code == 0
    text = EXAMPLE.read_text("utf-8").replace("L20H8", "L1H2").replace("L24N1493", "L2N7")
    path = tmp_path / "addition.toml"
    path.write_text(text, "utf-8")
    outcome = workbench("run", path, *tiny, "--json")
    assert outcome.code == 0, outcome.err
    assert {each["state"] for each in outcome.document["steps"]} == {"done"}


def test_cases_that_do_not_fit_the_tokenizer_are_left_out(plan, workbench, tiny):
    path = plan('kind = "ablate"\nsets = "L0H1"\ntask = "greater-than"\ncases = 6')
    for state in ("done", "there already"):
        outcome = workbench("run", path, *tiny, "--json")
        assert outcome.code == 0, outcome.err
        (step,) = outcome.document["steps"]
        assert step["state"] == state
        assert "left out)" in step["title"]


def test_changes_of_a_plan_make_the_variant(plan, workbench, tiny):
    path = plan(f'{SWEEP}\nchange = "L1H1=0.5"')
    assert workbench("run", path, *tiny).code == 0
    step = Session.open("night").step(1).step
    assert Changes.of(step.changes) == Changes.parse(["L1H1=0.5"])
