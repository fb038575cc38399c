"""What the tests of the numbers share: tiny models of every family, and a plain second opinion."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from plainly import Plainly
from tiny import CASES, TinyCase, built, named, opened, tokenizer

from analysis.model.loading import open_model
from analysis.model.model import Model
from analysis.tasks.prompts import Prompt

torch.set_num_threads(1)


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> TinyCase:
    """Each family and variant in turn."""
    found = request.param
    assert isinstance(found, TinyCase)
    return found


@pytest.fixture(scope="session")
def model(case: TinyCase) -> Model:
    """The tiny model of the case, opened for analysis. Tests must not change it."""
    return opened(case)


@pytest.fixture(scope="session")
def plainly(case: TinyCase, model: Model) -> Plainly:
    """The same model computed the plain way."""
    return Plainly(model.hf, case)


@pytest.fixture(
    scope="session",
    params=[case for case in CASES if case.softcap is None],
    ids=lambda case: case.name,
)
def uncapped(request: pytest.FixtureRequest) -> tuple[Model, Plainly]:
    """Each model whose logits have no soft cap, and the same computed the plain way."""
    model = opened(request.param)
    return model, Plainly(model.hf, request.param)


@pytest.fixture(scope="session")
def ids(model: Model) -> tuple[int, ...]:
    """A text that the model reads."""
    return model.encode(Prompt(prompt="the sum of one and 3 is ")).ids


@pytest.fixture
def fresh(case: TinyCase) -> Model:
    """Each model in turn, to change: nobody else looks at it."""
    return open_model(built(case), tokenizer(case.bos), name="fresh")


@pytest.fixture
def small() -> Model:
    """A model to change, for tests of what does not depend on the family."""
    case = named("llama grouped")
    return open_model(built(case), tokenizer(case.bos), name="small")


@pytest.fixture(scope="session")
def llama() -> Model:
    """A model for tests of what does not depend on the family."""
    return opened(named("llama grouped"))


@pytest.fixture(scope="session")
def plain_llama(llama: Model) -> Plainly:
    return Plainly(llama.hf, named("llama grouped"))
