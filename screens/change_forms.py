"""The forms of screen 6: what they ask, and the steps that they make."""

from __future__ import annotations

from typing import TypeAlias

from analysis.errors import InputError
from analysis.info import ModelInfo
from analysis.pairs import named_pairs
from analysis.prompts import PromptSet
from analysis.refs import HeadRef, parse_layers
from analysis.steps import LoraStep, PairsStep, PruneStep
from analysis.tuning import Tuning, parse_rates
from screens.form import Field, Form, whole

Typed: TypeAlias = dict[str, str]
"""What was typed into a form, by field, so that it stands there again."""

PRUNED_TO = 500
"""Neurons of each case that pruning keeps unless another number is given (paper section 6.1)."""
FOUND = 18
"""Neurons that the paper edits (section 6.2)."""
OTHER_CASES = "prompts are those of screen 1; t there takes others, from files too"


def pairs_form(typed: Typed) -> Form[PairsStep]:
    """Which neurons tell the prompts of pairs apart."""
    fields = (
        Field("pairs", "gender", "or a file of cases in twos"),
        Field("neurons", str(FOUND), "to find and to stage"),
    )

    def make(values: dict[str, str]) -> PairsStep:
        return PairsStep.of(pairs=named_pairs(values["pairs"]), top=whole("neurons", values))

    return Form("Neurons that tell pairs of prompts apart", fields, make, typed=typed)


def lora_form(prompts: PromptSet, model: ModelInfo, typed: Typed) -> Form[LoraStep]:
    """Which layers to train LoRA on, and how."""
    usual = Tuning()
    fields = (
        Field("layers", "", "3,9,20 or 0-29: one each"),
        Field("rank", str(usual.rank), "of its matrices"),
        Field("rates", ",".join(f"{rate:g}" for rate in usual.rates), "all are tried"),
        Field("epochs", str(usual.epochs), "at most"),
    )

    def make(values: dict[str, str]) -> LoraStep:
        layers = parse_layers(values["layers"])
        model.check_layer(layers[-1])
        tuning = {name: whole(name, values) for name in ("rank", "epochs")}
        rates = parse_rates(values["rates"])
        return LoraStep.of(prompts=prompts, layers=layers, tuning={**tuning, "rates": rates})

    question = f"Train LoRA on attention · {prompts.title}"
    return Form(question, fields, make, OTHER_CASES, typed)


def prune_form(prompts: PromptSet, model: ModelInfo, typed: Typed) -> Form[PruneStep]:
    """Which head's neurons pruning keeps, and how many of each case."""
    fields = (
        Field("head", "", "as L20H8; pruned from its layer up"),
        Field("neurons", str(PRUNED_TO), "of each case, at most"),
    )

    def make(values: dict[str, str]) -> PruneStep:
        head, top = HeadRef.parse(values["head"]), whole("neurons", values)
        model.check_head(head)
        if top > model.neurons * model.layers:
            raise InputError(
                f"neurons {top:,}: {model.name} has {model.neurons * model.layers:,} in all"
            )
        return PruneStep.of(prompts=prompts, head=head, from_layer=head.layer, top=top)

    question = f"Keep the neurons that a head drives · {prompts.title}"
    return Form(question, fields, make, OTHER_CASES, typed)
