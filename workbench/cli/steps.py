"""Running one step from the command line: load, record, print."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from analysis.errors import Cancelled
from analysis.progress import heard_by
from analysis.tasks.answers import doubt
from screens.words import of_set
from sessions import Finished, RecordedStep, Rows, Session, Started, ensure
from sessions.paths import checked_name
from workbench.cli import narration, output
from workbench.health import memory_line
from workbench.logs import start_logging
from workbench.runner import discard_if_empty, open_model
from workbench.sharing.rows import document, printed_baseline

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.step import Step
    from analysis.tasks.prompts import Prompt, PromptSet
    from workbench.settings import Settings


@dataclass(frozen=True)
class Destination:
    """Where the rows of a command go."""

    session: str | None
    out: Path | None
    json: bool

    def __post_init__(self) -> None:
        """Refuse what could not be written before a model is fetched and loaded."""
        output.check_out(self.out)
        if self.session is not None:
            checked_name(self.session)


def loaded(settings: Settings) -> Model:
    """The model the settings name, with what a user must know of it said."""
    start_logging()  # what libraries have to say goes to the log
    with narration.held_back():
        model = open_model(settings, narration.say)
    for line in model.info.warnings:
        narration.warn(line)
    return model


def settings_of(
    session: Session,
    model: str | None,
    device: str | None,
    adapter: Path | None,
    dtype: str | None = None,
) -> Settings:
    """Settings that open the model a session was recorded with.

    Args:
        session: what is to be computed again or gone on with.
        model: where the model is, if its recorded name does not say.
        device: where to compute; it need not be where the session was recorded.
        adapter: the adapter it wore, whose folder no record names.
        dtype: what to compute in; None: as it was recorded.
    """
    from workbench.settings import load_settings

    info = session.info
    settings = load_settings(
        model=model or info.model.name,
        dtype=dtype or info.model.dtype,
        device=device,
        adapter=adapter,
        seed=info.seed,
    )
    return settings.model_copy(
        update={"bits": info.model.bits, "ignore_unused": bool(info.model.unused)}
    )


def run_step(
    step: Step,
    settings: Settings,
    to: Destination,
    lines: int | None = None,
) -> None:
    """Run a step on a model and print its rows.

    Args:
        step: what to run.
        settings: which model, and how it is loaded.
        to: where the rows go.
        lines: rows of the table on the terminal; None: as many as the step says.
    """
    with narration.held_back():
        model = loaded(settings)
        step = step.fitted(model.fits)
        tell_answers(step, model, reads(step))
        with recording(to.session, settings, model, hint=step.kind) as session:
            recorded = follow(session, step, model, settings, again=True)
            publish(session, recorded, step, model, to, lines)


def reads(step: Step) -> Prompt | None:
    """The prompt whose tokens are shown before a step runs; None for those that change a model."""
    prompts: PromptSet | None = getattr(step, "prompts", None)
    first = None if prompts is None else prompts.prompts[0]
    return None if step.does else getattr(step, "prompt", None) or first


def tell_answers(step: Step, model: Model, reads: Prompt | None) -> None:
    """Say how the answers that are given stand with the model that a step looks at.

    Args:
        step: what will be run.
        model: what it runs on, which a step may change first.
        reads: a prompt whose token strip is shown.
    """
    from analysis.methods.spelling import otherwise_spelt, standing

    for each in step.changes:
        model.info.check_parts(each)
    prompts: PromptSet | None = getattr(step, "prompts", None)
    several = prompts is not None and len(prompts) > 1
    wears = getattr(step, "adapter", None) is not None  # then it looks at another model
    with model.changed(step.changes):
        if reads is not None:
            found = None if wears else standing(model, reads)
            narration.show_tokens(model, reads, found)
            if found is not None and not several:
                narration.say_rather(reads, found)
        spelt = otherwise_spelt(model, prompts) if prompts is not None and several else {}
    if prompts is not None and spelt:
        narration.say(of_set(spelt, prompts))


@contextmanager
def recording(name: str | None, settings: Settings, model: Model, hint: str) -> Iterator[Session]:
    """A session open for writing; one begun in vain leaves nothing behind."""
    session = Session.use(name, model.info, seed=settings.seed, hint=hint)
    try:
        yield session
    finally:
        discard_if_empty(session)


def follow(
    session: Session,
    step: Step,
    model: Model,
    settings: Settings,
    *,
    again: bool = False,
    begun: RecordedStep | None = None,
    go_on: str | None = None,
    announce: Callable[[Step], None] = lambda step: None,
) -> RecordedStep:
    """Have a step in a session, with progress on stderr. Interrupted, it says how to go on.

    Args:
        session: open for writing.
        step: what is wanted.
        model: what to run it on.
        settings: how the model was loaded.
        again: compute it anew, whatever the session has of it.
        begun: go on with this record of it.
        go_on: the command that goes on with it after an interruption; None: `workbench resume`.
        announce: told of each step that this one asks for, unless the session has it.
    """
    under_way, finished = begun, None
    done, expected = 0, 0 if begun is None else begun.info.expected
    try:
        with (
            narration.bar(step.kind) as bar,
            heard_by(lambda rows, words: bar.update(done, expected, words, rows)),
        ):
            for update in ensure(session, step, model, again=again, begun=begun):
                if isinstance(update, Started):
                    under_way, done, expected = update.recorded, update.done, update.expected
                    if update.finished:
                        continue
                    if under_way.step != step:
                        announce(under_way.step)
                        bar.restart(under_way.step.kind)
                    _tell_started(update, model)
                elif isinstance(update, Rows):
                    done = update.done
                elif isinstance(update, Finished):
                    under_way, finished, done = None, under_way, expected
                bar.update(done, expected)
    except (KeyboardInterrupt, Cancelled):
        if under_way is not None and not under_way.folder.exists():
            narration.say("interrupted before the first row; nothing is kept")
        elif under_way is not None:
            done = under_way.done_rows  # the last batch may be on disk without having been told
            narration.say(f"interrupted: {done:,} of {expected:,} rows are kept")
            narration.say(f"go on with: {go_on or _resuming(session, settings)}")
        raise
    assert finished is not None
    return finished


def _tell_started(started: Started, model: Model) -> None:
    """Say what is known of a step before its first row."""
    narration.go_ahead()
    correct = started.baseline.get("prompt_correct", ())
    if line := doubt(correct, getattr(started.recorded.step, "prompts", None)):
        narration.say(line)
    for each in started.baseline.get("left_out", ()):
        narration.say(f"left out: {each}")
    if started.memory:
        narration.say(memory_line(started.memory, model.info.device))


def _resuming(session: Session, settings: Settings) -> str:
    """The command that finishes what was interrupted, ready for a shell."""
    words = ["workbench", "resume", session.name]
    if settings.model != session.info.model.name:  # a folder or file: records hold no such path
        words += ["--model", settings.model]
    if settings.adapter is not None:
        words += ["--adapter", str(settings.adapter)]
    return shlex.join(words)


def publish(
    session: Session,
    recorded: RecordedStep,
    step: Step,
    model: Model,
    to: Destination,
    lines: int | None = None,
) -> pl.DataFrame:
    """Print and write the rows of a finished step."""
    rows = step.ranked(recorded.rows())
    baseline = printed_baseline(recorded.info.baseline)
    data = document(step, model.info, baseline, rows, session=session.name, id=recorded.id)
    if to.json:
        output.print_json(data)
    else:
        table = step.shown(rows)
        title = f"{step.title}   {_facts(baseline)}"
        output.print_table(table, title, table.columns, lines or step.lines)
    if to.out is not None:
        output.write_rows(to.out, step, rows, data)
        narration.say(f"written: {to.out}")
    if recorded.files is not None:
        narration.say(f"files: {recorded.files}")
    if summary := step.summary(rows):
        narration.say(summary)
    estimates = recorded.estimates()
    agreement = step.agreement(rows, estimates)
    if agreement is not None and estimates is not None:
        narration.say(
            f"rank agreement of the estimates with the exact values: {agreement:.2f} · worst miss "
            f"{step.worst_miss(rows, estimates)}"
        )
    narration.say(
        f"session {session.name}, step {recorded.id}, {recorded.info.seconds:.1f} s"
        f" · look again with: workbench replay {session.name}"
    )
    return rows


def _facts(baseline: dict[str, object]) -> str:
    """The baseline in a few words."""
    words = []
    for name, value in baseline.items():
        if isinstance(value, float):
            words.append(f"{name.replace('_', ' ')} {value:.4g}")
        elif name == "answer":
            words.append(f"answer {value!r}")
        elif name == "edges":
            words.append(f"{value:,} edges")
    return " · ".join(words)
