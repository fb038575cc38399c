"""`workbench edit`: change a model, measure what it did, and export it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.folders import check_new_folder
from analysis.interventions import Intervention
from analysis.options import CHANGE, Given, naming
from analysis.refs import NeuronRef
from analysis.steps import EvaluateStep, PairsStep
from analysis.steps.evaluate import read_others, read_text
from analysis.tasks.asking import column_names, read_prompts
from analysis.tasks.pairs import pairs_in
from analysis.tasks.prompts import unescaped
from sessions.provenance import parse_format
from workbench.cli import narration, options, output
from workbench.cli.models import FormatName
from workbench.cli.step_commands import Run, reading_files, runs_steps
from workbench.cli.steps import Destination, follow, loaded, publish, recording, tell_answers
from workbench.exporting import Export, check_allowed, export

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.pairs import PromptPair
    from sessions import Session
    from sessions.provenance import Format
    from workbench.settings import Settings

MEASURES = tuple(
    each
    for each in EvaluateStep.options()
    if each.name not in ("prompt", "answer", "corrupt", "wrong", CHANGE.name)
)
"""What an edit is measured on: a task, other tasks, a text."""
TOP = 18
"""Neurons that the paper edits (section 6.2)."""


Ablated = Annotated[
    str | None, typer.Option("--ablate", help="Heads and neurons, as L20H8,L24N1493.")
]
Factor = Annotated[
    float, typer.Option("--factor", help="What to multiply them by; 0 takes them away.")
]
Pairs = Annotated[
    str | None,
    typer.Option(
        "--pairs",
        help="Find neurons on pairs: gender (professions), or a file of cases in twos.",
        metavar="gender|FILE",
    ),
]
TraitPrompt = Annotated[
    str | None, typer.Option("--prompt", help="The prompt that shows the trait to edit.")
]
Against = Annotated[
    str | None, typer.Option("--against", help="The prompt to be treated like --prompt.")
]
Words = Annotated[
    str | None,
    typer.Option("--words", help="What follows both: nurse,driver or a file, one a line."),
]
TopOfPairs = Annotated[
    int, typer.Option("--top", min=1, help="How many neurons of such pairs to edit.")
]
ExportFolder = Annotated[
    Path | None, typer.Option("--export", help="Write the edited model to this new folder.")
]


@dataclass(frozen=True)
class _Edit:
    """What to change, what to measure it on, and where the changed model goes."""

    named: Changes
    found_on: tuple[PromptPair, ...] | None
    """Pairs whose neurons are changed too."""
    top: int
    factor: float
    measures: dict[str, Any]
    """Fields of the evaluation."""
    folder: Path | None
    format: Format

    def evaluation(self, changes: Changes) -> EvaluateStep:
        """The step that measures some changes."""
        return EvaluateStep.of(edit=changes.interventions, **self.measures)


@runs_steps(CHANGE, *MEASURES)
def edit(
    ablate: Ablated = None,
    factor: Factor = 0.0,
    pairs: Pairs = None,
    prompt: TraitPrompt = None,
    against: Against = None,
    words: Words = None,
    top: TopOfPairs = TOP,
    folder: ExportFolder = None,
    format: FormatName = "hf",
    *,
    given: Given,
    run: Run,
) -> None:
    """Scale heads and neurons, named or found by comparing prompts; measure and export."""
    from analysis.tasks.pairs import measured_on

    _check_drawn(given)
    if given["columns"] is not None and given["task"] is None and pairs is None:
        raise InputError("--columns goes with --task or --pairs")
    found_on = _pairs(pairs, prompt, against, words, given["columns"])
    named = _named(ablate, factor, given["change"], found_on)
    to = Destination(run.session, run.out, run.json)
    written = _export_format(format, folder, run.settings)
    measures = _measures(given, None if found_on is None else measured_on(found_on))
    what = _Edit(named, found_on, top, factor, measures, folder, written)
    if named:  # what does not make a step is told before anything is loaded
        what.evaluation(named)
    _run(what, run.settings, to)


def _export_format(text: str, folder: Path | None, settings: Settings) -> Format:
    """The format of the export; raises InputError where it could not be written."""
    with naming("--format"):
        written = parse_format(text)
    if written == "adapter":
        raise InputError("an adapter cannot hold an edit of heads and neurons; use hf or mask")
    if folder is not None:
        check_allowed(settings)
        check_new_folder(folder)
    return written


def _run(what: _Edit, settings: Settings, to: Destination) -> None:
    """Find neurons where that is asked for, measure the changes, and export."""
    with narration.held_back():
        model = loaded(settings)
        if what.folder is not None and what.format == "hf":
            model.require_editable()
        with recording(to.session, settings, model, hint="edit") as session:
            changes = what.named
            if what.found_on is not None:
                found = _found(
                    session, what.found_on, what.top, what.factor, model, settings, to.json
                )
                changes = found.merged(changes.interventions)
            step = what.evaluation(changes)
            tell_answers(step, model, None)
            recorded = follow(session, step, model, settings)
            publish(session, recorded, step, model, to)
            if what.folder is not None:
                _write(what.folder, what.format, changes, settings, session, model)


def _measures(given: Given, gaps: tuple[PromptPair, ...] | None) -> dict[str, Any]:
    """What an edit is measured on, as fields of an evaluation.

    Args:
        given: the options.
        gaps: pairs whose gap is a target; None: those that the task is made of.

    Raises:
        InputError: what is given cannot be used.
    """
    with reading_files():
        prompts = None if given["task"] is None else read_prompts(given)
        return {
            "prompts": prompts,
            "pairs": gaps if gaps is not None else pairs_in(prompts) if prompts else (),
            "others": read_others(given),
            "text": read_text(given),
            "controls": given["controls"],
            "seed": given.seed,
        }


def _check_drawn(given: Given) -> None:
    """Refuse what says how tasks are drawn where no task is given: pairs are taken whole.

    Raises:
        InputError: names the option.
    """
    named = [f"--{name}" for name in ("shots", "cases") if given[name]]
    if named and given["task"] is None and given["against_tasks"] is None:
        raise InputError(f"{named[0]} goes with --task or --against-tasks; pairs are taken whole")
    if given["ops"] is not None and given["task"] is None:
        raise InputError("--ops goes with --task")


def _pairs(
    pairs: str | None,
    prompt: str | None,
    against: str | None,
    words: str | None,
    columns: str | None,
) -> tuple[PromptPair, ...] | None:
    """The pairs that neurons are to be found on, if any.

    Raises:
        InputError: what is given does not make pairs.
    """
    from analysis.tasks.pairs import named_pairs, word_pairs

    parts = (prompt, against, words)
    if pairs is not None:
        if any(each is not None for each in parts):
            raise InputError("give either --pairs or --prompt, --against and --words")
        with reading_files():
            return named_pairs(pairs, column_names(columns))
    if prompt is None and against is None and words is None:
        return None
    if prompt is None or against is None or words is None:
        raise InputError("--prompt, --against and --words go together: they make pairs")
    return word_pairs(unescaped(prompt), unescaped(against), _word_list(words))


def _word_list(text: str) -> list[str]:
    """The words of `--words`: a list, or the lines of a file.

    Raises:
        InputError: the file cannot be read.
    """
    path = Path(text)
    if not path.suffix and not path.is_file():
        return [each.strip() for each in text.split(",")]
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read the words of {path.name}: {reason}") from error


def _named(
    ablate: str | None,
    factor: float,
    change: list[str] | None,
    found_on: tuple[PromptPair, ...] | None,
) -> Changes:
    """The changes that are named, those of `--change` last.

    Raises:
        InputError: there are none, and nothing that would find some.
    """
    given = [Intervention.parse(ablate or "L0H0", factor)]  # a factor is checked either way
    found = Changes.of(given if ablate is not None else []).merged(
        options.changes(change).interventions
    )
    if not found and found_on is None:
        raise InputError(
            "nothing is changed; name heads and neurons with --ablate L20H8,L24N1493, or find "
            "neurons with --pairs gender or --prompt, --against and --words"
        )
    return found


def _found(
    session: Session,
    found_on: tuple[PromptPair, ...],
    top: int,
    factor: float,
    model: Model,
    settings: Settings,
    quiet: bool,
) -> Changes:
    """The neurons that differ most between the prompts of pairs, to be scaled."""
    step = PairsStep(pairs=found_on, top=top)
    rows = step.ranked(follow(session, step, model, settings).rows())
    if not quiet:
        table = step.shown(rows)
        output.print_table(table, step.title, table.columns)
    neurons = tuple(NeuronRef.parse(name) for name in rows["name"].head(top))
    return Changes.of([Intervention(neurons=neurons, factor=factor)])


def _write(
    folder: Path,
    format: Format,
    changes: Changes,
    settings: Settings,
    session: Session,
    model: Model,
) -> None:
    what = Export(folder, format, changes, settings.adapter, session)
    export(model, what, narration.say)
    narration.say(f"exported to {folder}: {changes}")
