"""Every table of the paper that has an experiment, by its id."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from analysis.errors import InputError
from analysis.paper.gender import biased_neurons, by_profession, by_prompt, edited_model
from analysis.paper.heads import by_digits, by_mark, by_operation, top_five
from analysis.paper.neurons import case_study, enhancing, masked
from analysis.paper.outcome import Experiment, Outcome
from analysis.paper.scale import Scale
from analysis.paper.shallow import four_stages, hidden_sets, transformed
from analysis.paper.tuning import by_layer, increases, one_case, pruned
from analysis.step import Found, Step


@dataclass(frozen=True)
class Table:
    """One table or figure: what it shows, in which unit, and how it is measured."""

    id: str
    title: str
    unit: str
    experiment: Experiment
    model: str = "Llama-7B"
    """The model the paper measured it on."""

    def measure(self, scale: Scale) -> Generator[Step, Found, Outcome]:
        """Begin the experiment."""
        return self.experiment(scale)


_HEADS = "accuracy, %"
_LOSS = "decrease, %"

TABLES = {
    table.id: table
    for table in (
        Table("T1", "accuracy without each of the top heads", _HEADS, by_operation("T1")),
        Table("T2", "the top head of each operation, by digits", _LOSS, by_digits),
        Table("T3", "memorize and change-one tokens without the top head", _LOSS, by_mark),
        Table("T4", "the neurons a head drives, one case", "nats, coefficient", case_study),
        Table("T5", "top neurons masked and kept, + and −", _LOSS, masked("T5", "+", "-")),
        Table("T6", "without the lowest neuron, + and −", _LOSS, enhancing("T6", "+", "-")),
        Table("T7", "shallow neurons behind attention, one case", "concepts", transformed),
        Table("T8", "hidden-interpretable sets, + and −", _LOSS, hidden_sets("T8", "+", "-")),
        Table("F1", "the chain of four stages, one case", "probability", four_stages),
        Table("F2", "accuracy with LoRA on each layer", "accuracy, %", by_layer),
        Table("T9", "important neurons under LoRA, one case", "coefficient", one_case),
        Table("T10", "coefficients raised by LoRA, by depth", "increase, %", increases),
        Table("T11", "the deep FFN pruned, with LoRA", "accuracy, %", pruned),
        Table("T12", "the neurons behind gendered professions", "coefficient", biased_neurons),
        Table("T13", "gender gap without the top 18 neurons", "nats", edited_model),
        Table("T15", "top neurons masked and kept, ÷", _LOSS, masked("T15", "/")),
        Table("T16", "without the lowest neuron, ÷", _LOSS, enhancing("T16", "/")),
        Table("T17", "hidden-interpretable sets, ÷", _LOSS, hidden_sets("T17", "/")),
        Table("T18", "accuracy without the top heads", _HEADS, by_operation("T18"), "GPT-J"),
        Table(
            "T19",
            "top neurons masked and kept, 2-digit −",
            _LOSS,
            masked("T19", "-", digits=2),
            "GPT-J",
        ),
        Table(
            "T20",
            "without the lowest neuron, 2-digit −",
            _LOSS,
            enhancing("T20", "-", digits=2),
            "GPT-J",
        ),
        Table(
            "T21",
            "hidden-interpretable sets, 2-digit −",
            _LOSS,
            hidden_sets("T21", "-", digits=2),
            "GPT-J",
        ),
        Table("T22", "gender gap by prompt", "nats", by_prompt),
        Table("T23", "gender gap by profession", "nats", by_profession),
        Table("T24", "top five heads of +, by digits", _HEADS, top_five("T24", "+")),
        Table("T25", "top five heads of −, by digits", _HEADS, top_five("T25", "-")),
        Table("T26", "top five heads of ×, by digits", _HEADS, top_five("T26", "*")),
        Table("T27", "top five heads of ÷, by digits", _HEADS, top_five("T27", "/")),
    )
}


def tables(names: str | None) -> list[Table]:
    """Tables by their ids, joined by commas; None: all.

    Raises:
        InputError: there is no such table.
    """
    if names is None:
        return list(TABLES.values())
    wanted = dict.fromkeys(part.strip().upper() for part in names.split(",") if part.strip())
    unknown = [each for each in wanted if each not in TABLES]
    if unknown or not wanted:
        raise InputError(f"no table {', '.join(unknown) or names!r}; there are {', '.join(TABLES)}")
    return [TABLES[each] for each in wanted]
