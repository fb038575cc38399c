"""Two sessions side by side: which steps both have, and how far their rows agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sessions.compare import Agreement, compare
from sessions.identity import differing
from sessions.recorded import RecordedStep
from sessions.session import Session


@dataclass(frozen=True)
class Pair:
    """A step that both sessions have, with the same parameters."""

    first: RecordedStep
    second: RecordedStep
    agreement: Agreement | None
    """The rows of the second beside those of the first; None: rows of one are lost."""

    @property
    def steps(self) -> tuple[RecordedStep, RecordedStep]:
        """Both records."""
        return self.first, self.second

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.agreement is not None and self.agreement.holds(0.0)

    @property
    def reason(self) -> str | None:
        """Why they are not compared, if they are not."""
        if self.agreement is not None:
            return None
        lost = [
            f"{each.id} of {each.folder.parent.name} is damaged, {each.done_rows:,} of "
            f"{each.info.expected:,} rows can be read"
            for each in self.steps
            if each.state == "damaged"
        ]
        return "; ".join(lost)


@dataclass(frozen=True)
class Diff:
    """In what two sessions differ."""

    model: dict[str, tuple[str, str]]
    """Facts about the model that are not the same."""
    pairs: Sequence[Pair]
    """Steps in both, as the first has them in order."""
    only_first: Sequence[RecordedStep]
    only_second: Sequence[RecordedStep]

    @property
    def same(self) -> bool:
        """Whether they hold the same steps with the same rows, of the same model."""
        return not (self.model or self.only_first or self.only_second) and all(
            pair.same for pair in self.pairs
        )


def diff(first: Session, second: Session) -> Diff:
    """Compare two sessions step by step.

    Of a step that a session has several times, with the same parameters, the last finished record
    counts. Rows of a step that is not finished are compared as far as they go; of one that is
    damaged not at all.

    Raises:
        WorkbenchError: one of them cannot be read.
    """
    ours, theirs = _by_parameters(first), _by_parameters(second)
    pairs = [
        Pair(step, theirs[key], _agreement(step, theirs[key]))
        for key, step in ours.items()
        if key in theirs
    ]
    return Diff(
        model=differing(first.info.model, second.info.model),
        pairs=pairs,
        only_first=[step for key, step in ours.items() if key not in theirs],
        only_second=[step for key, step in theirs.items() if key not in ours],
    )


def _agreement(first: RecordedStep, second: RecordedStep) -> Agreement | None:
    if "damaged" in (first.state, second.state):
        return None
    return compare(first.step, first.rows(), second.rows())


def _by_parameters(session: Session) -> dict[str, RecordedStep]:
    """The steps of a session by their JSON."""
    found: dict[str, RecordedStep] = {}
    for recorded in session.steps:
        key = recorded.step.model_dump_json()
        known = found.get(key)
        if known is None or known.state != "done" or recorded.state == "done":
            found[key] = recorded
    return found
