"""An experiment under way, driven step by step by whoever has a model or a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.paper.outcome import Found, Outcome

if TYPE_CHECKING:
    from analysis.step import Step
    from analysis.steps.table import TableStep


class Measuring:
    """A table being measured: it wants a step, or it has an outcome.

    Args:
        table: which table, at which scale.

    Raises:
        InputError: the scale's own task does not suit the table.
    """

    def __init__(self, table: TableStep) -> None:
        self.table = table
        self.wanted: Step | None = None
        """The step whose rows come next; None once there is an outcome."""
        self.outcome: Outcome | None = None
        self._experiment = table.declared.measure(table.scale)
        self._go_on(None)

    def answer(self, found: Found) -> None:
        """Hand over what the wanted step found."""
        self._go_on(found)

    def _go_on(self, found: Found | None) -> None:
        try:
            step = next(self._experiment) if found is None else self._experiment.send(found)
        except StopIteration as end:
            self.wanted, self.outcome = None, end.value
        else:
            changes = (*self.table.changes, *step.changes)
            self.wanted = step.model_copy(update={"changes": changes}) if changes else step
