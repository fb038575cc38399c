"""The job thread under orders in any sequence: nothing is lost, locked, or left waiting."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, ClassVar, Literal

import pytest
from paced_step import PacedStep, let
from textual.message import Message
from waiting import PATIENCE, until

from analysis.model.info import ModelInfo, Parity
from analysis.progress import checkpoint
from analysis.step import REGISTRY
from analysis.tasks.prompts import Prompt
from screens.workspace import Reading
from sessions import Session, list_sessions
from workbench import jobs
from workbench.jobs import (
    FrameReady,
    JobThread,
    PromptRead,
    ReadJob,
    RunJob,
    StepEnded,
    StepStarted,
    UseSession,
)
from workbench.settings import Settings, load_settings

ORDERS = 200
LENGTH = 10
ACTS = ("long", "long", "brief", "read", "let", "stop", "session", "model")


class QuickStep(PacedStep):
    """A paced step that is let in beside others."""

    kind: Literal["quick"] = "quick"  # type: ignore[assignment]
    brief: ClassVar[bool] = True


# Tests elsewhere see the registry as it is in the program.
REGISTRY.pop("quick", None)


class FakeModel:
    """Its identity is all that a paced step needs of a model."""

    def fits(self, prompt) -> bool:
        return True

    def __init__(self, name: str) -> None:
        self.info = ModelInfo(
            name=name,
            source="fake",
            family="fake",
            architecture="Fake",
            weights_sha256=name,
            dtype="float32",
            device="cpu",
            layers=1,
            heads=1,
            kv_heads=1,
            neurons=1,
            width=1,
            vocabulary=1,
            context=1,
            parameters=1,
            parity=Parity(logits=0.0, residual=0.0, neurons=0.0),
        )


def read(model: Any, prompt: Prompt) -> Reading:
    checkpoint()
    return Reading(prompt, (), frozenset(), ())


@pytest.fixture(autouse=True)
def _fakes(paced_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "quick", QuickStep)
    monkeypatch.setattr(jobs, "open_model", lambda settings, _: FakeModel(settings.model))
    monkeypatch.setattr(jobs, "read_prompt", read)


class Hand:
    """Gives orders to job threads, one after the other, and remembers what it asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[Message] = []
        self.asked: dict[str, str] = {}
        """The session that each job was to be recorded in."""
        self.prompts: list[Prompt] = []
        self.count = 0
        self.begin()

    def fresh(self, what: str) -> str:
        self.count += 1
        return f"{self.name}-{what}{self.count}"

    def begin(self) -> None:
        """A thread for another model, in a session of its own."""
        self.settings: Settings = load_settings(model=self.fresh("model"))
        self.session = self.fresh("session")
        self.thread = JobThread(self.settings, self.told.append, self.session)
        self.thread.start()

    def run(self, step: type[PacedStep]) -> str:
        job = self.fresh("job")
        self.asked[job] = self.session
        self.thread.submit(RunJob(job, step(name=job, count=2)))
        return job

    def read(self) -> None:
        self.prompts.append(Prompt(prompt=self.fresh("prompt")))
        self.thread.submit(ReadJob(self.prompts[-1]))

    def switch(self) -> None:
        self.session = self.fresh("session")
        info = FakeModel(self.settings.model).info
        self.thread.submit(UseSession(Session.create(self.session, info, seed=0)))

    def close(self) -> None:
        self.thread.close(PATIENCE)
        assert not self.thread.is_alive()

    def of(self, kind: type[Message]) -> list[Any]:
        return [each for each in list(self.told) if isinstance(each, kind)]

    def ended(self) -> dict[str, str]:
        return {each.id: each.state for each in self.of(StepEnded)}

    def on_disk(self, session: str) -> list[str]:
        if session not in [each.name for each in list_sessions()]:
            return []
        return [each.step.name for each in Session.open(session).steps]

    def check(self) -> None:
        """Each job ended once, and its rows are where they were asked for."""
        assert Counter(each.id for each in self.of(StepEnded)) == Counter([*self.asked])
        assert set(self.ended().values()) <= {"done", "stopped"}
        started = {each.id: each for each in self.of(StepStarted)}
        for job, message in started.items():
            assert message.session.name == self.asked[job]
            assert not message.session.is_written
            frames = [each.frame for each in self.of(FrameReady) if each.id == job]
            told = [name for frame in frames for name in frame["name"]]
            if not told and self.ended()[job] == "stopped":
                assert job not in self.on_disk(self.asked[job])
                continue
            step = Session.open(self.asked[job]).step(message.started.recorded.id)
            assert (step.info.state, step.step.name) == (self.ended()[job], job)
            assert sorted(told) == sorted(step.keys())
        for job, state in self.ended().items():
            assert state == "stopped" or job in started
        readings = Counter(each.reading.prompt.prompt for each in self.of(PromptRead))
        assert set(readings) <= {each.prompt for each in self.prompts}
        assert set(readings.values()) <= {1}


