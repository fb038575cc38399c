"""The forms of screen 6: what they ask, and the steps that they make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from analysis.changes import Changes
from analysis.changing.tuning import Tuning, parse_rates
from analysis.errors import InputError
from analysis.folders import check_new_folder
from analysis.model.info import ModelInfo
from analysis.refs import HeadRef, parse_layers
from analysis.steps import LoraStep, PairsStep, PruneStep
from analysis.tasks.pairs import named_pairs
from analysis.tasks.prompts import PromptSet
from screens.form import Field, Form, whole, yes
from screens.messages import ExportRequested
from sessions.provenance import FORMATS, parse_format

Typed: TypeAlias = dict[str, str]
"""What was typed into a form, by field, so that it stands there again."""

PRUNED_TO = 500
"""Neurons of each case that pruning keeps unless another number is given (paper section 6.1)."""
FOUND = 18
"""Neurons that the paper edits (section 6.2)."""
OTHER_CASES = (
    "prompts are those of screen <app.prompts>; <prompts.task> there takes others, from files too"
)


def pairs_form(typed: Typed) -> Form[PairsStep]:
    """Which neurons tell the prompts of pairs apart."""
    fields = (
        Field("pairs", "gender", "or a file of cases in twos"),
        Field("neurons", str(FOUND), "to find and to stage"),
    )

    def make(values: dict[str, str]) -> PairsStep:
        return PairsStep.of(pairs=named_pairs(values["pairs"]), top=whole("neurons", values))

    return Form("Neurons that tell pairs of prompts apart", fields, make, typed=typed)


def lora_form(prompts: PromptSet, model: ModelInfo, typed: Typed, note: str) -> Form[LoraStep]:
    """Which layers to train LoRA on, and how."""
    usual = Tuning()
    fields = (
        Field("layers", "", "3,9,20 or 0-29: one each"),
        Field("rank", str(usual.rank), "of its matrices"),
        Field("rates", ",".join(f"{rate:g}" for rate in usual.rates), "all are tried"),
        Field("epochs", str(usual.epochs), "at most"),
        Field("together", "no", "yes: one on all layers"),
    )

    def make(values: dict[str, str]) -> LoraStep:
        layers = parse_layers(values["layers"])
        model.check_layer(layers[-1])
        tuning = {name: whole(name, values) for name in ("rank", "epochs")}
        rates = parse_rates(values["rates"])
        return LoraStep.of(
            prompts=prompts,
            layers=layers,
            together=yes("together", values),
            tuning={**tuning, "rates": rates},
        )

    question = f"Train LoRA on attention · {prompts.title}"
    return Form(question, fields, make, note, typed)


def prune_form(prompts: PromptSet, model: ModelInfo, typed: Typed, note: str) -> Form[PruneStep]:
    """Which neurons pruning keeps, in which layers, and whether LoRA is trained on top."""
    fields = (
        Field("head", "", "as L20H8; empty: what LoRA changes"),
        Field("neurons", str(PRUNED_TO), "of each case, at most"),
        Field("from layer", "", "empty: the head's own"),
        Field("LoRA on", "", "a layer, trained on top; or empty"),
    )

    def make(values: dict[str, str]) -> PruneStep:
        head = HeadRef.parse(values["head"]) if values["head"] else None
        top, trained = whole("neurons", values), _layer("LoRA on", values, model)
        lowest = _layer("from layer", values, model)
        if head is not None:
            model.check_head(head)
            lowest = head.layer if lowest is None else lowest
        elif trained is None or lowest is None:
            raise InputError("name a head, or a layer for LoRA and one to prune from")
        if top > model.neurons * model.layers:
            raise InputError(
                f"neurons {top:,}: {model.name} has {model.neurons * model.layers:,} in all"
            )
        return PruneStep.of(prompts=prompts, head=head, from_layer=lowest, top=top, layer=trained)

    question = f"Prune the FFN to the neurons that matter · {prompts.title}"
    return Form(question, fields, make, note, typed)


def export_form(changes: Changes, worn: str | None, typed: Typed) -> Form[ExportRequested]:
    """Where to write the model, and as what.

    Args:
        changes: what is staged.
        worn: the name of the adapter that the model wears.
        typed: what was typed before.
    """
    fields = (
        Field("folder", "", "a new one"),
        Field("format", FORMATS[0], "hf, adapter or mask"),
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


def _layer(name: str, values: dict[str, str], model: ModelInfo) -> int | None:
    """The layer in a field; None if it is empty."""
    if not values[name]:
        return None
    layer = whole(name, values, least=0)
    model.check_layer(layer)
    return layer
