"""What all tests share: places of their own on disk, and a tiny model."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# A slow machine is no failure, and every machine tries the same cases.
settings.register_profile("everywhere", deadline=None, derandomize=True)
settings.load_profile("everywhere")
# Threads of several workers would wait for one another, and tiny models gain nothing from them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing glides in a test; Textual reads this as it is imported.
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
# What stays as long as the tests run (libraries, collected tests) is not searched for garbage again
# and again: with torch among them that was a quarter of all the time.
gc.disable()
# Helpers that tests of several rooms import.
sys.path.insert(0, str(Path(__file__).parent / "support"))

if TYPE_CHECKING:
    from piloting import Gate

    from analysis.model.model import Model
    from workbench.app import WorkbenchApp


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def _places_of_its_own(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test sees the user's sessions, settings, log or terminal; real models stay cached."""
    monkeypatch.delenv("COLUMNS", raising=False)  # tests run in parallel have one set
    for multiplexer in ("TMUX", "STY"):  # no test copies into the buffers of who runs it
        monkeypatch.delenv(multiplexer, raising=False)
    places = {"DATA": "data", "CACHE": "cache", "STATE": "state", "CONFIG": "config.toml"}
    real = request.node.get_closest_marker("real_model") is not None
    before = os.environ.get("WORKBENCH_CACHE")
    for variable in [each for each in os.environ if each.startswith("WORKBENCH_")]:
        monkeypatch.delenv(variable)
    for name, place in places.items():
        monkeypatch.setenv(f"WORKBENCH_{name}", str(tmp_path / place))
    if real and before is None:
        monkeypatch.delenv("WORKBENCH_CACHE")
    elif real:
        monkeypatch.setenv("WORKBENCH_CACHE", str(before))


@pytest.fixture
def sessions_folder(tmp_path: Path) -> Path:
    """Where the sessions of this test are."""
    return tmp_path / "data" / "sessions"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random three-layer Llama."""
    from tiny_folder import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Model:
    """The tiny model, opened as the workbench opens it."""
    from workbench.runner import open_model
    from workbench.settings import load_settings

    return open_model(load_settings(model=str(tiny_folder), device="cpu"), lambda text: None)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind on the terminal."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def workbench(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of the workbench in this process."""
    from workbench.cli import run

    def command(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(each) for each in arguments])
        return Outcome(code, *capsys.readouterr())

    return command


@pytest.fixture
def on_tiny(workbench: Command, tiny_folder: Path) -> Command:
    """Runs a command on the tiny model and expects it to succeed."""

    def command(*arguments: str | Path) -> Outcome:
        outcome = workbench(*arguments, "--model", tiny_folder, "--device", "cpu")
        assert outcome.code == 0, outcome.err
        return outcome

    return command


@pytest.fixture
def paced_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `PacedStep` a step that sessions can read back."""
    from paced_step import PacedStep, forget

    from analysis.step import REGISTRY

    forget()
    monkeypatch.setitem(REGISTRY, "paced", PacedStep)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Sweeps take one head a batch, and each batch waits until the test lets it through."""
    from piloting import Gate

    import analysis.methods.heads

    gate = Gate()
    plain = analysis.methods.heads.frame

    def gated(*arguments: Any) -> Any:
        gate.wait()
        return plain(*arguments)

    monkeypatch.setattr(analysis.methods.heads, "frame", gated)
    monkeypatch.setattr(analysis.methods.heads, "BATCH_TOKENS", {"cpu": 1})
    return gate


@pytest.fixture
def live(tiny_folder: Path) -> Callable[..., WorkbenchApp]:
    """Makes a workbench that is live on the tiny model."""
    from replays import unmeasured

    from workbench.app import WorkbenchApp
    from workbench.settings import load_settings

    def make(session: str | None = None, **settings: Any) -> WorkbenchApp:
        chosen = load_settings(**{"model": str(tiny_folder), "device": "cpu", **settings})
        return WorkbenchApp(unmeasured(readonly=chosen.readonly), chosen, session)

    return make
