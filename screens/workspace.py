"""What the screens show: prompts, model, and the results so far, live or replayed alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import polars as pl

from analysis.columns import schema
from analysis.errors import WorkbenchError
from analysis.model.info import ModelInfo
from analysis.step import Found, Step
from analysis.tasks.answers import Standing
from analysis.tasks.prompts import Prompt, PromptSet
from screens.keys import Keys
from screens.notices import Notices
from screens.preferences import Preferences
from screens.staged import Staged
from sessions import Desk, RecordedStep, Session, StepInfo, View, new_id, read_desk, read_view
from sessions.documents import FoundState

State: TypeAlias = Literal[
    "queued", "running", "done", "stopped", "interrupted", "failed", "damaged"
]
UNFINISHED: tuple[State, ...] = ("stopped", "interrupted", "failed", "damaged")
"""States of a step that was begun and lacks rows."""


@dataclass(frozen=True)
class InMemory:
    """Rows as they came from a running step."""

    rows: pl.DataFrame
    estimates: pl.DataFrame | None = None

    @property
    def done(self) -> int:
        """How many exact rows there are."""
        return self.rows.height


@dataclass
class OnDisk:
    """Rows of a recorded step, read when they are first asked for and kept then.

    A step that is removed before anybody asked has none, and is damaged.
    """

    step: RecordedStep

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Exact rows."""
        try:
            return self.step.rows()
        except WorkbenchError:
            return pl.DataFrame(schema=schema(self.step.step.columns))

    @cached_property
    def estimates(self) -> pl.DataFrame | None:
        """First-order values, if there are any."""
        return self.step.estimates()

    @cached_property
    def state(self) -> FoundState:
        """What became of the step, known for sure only when its rows are read."""
        try:
            return self.step.state
        except WorkbenchError:
            return "damaged"

    @cached_property
    def done(self) -> int:
        """How many exact rows its files say they hold."""
        try:
            return self.step.listed_rows
        except WorkbenchError:
            return 0


Held: TypeAlias = InMemory | OnDisk


