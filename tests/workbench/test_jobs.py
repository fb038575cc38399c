"""The job thread: one thread owns the model; what it does is told in order and can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from paced_step import PacedStep, let
from polars.testing import assert_frame_equal
from textual.message import Message
from tiny_folder import HEADS_IN_ALL
from waiting import until

from analysis.refs import HeadRef
from analysis.steps import HeadsStep, NeuronsStep, ProjectStep
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import task
from sessions import Session, list_sessions
from workbench import jobs
from workbench.jobs import (
    FrameReady,
    JobThread,
    ModelFailed,
    ModelLoading,
    ModelReady,
    PromptRead,
    ReadJob,
    RunJob,
    StepEnded,
    StepKept,
    StepStarted,
    StepWorks,
    UseSession,
)
from workbench.reading import PREDICTIONS
from workbench.settings import Settings, load_settings

# Tests elsewhere see the registry as it is in the program.

SWEEP = HeadsStep(prompts=task("add1", shots=2))
READ = ProjectStep(source="L0N7", top=3)


class Told:
    """What the thread told, in order; tests wait on it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.listeners: list[Callable[[Message], None]] = []

    def __call__(self, message: Message) -> None:
        for listener in self.listeners:
            listener(message)
        self.messages.append(message)

    def of(self, kind: type[Message], job: str | None = None) -> list:
        """Messages of a kind, of one job if it is named."""
        found = [each for each in list(self.messages) if isinstance(each, kind)]
        return [each for each in found if job is None or each.id == job]

    def wait_for(self, kind: type[Message], job: str | None = None, count: int = 1):
        """The last message of a kind, once there are so many of it."""
        until(lambda: len(self.of(kind, job)) >= count)
        return self.of(kind, job)[-1]

    def rows(self, job: str) -> list[str]:
        """Names of the rows told of a job, those from before first."""
        frames = [each.rows for each in self.of(StepStarted, job)]
        frames += [each.frame for each in self.of(FrameReady, job)]
        return [name for frame in frames for name in frame["name"]]


@pytest.fixture(autouse=True)
def _steps(paced_steps):
    """Sessions can read paced steps back."""


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def settings(tiny_folder) -> Settings:
    return load_settings(model=str(tiny_folder), device="cpu", seed=5)


@pytest.fixture
def thread(settings, told) -> Iterator[JobThread]:
    thread = JobThread(settings, told)
    thread.start()
    yield thread
    thread.close(timeout=60)
    assert not thread.is_alive()


def test_loading_is_told_step_by_step_until_the_model_is_ready(thread, told):
    ready = told.wait_for(ModelReady)
    assert [each.status for each in told.of(ModelLoading)] == [
        "importing torch and transformers",
        "loading tiny (Llama, float32)",
        "checking parity",
    ]
    assert ready.info.name == "tiny"
    assert ready.info.parity_holds


def test_a_model_that_cannot_be_had_is_told_in_one_line(told, tmp_path):
    thread = JobThread(load_settings(model=str(tmp_path / "nowhere")), told)
    thread.start()
    failed = told.wait_for(ModelFailed)
    assert failed.reason == f"no such file or folder: {tmp_path / 'nowhere'}"
    thread.join(60)
    assert not thread.is_alive()


