"""What goes to stderr while a command works: where it is, how long it will take."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from analysis.tasks.prompts import escaped
from screens.text import duration, how_far, lines, visible
from screens.words import rather

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.answers import Standing
    from analysis.tasks.prompts import Prompt

stderr = Console(stderr=True, highlight=False)
PACE = 60.0
"""Seconds between two lines of progress where no line can be drawn over."""
_held: list[Text] | None = None
"""Lines kept back until it is certain that the command can be done."""


def say(message: str) -> None:
    """One line of narration; data in it is neither markup nor obeyed."""
    _tell(Text(lines(message)))


def _tell(line: Text) -> None:
    if _held is None:
        stderr.print(line, soft_wrap=True)
    else:
        _held.append(line)


@contextmanager
def held_back() -> Iterator[None]:
    """Keep narration back until `go_ahead` or the end of the block, unless somebody watches.

    A command that is refused then leaves nothing on stderr but its reason. On a terminal every
    line comes at once: loading takes a while. Inside another such block this one does nothing.
    """
    global _held
    if stderr.is_terminal or _held is not None:
        yield
        return
    _held = []
    try:
        yield
        go_ahead()
    finally:
        _held = None


def go_ahead() -> None:
    """Say what was kept back, and from now on everything at once."""
    global _held
    lines, _held = _held or [], None
    for line in lines:
        _tell(line)


def warn(message: str) -> None:
    """A line nobody should overlook."""
    stderr.print(Text(lines(message), style="bold red"), soft_wrap=True)


def show_tokens(model: Model, prompt: Prompt, found: Standing | None = None) -> None:
    """The prompt as the model reads it, so that nobody is surprised by BOS or a space piece.

    Args:
        model: the model.
        prompt: the prompt.
        found: how its answer stands; None: that is not said.
    """
    encoded = model.encode(prompt)
    strip = Text(f"reads {len(encoded.ids)} tokens  ", style="dim")
    for place, token in enumerate(encoded.ids):
        strip.append(visible(model.token(token)), style="bold" if place in encoded.special else "")
        strip.append(" ")
    between = " or " if encoded.others else " "
    tokens = (*encoded.first, *encoded.answer_ids[1:])
    answer = between.join(visible(model.token(token)) for token in tokens)
    strip.append(f"→ {answer or 'top prediction'}", style="bold")
    if encoded.wrong:  # of each its first token, which is all that counts
        strip.append(
            " against " + " or ".join(visible(model.token(each)) for each in encoded.wrong)
        )
    if found is not None:
        predicted = "" if answer else f" {visible(found.answer)}"
        strip.append(f"{predicted}  P = {found.prob:.3g}, rank {found.rank:,}")
    _tell(strip)


def say_rather(prompt: Prompt, found: Standing) -> None:
    """Name the spelling that the model says rather than the one that is measured, if there is."""
    if found.rather is None:
        return
    asked = {"--prompt": found.rather.prompt, "--answer": found.rather.answer}
    if found.rather.prompt == prompt.prompt:
        asked.pop("--prompt")
    typed = " ".join(f"{name} {shlex.quote(escaped(text))}" for name, text in asked.items())
    say(f"{rather(prompt, found)}; measure that with {typed}")


class Bar:
    """A progress line for a step, drawn over and over."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=None, words="", rows=0)

    def update(
        self, done: int, expected: int, words: str = "", under_way: float | None = 0.0
    ) -> None:
        """Draw how far a step is.

        Args:
            done: finished rows.
            expected: rows there will be; 0 where that is not known yet.
            words: what is being done for the next ones.
            under_way: how many rows' worth of them is done; None: as many as before.
        """
        completed = None if under_way is None else done + under_way
        self._progress.update(
            self._task, completed=completed, total=expected or None, words=words, rows=done
        )

    def restart(self, label: str) -> None:
        """Begin again for another piece of work."""
        self._progress.reset(self._task, description=label, total=None, words="", rows=0)


class _HowFar(ProgressColumn):
    """How far a step is, in the words of the screens."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Rows, the time so far, the time left."""
        expected = None if task.total is None else int(task.total)
        return Text(how_far(task.fields["rows"], expected, task.elapsed, task.time_remaining))


class Lines:
    """Progress in a file or a pipe: a plain line now and then."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._said = time.monotonic()
        self._first: tuple[float, float] | None = None
        self._under_way = 0.0

    def update(
        self, done: int, expected: int, words: str = "", under_way: float | None = 0.0
    ) -> None:
        """Say how far a step is, as `Bar.update` does, if it is time to."""
        self._under_way = self._under_way if under_way is None else under_way
        now, made = time.monotonic(), done + self._under_way
        if self._first is None:
            self._first = (made, now)
        if now - self._said < PACE:
            return
        self._said = now
        before, since = self._first
        left = (expected - made) * (now - since) / (made - before) if made > before else None
        rows = f" {done:,} of {expected:,} rows" if expected else ""
        parts = [f"{self._label}{rows}".lstrip(), words]
        if left is not None:
            parts.append(f"about {duration(left)} left")
        say(", ".join(part for part in parts if part))

    def restart(self, label: str) -> None:
        """Begin again for another piece of work."""
        self._label, self._said, self._first = label, time.monotonic(), None


@contextmanager
def bar(label: str) -> Iterator[Bar | Lines]:
    """Show progress while the block runs: a line drawn over on a terminal, else a line a minute."""
    if not stderr.is_terminal:
        yield Lines(label)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _HowFar(),
        TextColumn("{task.fields[words]}", markup=False),
        console=stderr,
        transient=True,
    ) as progress:
        yield Bar(progress, label)


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """A line for each stage of a long command, and a progress line for the one it is in.

    Yields:
        What to tell: the stage, and how much of it is done of how much.
    """
    current = ""
    with bar("") as shown:

        def tell(stage: str, done: int, expected: int) -> None:
            nonlocal current
            if stage != current:
                current = stage
                say(stage)
                shown.restart("")
            shown.update(done, expected)

        yield tell
