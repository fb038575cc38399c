"""What the tests of sessions share: a step that counts, and a model it runs on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A process that a test starts imports the same module by the same name.
sys.path.insert(0, str(Path(__file__).parent))

from counting_step import CountingStep, FakeModel

from analysis.step import REGISTRY
from sessions import Session

# Tests elsewhere see the registry as it is in the program.
del REGISTRY["counting"]


@pytest.fixture(autouse=True)
def _known_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "counting", CountingStep)


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def session(model: FakeModel) -> Iterator[Session]:
    with Session.create("s", model.info, seed=7) as session:
        yield session