@pytest.mark.parametrize("part", range(4))
def test_orders_in_any_sequence_lose_nothing(part):
    for seed in range(part, ORDERS, 4):
        chance, hand = random.Random(seed), Hand(f"order{seed}")
        for _ in range(LENGTH):
            act = chance.choice(ACTS)
            job = chance.choice([*hand.asked]) if hand.asked else None
            if act == "long":
                hand.run(PacedStep)
            elif act == "brief":
                let(2, hand.run(QuickStep))
            elif act == "read":
                hand.read()
            elif act == "session":
                hand.switch()
            elif act == "model":
                hand.close()
                hand.begin()
            elif job is not None and act == "let":
                let(chance.choice((1, 2)), job)
            elif job is not None:
                hand.thread.stop(job)
        if chance.random() < 0.5:
            for job in hand.asked:
                let(2, job)
            hand.read()
            until(lambda hand=hand: len(hand.ended()) == len(hand.asked))
            until(lambda hand=hand: hand.of(PromptRead)[-1:])
            until(lambda hand=hand: hand.of(PromptRead)[-1].reading.prompt == hand.prompts[-1])
            assert hand.of(PromptRead)[-1].reading.error is None
        hand.close()
        hand.check()


@pytest.fixture
def hand():
    hand = Hand("mine")
    yield hand
    hand.close()
    hand.check()


def test_stopping_a_long_step_leaves_a_prompt_that_is_let_in_to_be_read(hand, monkeypatch):
    long = hand.run(PacedStep)

    def stopped_meanwhile(model: Any, prompt: Prompt) -> Reading:
        hand.thread.stop(long)
        return read(model, prompt)

    monkeypatch.setattr(jobs, "read_prompt", stopped_meanwhile)
    until(lambda: hand.of(StepStarted))
    hand.read()
    let(1, long)
    until(lambda: hand.ended())
    assert [each.reading.error for each in hand.of(PromptRead)] == [None]
    assert hand.ended() == {long: "stopped"}


def test_another_session_waits_for_the_steps_asked_before_it(hand):
    """And what is asked after it waits for that session, while prompts are read at once."""
    first, second = hand.run(PacedStep), hand.run(PacedStep)
    until(lambda: hand.of(StepStarted))
    hand.switch()
    brief = hand.run(QuickStep)
    let(2, brief)
    hand.read()
    let(1, first)
    until(lambda: hand.of(PromptRead))
    assert hand.ended() == {}
    let(1, first)
    let(2, second)
    until(lambda: len(hand.ended()) == 3)
    assert list(hand.ended()) == [first, second, brief]


def test_what_is_not_reached_before_the_end_is_told_and_unlocked(hand):
    hand.run(PacedStep)
    until(lambda: hand.of(StepStarted))
    hand.switch()
    hand.run(QuickStep)
    hand.close()
    assert not Session.open(hand.session).is_written
    hand.switch()
    late = hand.run(QuickStep)
    assert hand.ended()[late] == "stopped"
    assert not Session.open(hand.session).is_written
