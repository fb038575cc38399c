"""`workbench sessions export FILE.py`: a script that computes the steps of a session again."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import polars as pl
import pytest
from handed_on import HOSTILE, process
from polars.testing import assert_frame_equal

from analysis import steps
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import (
    AttendStep,
    CnaCasesStep,
    CnaEachStep,
    CnaStep,
    CorpusStep,
    DetectStep,
    DirectCasesStep,
    DirectStep,
    EdgesStep,
    EvaluateStep,
    FaithfulnessStep,
    GainsStep,
    HeadsStep,
    HiddenSetsStep,
    InputsStep,
    LensStep,
    LoraStep,
    NeuronsStep,
    PairsStep,
    PatchStep,
    ProjectStep,
    PruneStep,
)
from analysis.tasks.corpora import Corpus
from analysis.tasks.pairs import gender_prompt_pairs
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import task
from analysis.tasks.texts import Text
from sessions import Session
from workbench.sharing.report import parameters
from workbench.sharing.script import PythonWriter, script

STEPS = (
    LoraStep(
        prompts=task("add1", cases=12, seed=3),
        layers=(1, 2),
        watched=(NeuronRef(1, 2),),
        compared=PromptSet(name="add1", prompts=task("add1").prompts[:3]),
        out=Path("/somewhere/adapters"),
        tuning={"rates": (1e-3,), "rank": 2},
    ),
    HeadsStep(prompts=task("add2,sub2", cases=5, shots=1, seed=3), heads=(HeadRef(1, 2),)),
    HeadsStep(prompts=PromptSet(name="add1", prompts=(Prompt(prompt=HOSTILE, answer=HOSTILE),))),
    NeuronsStep(prompt=Prompt(prompt="'\"\\", group=HOSTILE), top=None),
    PairsStep(pairs=gender_prompt_pairs(), top=5),
    PairsStep(pairs=gender_prompt_pairs()[:2], top=5),
    HiddenSetsStep(prompts=task("gender"), concepts=((1, 2) * 40, (0,) * 80)),
    EvaluateStep(
        edit=(Intervention.parse("L1H1", 1e300),),
        text=Text(name=HOSTILE, text=HOSTILE),
        others=(task("mul1"), task("add1")),
    ),
    CnaStep(prompt=Prompt(prompt="a"), adapter=Path("/x/it's")),
    PruneStep(prompts=task("add1"), head=HeadRef(1, 2), from_layer=1, test=task("sub1")),
    ProjectStep(source="L1N2", through=1, by=0, prompt=Prompt(prompt="a")),
    GainsStep(prompt=Prompt(prompt="a")),
    LensStep(prompt=Prompt(prompt="a", marks=("memorize",))),
    CnaEachStep(
        prompts=task("add1"), ablate=(Intervention.parse("L1H1"),), neurons=(NeuronRef(1, 2),)
    ),
    CnaCasesStep(prompts=task("add1"), ablate=(Intervention.parse("L1H1"),), seed=3),
    PatchStep(prompts=task("ioi", cases=4), unit="head", heads=(HeadRef(1, 2),), positions=(-1,)),
    DirectStep(prompt=Prompt(prompt="a", answer="b"), sources=(HeadRef(1, 2),), positions=(-1,)),
    DirectCasesStep(prompts=task("ioi", cases=4), unit="neuron", top=3, seed=3),
    InputsStep(prompt=Prompt(prompt="a", answer="b"), steps=20),
    EdgesStep(prompts=task("ioi", cases=4), method="eap-ig"),
    AttendStep(prompts=task("ioi", cases=4), heads=(HeadRef(1, 2),), by="end"),
    DetectStep(tokens=(1, 2, 3), heads=(HeadRef(1, 2),)),
    CorpusStep(parts=("L1N2", "L1H1", "L0"), text=Corpus.shipped(), contexts=3),
    FaithfulnessStep(prompts=task("greater-than", cases=4), shares=(0.5, 1.0)),
)


def test_every_kind_of_step_is_tried_here():
    tried = {each.kind for each in STEPS}
    tried |= {each.step.kind for each in Session.open("example:paper").steps}
    assert tried >= {getattr(steps, name).model_fields["kind"].default for name in steps.__all__}


def namespace(text: str) -> dict:
    """What a script defines, its `main` not called."""
    names: dict = {"__name__": "loaded"}
    exec(compile(text, "script", "exec"), names)
    return names


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.kind)
def test_the_source_of_a_step_makes_that_step(step):
    source = PythonWriter(seed=3)
    expression = source.of(step)
    names: dict = {}
    exec("\n".join([*source.imports, *source.definitions, f"found = {expression}"]), names)
    assert names["found"] == step


def test_a_script_says_tasks_by_their_name_and_shared_sets_once():
    source = PythonWriter(seed=3)
    for step in (*STEPS[:3], STEPS[1]):
        source.of(step)
    assert source.definitions[0] == 'cases_add1 = task("add1", cases=12, seed=3)'
    assert 'cases_add2_sub2 = task("add2,sub2", shots=1, cases=5, seed=3)' in source.definitions
    assert len(source.definitions) == 4
    assert len({each.split(" = ")[0] for each in source.definitions}) == 4


@pytest.mark.parametrize("name", ["example:addition", "example:ioi", "example:paper", "mine"])
def test_a_script_holds_the_steps_of_its_session(recorded, name):
    session = Session.open(name)
    made = namespace(script(session, session.steps))["STEPS"]
    assert made == {each.id: each.step for each in session.steps}


def test_what_a_session_says_is_no_code(recorded):
    """A script is imports, assignments of literals and calls, and one function of ours."""
    text = script(recorded, recorded.steps)
    tree = ast.parse(text)
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr, ast.FunctionDef, ast.If)
    assert {type(each) for each in tree.body} <= set(allowed)
    assert sum(isinstance(each, ast.FunctionDef) for each in tree.body) == 1
    assert max(map(len, text.splitlines())) < 300


def test_a_script_loads_the_model_as_it_was_recorded(recorded):
    info = recorded.info.model.model_copy(
        update={
            "name": "org/name",
            "revision": "v2",
            "dtype": "bfloat16",
            "bits": 8,
            "adapter": "a",
        }
    )
    recorded.info = recorded.info.model_copy(update={"model": info, "seed": 7})
    text = script(recorded, recorded.steps)
    names = namespace(text)
    assert names["MODEL"] == "org/name@v2"
    assert names["LOADED"] == {"dtype": "bfloat16", "bits": 8, "seed": 7}
    assert '"--adapter", type=Path, required=True' in text


def test_a_script_computes_the_recorded_rows_again(workbench, recorded, tiny_folder, tmp_path):
    path = tmp_path / "mine.py"
    assert workbench("sessions", "export", "mine", path).code == 0
    command = [sys.executable, path, "out", "--model", tiny_folder, "--device", "cpu"]
    done = process(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert "recorded weights" not in done.stdout
    for step in recorded.steps:
        assert f"{step.id}: {step.step.title}" in done.stdout
        again = pl.read_parquet(tmp_path / "out" / f"{step.id}.parquet")
        assert_frame_equal(again, step.step.ranked(step.rows()), check_exact=True)


# Anywhere


def test_every_parameter_can_be_said_in_words():
    recorded = [each.step for each in Session.open("example:paper").steps]
    for step in [*recorded, *STEPS]:
        said = dict(parameters(step))
        assert all(len(value) < 2_000 for value in said.values()), step.kind
    assert dict(parameters(STEPS[0]))["out"] == "adapters"