@dataclass(frozen=True)
class Result:
    """One step with what is known of it so far."""

    id: str
    """It never changes: given when the step is asked for, kept in its record, read back from there.
    Of records that have none it is the folder's path."""
    step: Step
    state: State
    held: Held
    """Its rows; of a recorded step they are read when they are first looked at."""
    baseline: dict[str, Any] = field(default_factory=dict)
    expected: int = 0
    seconds: float = 0.0
    remaining: float | None = None
    under_way: float = 0.0
    """How many rows' worth of the next ones is done."""
    doing: str = ""
    """What is being done for them, or before there are any."""
    since: float | None = None
    """When work on it began, by the clock of `time.monotonic`; None where others do the work."""
    memory: int = 0
    """Bytes it is expected to take beyond the model; 0 if nobody knows."""
    error: str | None = None
    model: ModelInfo | None = None
    """What the numbers come from; None until the step has begun."""
    note: str = ""
    """What the user wants to remember of it."""
    view: View = field(default_factory=dict)
    """How it was looked at last; empty if nobody has."""
    recorded: RecordedStep | None = None
    """Its record in a session; None until it has begun. The session numbers records as they begin,
    a table behind the steps that it needs, so their names are not known when they are asked for."""

    @classmethod
    def queued(cls, step: Step) -> Result:
        """A result that has not begun."""
        nothing = InMemory(pl.DataFrame(schema=schema(step.columns)))
        return cls(new_id(), step, "queued", nothing)

    @classmethod
    def read(cls, step: RecordedStep, model: ModelInfo) -> Result:
        """A result read from the disk, where it was recorded with a model."""
        info, held = step.info, OnDisk(step)
        return cls(
            id=step.address,
            step=step.step,
            state=step.listed_state,
            held=held,
            baseline=info.baseline,
            expected=info.expected,
            seconds=info.seconds,
            remaining=_remaining(info, held),
            error=info.error,
            model=model,
            note=info.note,
            view=read_view(step),
            recorded=step,
        )

    @property
    def rows(self) -> pl.DataFrame:
        """Exact rows."""
        return self.held.rows

    @property
    def estimates(self) -> pl.DataFrame | None:
        """First-order values, if there are any."""
        return self.held.estimates

    @property
    def done(self) -> int:
        """How many exact rows there are; asking reads none of them."""
        return self.held.done

    @property
    def name(self) -> str:
        """What people call it: `003-cna` in its session, and its kind until it is there."""
        return self.step.kind if self.recorded is None else self.recorded.id

    @property
    def active(self) -> bool:
        """Whether it is waiting or running."""
        return self.state in ("queued", "running")

    @property
    def unfinished(self) -> bool:
        """Whether it was begun and can be gone on with."""
        return self.recorded is not None and self.state in UNFINISHED

    def with_rows(self, frame: pl.DataFrame, **changes: Any) -> Result:
        """The same with more exact rows."""
        held = InMemory(pl.concat([self.rows, frame]), self.estimates)
        return replace(self, held=held, under_way=0.0, doing="", **changes)

    def looked_at(self) -> Result:
        """The same in the state that its rows turn out to be in, now that they are read."""
        if self.state != "done" or not isinstance(self.held, OnDisk):
            return self
        state = self.held.state
        return self if state == "done" else replace(self, state=state)

    def table(self) -> pl.DataFrame:
        """Exact rows first, in rank order, then the estimates of the others.

        The column `estimated` tells them apart.
        """
        exact = self.step.ranked(self.rows).with_columns(estimated=pl.lit(False))
        if self.estimates is None:
            return exact
        others = self.estimates.join(exact.select(self.step.key), on=self.step.key, how="anti")
        ranked = self.step.ranked(others).with_columns(estimated=pl.lit(True))
        return pl.concat([exact, ranked], how="diagonal_relaxed")


def fits(result: Result) -> bool:
    """Whether recorded rows can be what was measured: no gaps, and parts that their model has.

    A column without any values is one that this very step does not fill.
    """
    model = result.model
    if model is None or not isinstance(result.held, OnDisk):
        return True
    parts = {"layer": model.layers, "head": model.heads, "neuron": model.neurons}
    return not any(
        0 < column.null_count() < len(column)
        or (column.dtype.is_float() and not column.is_finite().all())
        or (column.name in parts and not column.is_between(0, parts[column.name] - 1).all())
        for column in result.rows
    )


def _remaining(info: StepInfo, held: Held) -> float | None:
    """Seconds that a step which another process works on will take at its pace so far."""
    if info.state != "running" or not held.done:
        return None
    return info.seconds / held.done * max(info.expected - held.done, 0)


@dataclass(frozen=True)
class CorruptReading:
    """The corrupt prompt of a case as the model reads it."""

    tokens: tuple[str, ...]
    differing: tuple[int, ...]
    """Positions at which its tokens are not those of the prompt."""
    predictions: tuple[tuple[str, float], ...]
    difference: float | None
    """Of the answer's logit from the wrong one's here; None: there is no wrong one."""
    refused: str
    """Why the two cannot be compared; empty where they can."""


@dataclass(frozen=True)
class Reading:
    """A prompt as the model reads it, with what it would say next."""

    prompt: Prompt
    tokens: tuple[str, ...]
    special: frozenset[int]
    answer: tuple[str, ...]
    """Tokens of the prompt's answer; empty if it has none."""
    predictions: tuple[tuple[str, float], ...] = ()
    """Top next tokens with their probabilities."""
    standing: Standing | None = None
    """How the answer stands with the model."""
    wrong: tuple[str, ...] = ()
    """First tokens of the wrong answers."""
    against: Standing | None = None
    """How the wrong answers' first tokens stand with the model."""
    difference: float | None = None
    """The answers' mean logit less the wrong ones', of their first tokens, in nats."""
    corrupt: CorruptReading | None = None
    error: str | None = None


