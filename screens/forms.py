"""The forms in which steps are asked for, made of their declarations; and where to export to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.folders import check_new_folder
from analysis.model.info import ModelInfo
from analysis.options import Option, given, without_dashes
from analysis.step import REGISTRY, Step
from screens.form import Field, Form
from screens.messages import ExportRequested
from screens.workspace import Workspace
from sessions.provenance import FORMATS, parse_format, with_files

Typed: TypeAlias = dict[str, str]
"""What was typed into a form, by field, so that it stands there again."""

OTHER_CASES = (
    "prompts are those of screen <app.prompts>; <prompts.task> there takes others, from files too"
)


def asked_on_screens() -> dict[str, type[Step]]:
    """The kinds of steps that a form can ask for."""
    return {kind: step for kind, step in REGISTRY.items() if step.askable() and step.command}


def step_form(
    kind: type[Step],
    workspace: Workspace,
    model: ModelInfo,
    usual: Mapping[str, str] | None = None,
) -> Form[tuple[Step, ...]]:
    """What a step is asked for with, but for the prompts, which are those of the first screen.

    Args:
        kind: of the step.
        workspace: what the screens work on.
        model: what it will run on.
        usual: texts that stand there at first, in place of the step's own defaults.
    """
    first = usual or {}
    fixed: dict[str, Any] = {}
    if "prompts" in kind.model_fields:
        fixed["prompts"] = workspace.prompts
    if "prompt" in kind.model_fields:
        fixed["prompt"] = workspace.prompt
    if "edit" in kind.model_fields and workspace.staged.changes:
        fixed["edit"] = workspace.staged.changes.interventions
    options = kind.options(fixed)

    def make(values: dict[str, str]) -> tuple[Step, ...]:
        try:
            steps = kind.asked(_given(options, values, fixed))
            for step in steps:
                step.check(model)
        except InputError as error:
            raise InputError(without_dashes(str(error), " ")) from error
        return steps

    on = workspace.prompts.title if "prompts" in fixed else ""
    name = kind.model_fields["kind"].default
    return Form(
        f"{name} · {on}" if on else f"{name} · {kind.summary_line()}",
        tuple(
            Field(_label(each), first.get(each.name, _default(each)), each.help) for each in options
        ),
        make,
        workspace.keys.fill(OTHER_CASES) if on else "",
        workspace.typed[name],
    )


def _given(options: tuple[Option, ...], values: dict[str, str], fixed: Mapping[str, Any]) -> Any:
    """What was typed into the fields; an empty one is as if nothing were said of it."""
    said: dict[str, Any] = {}
    for option in options:
        if text := values[_label(option)]:
            said[option.name] = with_files(text.split()) if option.changes else text
    return given(options, said, fixed=fixed)


def _label(option: Option) -> str:
    return option.name.replace("_", " ")


def _default(option: Option) -> str:
    if isinstance(option.default, bool):
        return "yes" if option.default else "no"
    return "" if option.required or option.default is None else str(option.default)


def export_form(changes: Changes, worn: str | None, typed: Typed) -> Form[ExportRequested]:
    """Where to write the model, and as what.

    Args:
        changes: what is staged.
        worn: the name of the adapter that the model wears.
        typed: what was typed before.
    """
    fields = (
        Field("folder", "", "A new one."),
        Field("format", FORMATS[0], "hf, adapter or mask."),
    )

    def make(values: dict[str, str]) -> ExportRequested:
        if not values["folder"]:
            raise InputError("name a new folder")
        format = parse_format(values["format"])
        if format == "adapter" and worn is None:
            raise InputError("the model wears no adapter; start it with --adapter DIR")
        if format == "mask" and not changes:
            raise InputError("a mask holds what is staged, and nothing is")
        # Which leaves a ~ that is nobody's.
        folder = Path(os.path.expanduser(values["folder"]))
        check_new_folder(folder)
        return ExportRequested(folder, Changes() if format == "adapter" else changes, format)

    note = "an adapter is the one worn, without what is staged" if worn else ""
    return Form("Write the model", fields, make, note, typed)
