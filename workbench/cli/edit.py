"""`workbench edit`: change a model, measure what it did, and export it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.options import CHANGE, Given, naming
from analysis.steps import EvaluateStep
from analysis.steps.evaluate import read_others, read_text
from analysis.tasks.asking import column_names, read_prompts
from analysis.tasks.pairs import pairs_in
from workbench.cli import options
from workbench.cli.export import FormatName
from workbench.cli.step_commands import Run, reading_files, runs_steps

if TYPE_CHECKING:
    from analysis.changes import Changes
    from analysis.model.model import Model
    from analysis.step import Step
    from analysis.tasks.pairs import PromptPair
    from sessions import RecordedStep, Session
    from sessions.provenance import Format
    from workbench.settings import Settings

MEASURES = tuple(
    each for each in EvaluateStep.options() if each.name not in ("prompt", "answer", CHANGE.name)
)
"""What an edit is measured on: a task, other tasks, a text."""
TOP = 18
"""Neurons that the paper edits (section 6.2)."""


@runs_steps(CHANGE, *MEASURES)
def edit(
    ablate: Annotated[
        str | None, typer.Option("--ablate", help="Heads and neurons, as L20H8,L24N1493.")
    ] = None,
    factor: Annotated[
        float, typer.Option("--factor", help="What to multiply them by; 0 takes them away.")
    ] = 0.0,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            help="Find neurons on pairs: gender (professions), or a file of cases in twos.",
            metavar="gender|FILE",
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="The prompt that shows the trait to edit.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="The prompt to be treated like --prompt.")
    ] = None,
    words: Annotated[
        str | None,
        typer.Option("--words", help="What follows both: nurse,driver or a file, one a line."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="How many neurons of such pairs to edit.")
    ] = TOP,
    folder: Annotated[
        Path | None, typer.Option("--export", help="Write the edited model to this new folder.")
    ] = None,
    format: FormatName = "hf",
    *,
    given: Given,
    run: Run,
) -> None:
    """Scale heads and neurons, named or found by comparing prompts; measure and export."""
    from analysis.errors import InputError
    from analysis.folders import check_new_folder
    from analysis.tasks.pairs import measured_on
    from sessions.provenance import parse_format
    from workbench.cli import narration
    from workbench.cli.steps import Destination, loaded, publish, recording, tell_answers
    from workbench.exporting import check_allowed

    _check_drawn(given)
    if given["columns"] is not None and given["task"] is None and pairs is None:
        raise InputError("--columns goes with --task or --pairs")
    found_on = _pairs(pairs, prompt, against, words, given["columns"])
    named = _named(ablate, factor, given["change"], found_on)
    settings = run.settings
    to = Destination(run.session, run.out, run.json)
    with naming("--format"):
        written = parse_format(format)
    if written == "adapter":
        raise InputError("an adapter cannot hold an edit of heads and neurons; use hf or mask")
    if folder is not None:
        check_allowed(settings)
        check_new_folder(folder)
    gaps = None if found_on is None else measured_on(found_on)
    measures = _measures(given, gaps)
    if named:  # what does not make a step is told before anything is loaded
        EvaluateStep.of(edit=named.interventions, **measures)
    with narration.held_back():
        model = loaded(settings)
        if folder is not None and written == "hf":
            model.require_editable()
        with recording(run.session, settings, model, hint="edit") as session:
            chosen = named
            if found_on is not None:
                found = _found(session, found_on, top, factor, model, settings, run.json)
                chosen = found.merged(named.interventions)
            step = EvaluateStep.of(edit=chosen.interventions, **measures)
            tell_answers(step, model, None)
            recorded = _recorded(session, step, model, settings)
            publish(session, recorded, step, model, to)
            if folder is not None:
                _write(folder, written, chosen, settings, session, model)


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
    from analysis.errors import InputError

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
    from analysis.errors import InputError
    from analysis.tasks.pairs import named_pairs, word_pairs
    from analysis.tasks.prompts import unescaped

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
    from analysis.errors import InputError

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
    from analysis.changes import Changes
    from analysis.errors import InputError
    from analysis.interventions import Intervention

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
    from analysis.changes import Changes
    from analysis.interventions import Intervention
    from analysis.refs import NeuronRef
    from analysis.steps import PairsStep
    from workbench.cli import output

    step = PairsStep(pairs=found_on, top=top)
    rows = step.ranked(_recorded(session, step, model, settings).rows())
    if not quiet:
        table = step.shown(rows)
        output.print_table(table, step.title, table.columns)
    neurons = tuple(NeuronRef.parse(name) for name in rows["name"].head(top))
    return Changes.of([Intervention(neurons=neurons, factor=factor)])


def _recorded(session: Session, step: Step, model: Model, settings: Settings) -> RecordedStep:
    """A step of the session, run to its end unless it is there."""
    from workbench.cli.steps import follow

    known = session.find(step)
    if known is not None and known.state == "done":
        return known
    return follow(session, step, model, settings, known)


def _write(
    folder: Path,
    format: Format,
    changes: Changes,
    settings: Settings,
    session: Session,
    model: Model,
) -> None:
    from sessions.provenance import measured_in
    from workbench.cli import narration
    from workbench.exporting import Export, export

    measured = measured_in(session, changes)
    what = Export(folder, format, changes, settings.adapter, session.name, measured)
    export(model, what, narration.say)
    narration.say(f"exported to {folder}: {changes}")