def test_an_error_nobody_foresaw_while_loading_is_one_line_too(settings, told, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("no kernel image\nCUDA says more")

    monkeypatch.setattr(jobs, "open_model", broken)
    JobThread(settings, told).start()
    assert told.wait_for(ModelFailed).reason == "RuntimeError: no kernel image"


def test_a_step_is_told_from_its_start_through_its_rows_to_its_end(thread, told):
    thread.submit(RunJob("a", SWEEP))
    ended = told.wait_for(StepEnded)
    kinds = [type(each) for each in told.messages if getattr(each, "id", None) == "a"]
    assert kinds[0] is StepWorks
    assert kinds[-1] is StepEnded
    told_of = [each for each in kinds if each is not StepWorks]
    assert told_of[0] is StepStarted
    assert set(told_of[1:-1]) == {FrameReady}
    assert (ended.state, ended.reason) == ("done", None)
    assert len(set(told.rows("a"))) == HEADS_IN_ALL


def test_a_started_step_has_its_place_its_baseline_and_its_estimates(thread, told):
    thread.submit(RunJob("a", SWEEP))
    message = told.wait_for(StepStarted)
    assert message.started.recorded.id == "001-heads"
    assert message.started.expected == HEADS_IN_ALL
    assert message.started.baseline["logprob"] < 0
    assert message.started.estimates.height == HEADS_IN_ALL
    assert (message.session.name, message.session.info.seed) == ("add1-1", 5)


def test_rows_are_on_disk_before_they_are_told(thread, told):
    missing: list[str] = []

    def check(message: Message) -> None:
        if isinstance(message, FrameReady):
            (summary,) = list_sessions()
            on_disk = Session.open(summary.name).step(1).keys()
            missing.extend(set(message.frame["name"]) - on_disk)

    told.listeners.append(check)
    thread.submit(RunJob("a", SWEEP))
    told.wait_for(StepEnded)
    assert told.of(FrameReady)
    assert missing == []


def test_rows_that_come_fast_are_gathered_into_one_message(thread, told, monkeypatch):
    monkeypatch.setattr(jobs, "TELL_EVERY", 3600.0)
    let(50)
    thread.submit(RunJob("a", PacedStep(count=50)))
    told.wait_for(StepEnded)
    first, others = told.of(FrameReady)
    assert first.frame["name"].to_list() == ["n0"]
    assert others.frame["name"].to_list() == [f"n{number}" for number in range(1, 50)]
    assert others.last.done == 50


def test_rows_do_not_wait_for_the_next_batch(thread, told):
    """Two batches come at once, and the third never: all that is on disk is told."""
    let(2)
    thread.submit(RunJob("a", PacedStep(count=3)))
    until(lambda: told.rows("a") == ["n0", "n1"])
    let(1)
    told.wait_for(StepEnded)


def test_work_between_two_rows_is_told_with_the_time_left(thread, told):
    thread.submit(RunJob("a", PacedStep(count=3)))
    until(lambda: len(told.of(StepWorks)) > 1)
    begins, first = told.of(StepWorks)[:2]
    assert (begins.id, begins.rows, begins.words) == ("a", 0.0, "begins")
    assert (first.id, first.rows, first.words) == ("a", 0.5, "waiting for n0")
    assert first.remaining > 0
    let(3)
    told.wait_for(StepEnded)


def test_a_stopped_step_keeps_its_rows_and_the_next_one_runs(thread, told):
    thread.submit(RunJob("a", PacedStep(count=5)))
    let(2)
    until(lambda: told.of(StepStarted) and Session.open("paced-1").step(1).done_rows == 2)
    thread.stop("a")
    assert told.wait_for(StepEnded, "a").state == "stopped"
    assert told.rows("a") == ["n0", "n1"]
    assert Session.open("paced-1").step(1).info.state == "stopped"
    thread.submit(RunJob("b", READ))
    assert told.wait_for(StepEnded, "b").state == "done"


def test_a_sweep_stops_before_its_next_batch(thread, told):
    """The stop arrives while the first rows are told, so at most one batch could follow."""

    def stop(message: Message) -> None:
        if isinstance(message, FrameReady):
            thread.stop("a")

    told.listeners.append(stop)
    thread.submit(RunJob("a", SWEEP))
    assert told.wait_for(StepEnded).state == "stopped"
    first = told.of(FrameReady)[0].frame.height
    assert 0 < first < HEADS_IN_ALL
    assert told.rows("a") == told.of(FrameReady)[0].frame["name"].to_list()


def test_a_waiting_step_that_is_stopped_never_starts(thread, told):
    thread.submit(RunJob("a", PacedStep(count=1)))
    thread.submit(RunJob("b", PacedStep(name="other")))
    told.wait_for(StepStarted, "a")
    thread.stop("b")
    let(1)
    assert told.wait_for(StepEnded, "a").state == "done"
    assert told.wait_for(StepEnded, "b").state == "stopped"
    assert told.of(StepStarted, "b") == []
    assert [each.id for each in Session.open("paced-1").steps] == ["001-paced"]


def test_long_steps_run_one_after_the_other_as_they_came(thread, told):
    for job in ("a", "b", "c"):
        let(1, job)
        thread.submit(RunJob(job, PacedStep(name=job, count=1)))
    told.wait_for(StepEnded, count=3)
    order = [
        (type(each), each.id)
        for each in told.messages
        if hasattr(each, "id") and not isinstance(each, StepWorks)
    ]
    assert order == [
        (kind, job) for job in ("a", "b", "c") for kind in (StepStarted, FrameReady, StepEnded)
    ]


def test_a_brief_step_runs_between_two_batches_of_a_long_one(thread, told):
    thread.submit(RunJob("long", PacedStep(count=3)))
    told.wait_for(StepStarted, "long")
    thread.submit(RunJob("brief", READ))
    thread.submit(ReadJob(SWEEP.prompts.prompts[0]))
    let(1)
    assert told.wait_for(StepEnded, "brief").state == "done"
    told.wait_for(PromptRead)
    assert told.of(StepEnded, "long") == []
    let(2)
    assert told.wait_for(StepEnded, "long").state == "done"
    assert told.rows("long") == ["n0", "n1", "n2"]
    states = [each.info.state for each in Session.open("paced-1").steps]
    assert states == ["done", "done"]


def test_stopping_a_brief_step_leaves_the_long_one_running(thread, told):
    thread.submit(RunJob("long", PacedStep(count=2)))
    told.wait_for(StepStarted, "long")
    thread.submit(RunJob("brief", READ))
    thread.stop("brief")
    let(2)
    assert told.wait_for(StepEnded, "brief").state == "stopped"
    assert told.wait_for(StepEnded, "long").state == "done"


def test_a_prompt_is_read_as_the_model_reads_it(thread, told):
    thread.submit(ReadJob(Prompt(prompt="3 + 5 = ", answer="8")))
    reading = told.wait_for(PromptRead).reading
    assert reading.tokens == ("<s>", "3", " ", "+", " ", "5", " ", "=", " ")
    assert reading.special == {0}
    assert reading.answer == ("8",)
    chances = [chance for _, chance in reading.predictions]
    assert len(chances) == PREDICTIONS
    assert chances == sorted(chances, reverse=True)
    assert 0 < sum(chances) < 1


def test_of_several_prompts_to_read_only_the_last_is(settings, told):
    thread = JobThread(settings, told)
    prompts = [Prompt(prompt=f"{number} + 1 = ") for number in range(9)]
    for prompt in prompts:
        thread.submit(ReadJob(prompt))
    thread.submit(RunJob("a", READ))
    thread.start()
    told.wait_for(StepEnded)
    assert [each.reading.prompt for each in told.of(PromptRead)] == [prompts[-1]]
    thread.close(60)


def test_a_prompt_too_long_is_read_as_a_reason(thread, told):
    thread.submit(ReadJob(Prompt(prompt="1" * 200)))
    reading = told.wait_for(PromptRead).reading
    assert "the model reads 128 at most" in reading.error
    assert reading.tokens == ()


def test_a_prompt_that_cannot_be_read_does_not_end_the_thread(thread, told, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(jobs, "read_prompt", broken)
    thread.submit(ReadJob(Prompt(prompt="1")))
    assert told.wait_for(PromptRead).reading.error == "RuntimeError: out of memory"
    thread.submit(RunJob("a", READ))
    assert told.wait_for(StepEnded).state == "done"


def test_a_step_that_does_not_fit_the_model_fails_and_leaves_nothing(thread, told):
    wrong = HeadsStep(prompts=SWEEP.prompts, heads=(HeadRef(9, 9),))
    thread.submit(RunJob("a", wrong))
    ended = told.wait_for(StepEnded, "a")
    assert ended.state == "failed"
    assert ended.reason.startswith("L9H9 is not in tiny")
    assert list_sessions() == []
    thread.submit(RunJob("b", READ))
    assert told.wait_for(StepEnded, "b").state == "done"


def test_a_step_that_breaks_half_way_keeps_its_rows_and_can_be_resumed(thread, told):
    broken = PacedStep(count=3, fails_at=1)
    let(2)
    thread.submit(RunJob("a", broken))
    ended = told.wait_for(StepEnded, "a")
    assert (ended.state, ended.reason) == ("failed", "RuntimeError: what nobody foresaw")
    assert told.rows("a") == ["n0"]
    assert Session.open("paced-1").step(1).info.state == "failed"


def test_a_job_given_twice_runs_twice_and_ends_nothing(thread, told):
    thread.submit(RunJob("a", READ))
    thread.submit(RunJob("a", READ))
    told.wait_for(StepEnded, "a", count=2)
    thread.submit(RunJob("b", READ))
    assert told.wait_for(StepEnded, "b").state == "done"


def test_closing_in_the_middle_leaves_a_session_that_goes_on(settings, told):
    first = JobThread(settings, told)
    told.listeners.append(
        lambda message: (
            isinstance(message, FrameReady) and threading.Thread(target=first.close).start()
        )
    )
    first.start()
    first.submit(RunJob("a", HeadsStep(prompts=_long())))
    until(lambda: told.of(FrameReady))
    first.join(60)
    assert not first.is_alive()
    assert told.of(StepEnded)[-1].state == "stopped"
    session = Session.open("long-1")
    assert not session.is_written
    assert session.step(1).info.state == "stopped"
    before = session.step(1).rows()
    assert 0 < before.height < HEADS_IN_ALL

    again = Told()
    second = JobThread(settings, again, "long-1")
    second.start()
    second.submit(RunJob("001-heads", HeadsStep(prompts=_long()), begun="001-heads"))
    started = again.wait_for(StepStarted)
    assert started.started.done == before.height
    assert again.wait_for(StepEnded).state == "done"
    assert started.rows["name"].to_list() == before["name"].to_list()
    assert len(again.rows("001-heads")) == len(set(again.rows("001-heads"))) == HEADS_IN_ALL
    model = again.wait_for(ModelReady).info
    second.submit(UseSession(Session.create("uninterrupted", model, seed=0)))
    second.submit(RunJob("whole", HeadsStep(prompts=_long())))
    again.wait_for(StepEnded, "whole")
    second.close(60)
    sessions = [Session.open(name) for name in ("long-1", "uninterrupted")]
    assert_frame_equal(*(each.step(1).rows().sort("name") for each in sessions))


def test_a_step_that_the_session_has_is_told_and_not_computed_again(settings, told, monkeypatch):
    step = HeadsStep(prompts=_long())
    first = JobThread(settings, told, "mine")
    first.start()
    first.submit(RunJob("a", step))
    told.wait_for(StepEnded, "a")
    first.close(60)
    monkeypatch.setattr(HeadsStep, "start", lambda self, model: pytest.fail("computed again"))

    again = Told()
    second = JobThread(settings, again, "mine")
    second.start()
    second.submit(RunJob("b", step))
    assert again.wait_for(StepEnded, "b").state == "done"
    second.close(60)
    recorded = Session.open("mine").step(1)
    assert again.wait_for(StepKept).recorded.id == recorded.id
    assert again.of(StepStarted) == []


def test_a_step_begun_by_an_earlier_run_is_gone_on_with(settings, told):
    step = HeadsStep(prompts=_long())
    first = JobThread(settings, told, "mine")
    told.listeners.append(lambda message: isinstance(message, FrameReady) and first.stop("a"))
    first.start()
    first.submit(RunJob("a", step))
    assert told.wait_for(StepEnded, "a").state == "stopped"
    first.close(60)
    before = Session.open("mine").step(1).keys()
    assert 0 < len(before) < HEADS_IN_ALL

    again = Told()
    second = JobThread(settings, again, "mine")
    second.start()
    second.submit(RunJob("b", step))
    assert again.wait_for(StepEnded, "b").state == "done"
    second.close(60)
    rows = again.rows("b")
    assert set(list(rows)[: len(before)]) == set(before)  # what was there comes first
    assert len(rows) == len(set(rows)) == HEADS_IN_ALL
    assert len(Session.open("mine").steps) == 1


def _long() -> PromptSet:
    """Cases enough for several batches."""
    prompts = tuple(Prompt(prompt=f"{n:02d} + {n} = ", answer=str(n % 10)) for n in range(90))
    return PromptSet(name="long", prompts=prompts)


def test_closing_an_idle_or_a_loading_thread_ends_it(settings, told):
    loading = JobThread(settings, told)
    loading.start()
    loading.close(60)
    assert not loading.is_alive()
    idle = JobThread(settings, told)
    idle.start()
    told.wait_for(ModelReady)
    idle.close(60)
    assert not idle.is_alive()


def test_steps_go_on_in_the_session_that_is_given(thread, told):
    thread.submit(RunJob("a", READ))
    told.wait_for(StepEnded, "a")
    model = told.wait_for(ModelReady).info
    thread.submit(UseSession(Session.create("another", model, seed=0)))
    thread.submit(RunJob("b", READ))
    told.wait_for(StepEnded, "b")
    assert not Session.open("project-1").is_written
    thread.submit(UseSession(Session.open("project-1", writable=True)))
    thread.submit(RunJob("c", NeuronsStep(prompt=SWEEP.prompts.prompts[0], top=3)))
    told.wait_for(StepEnded, "c")
    steps = {each.name: each.kinds for each in list_sessions()}
    assert steps == {"project-1": ("project", "neurons"), "another": ("project",)}