@dataclass(frozen=True)
class Errand:
    """Long work that makes no result: the model being loaded, or written."""

    what: str
    doing: str
    since: float
    """By the clock of `time.monotonic`."""


@dataclass
class Workspace:
    """The state the screens share. Only the app changes it; screens read."""

    prompts: PromptSet
    case: int = 0
    """The prompt that single-case analyses look at."""
    model: ModelInfo | None = None
    model_status: str = "waiting"
    model_failed: bool = False
    errand: Errand | None = None
    """What is being done besides results."""
    session: Session | None = None
    replaying: bool = False
    """The results come from disk and nothing is run."""
    replay_place: int = 0
    """Which of the results a replay is at."""
    playing: bool = False
    """The replay goes on by itself."""
    following: str = ""
    """In a replay of what another process writes or wrote: who, and whether it still does."""
    results: list[Result] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)
    """For each kind of step the id of the result its screen shows."""
    seen: str = ""
    """Id of the result that was looked at last."""
    desk: Desk = field(default_factory=Desk)
    """How the session at hand was left, as it says itself."""
    passed_over: str = ""
    """Why that is not known, where it should be."""
    offer: str = ""
    """What was begun and stopped and can be gone on with by one key, in words."""
    came_from: dict[str, str] = field(default_factory=dict)
    """For each result that was asked for here the id of the one that was in front then."""
    reading: Reading | None = None
    drafted: Reading | None = None
    """What the model made last of a case that is being typed."""
    staged: Staged = field(default_factory=Staged)
    readonly: bool = False
    guided: bool = False
    """A new user is led from a prompt to a neuron's tokens."""
    typed: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """What was typed last into each form, by field, so that it stands there again."""
    notices: Notices = field(default_factory=Notices)
    """What the program has said."""
    keys: Keys = field(default_factory=Keys)
    """Those in force, for words that name them."""
    preferences: Preferences | None = None
    """The settings, for the pages that show them; None: there are none."""

    @property
    def prompt(self) -> Prompt:
        """The case at hand."""
        return self.prompts.prompts[min(self.case, len(self.prompts) - 1)]

    @property
    def under_way(self) -> Result | None:
        """The result being computed, here or by the process that is followed, or the first one
        waiting."""
        active = [each for each in self.results if each.active]
        started = [each for each in active if each.state == "running"]
        return next(iter(started or active), None)

    @property
    def running(self) -> Result | None:
        """The result being computed here, or the first one waiting."""
        return None if self.replaying else self.under_way

    @property
    def replayed(self) -> Result | None:
        """The result a replay is at."""
        return self.results[self.replay_place] if self.replaying and self.results else None

    @property
    def unfinished(self) -> list[Result]:
        """What was begun and can be gone on with."""
        return [each for each in self.results if each.unfinished]

    @property
    def opens_at(self) -> Result | None:
        """Where a session opens: at the step looked at last, else an unfinished one, else the last.

        The newest of several unfinished ones.
        """
        looked_at = [each for each in self.results if each.name == self.desk.step]
        return next(iter((looked_at or self.unfinished or self.results)[::-1]), None)

    def recall(self, session: Session) -> None:
        """Have the results of a session in sight."""
        self.session = session
        self.desk, self.passed_over = read_desk(session)
        self.results = []
        for result in (Result.read(step, session.info.model) for step in session.steps):
            copied = any(each.id == result.id for each in self.results)  # its folder was, by hand
            folder = str(result.recorded.folder) if result.recorded else ""
            self.results.append(replace(result, id=folder) if copied else result)
        self.shown.clear()

    def take_up(self, session: Session) -> None:
        """Have in sight a session to be gone on with, and the prompts and the case it ended at."""
        self.recall(session)
        for result in self.results:
            self.go_to_case(result.step)

    def catch_up(self, results: Iterable[Result]) -> None:
        """Have in sight what has become of steps of the session at hand, as they are on disk."""
        for now in results:
            known = self.find(now.id)
            self.put(now if known is None else replace(now, id=known.id))

    def replay(self, session: Session) -> None:
        """Show a recorded session as it was left."""
        self.recall(session)
        self.replaying = True
        self.model = session.info.model
        self.replay_place = self.results.index(self.opens_at) if self.opens_at else 0
        self.reading = None
        sets = [getattr(each.step, "prompts", None) for each in self.results]
        for prompts in filter(None, sets[::-1]):
            self.prompts, self.case = prompts, 0

    def go_to_case(self, step: Step) -> None:
        """Have in sight the prompts a step is about, and the case, where it is about one."""
        prompts, prompt = getattr(step, "prompts", None), getattr(step, "prompt", None)
        if prompts is not None and len(prompts) == 1 and prompts.prompts[0] in self.prompts.prompts:
            prompt = prompts.prompts[0]  # one of those in sight, looked at alone
        elif prompts is not None and prompts != self.prompts:
            self.prompts, self.case = prompts, 0
        if prompt in self.prompts.prompts:
            self.case = self.prompts.prompts.index(prompt)

    def find(self, id: str) -> Result | None:
        """A result by its id, or by the address of its record."""
        for each in self.results:
            if each.id == id or (each.recorded is not None and each.recorded.address == id):
                return each
        return None

    def recorded_as(self, step: Step, alike: tuple[str, ...]) -> Result | None:
        """The latest result of a step; where there is none, of the one that is most like it.

        Args:
            step: what is looked for.
            alike: fields that must be the same; none: all.
        """

        def same(each: Result) -> int:
            return sum(getattr(each.step, name) == getattr(step, name) for name in fields)

        fields = type(step).model_fields
        near = [
            each
            for each in reversed(self.results)
            if each.step.kind == step.kind
            and all(getattr(each.step, name) == getattr(step, name) for name in alike or fields)
        ]
        return max(near, key=same, default=None)

    def made_of(self, result: Result) -> list[Result]:
        """The results of the steps that a table asked for, as far as they are at hand, in order.

        Raises:
            Exception: whatever rows that do not fit the table make of it; they may be anybody's.
        """
        found: list[Result] = []
        if (asking := result.step.asks()) is None:
            return found
        with suppress(StopIteration):
            wanted = next(asking)
            while (each := self.recorded_as(wanted, ())) is not None and each.done:
                found.append(each)
                rows = each.step.ranked(each.rows)
                wanted = asking.send(Found(each.step, rows, each.baseline))
        return found

    def current(self, *kinds: str) -> Result | None:
        """The result a screen of these kinds shows: the one chosen last, else the latest."""
        for kind in kinds:
            chosen = self.find(self.shown.get(kind, ""))
            if chosen is not None:
                return chosen.looked_at()
        found = (each for each in reversed(self.results) if each.step.kind in kinds)
        latest = next(found, None)
        return None if latest is None else latest.looked_at()

    def latest(self, kind: str, count: int) -> list[Result]:
        """The last results of a kind that have rows, the latest first."""
        found = [each for each in self.results if each.step.kind == kind and each.done]
        return found[: -count - 1 : -1]

    def show(self, result: Result, *kinds: str) -> None:
        """Make a result the one its screen shows."""
        for kind in kinds or (result.step.kind,):
            self.shown[kind] = result.id

    def detach(self) -> None:
        """Keep the results in sight although the steps to come go to another session."""
        self.results = [replace(each, recorded=None) for each in self.results]

    def put(self, result: Result) -> None:
        """Replace a result, or add it behind the others."""
        for place, each in enumerate(self.results):
            if each.id == result.id:
                self.results[place] = result
                return
        self.results.append(result)
