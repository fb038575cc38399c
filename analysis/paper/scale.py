"""How large an experiment is, and on which cases it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from analysis.changing.tuning import RATES
from analysis.errors import InputError
from analysis.options import Given, Option, Typed
from analysis.tasks.arithmetic import TEST_CASES, TRAIN_CASES, answer_steps, evaluation, finetuning
from analysis.tasks.asking import COLUMNS, task_file
from analysis.tasks.prompts import Prompt, PromptSet, split
from analysis.tasks.standard import drawn, task

WORDS = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
SIGNS = tuple(WORDS)


class LoraScale(BaseModel):
    """How much is fine-tuned, and how many cases are compared neuron by neuron."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int | None = Field(6, ge=1)
    """How many single layers, evenly spread; None: every one, as in the paper."""
    digits: int = Field(1, ge=1, le=3)
    """Of the operands (paper: 2)."""
    train: int = Field(240, ge=3)
    """Cases to train on and choose by (paper: 18,000)."""
    test: int = Field(60, ge=1)
    """Cases to test on (paper: 2,000)."""
    rates: tuple[float, ...] = (1e-3, 5e-4)
    epochs: int = Field(3, ge=1)
    compared: int = Field(6, ge=1)
    """Test cases whose neurons are compared, the case study's before them."""
    top: int = Field(100, ge=1)
    """Neurons of each case that pruning keeps (paper: 500 of seven times as many)."""
    found_on: int | None = Field(16, ge=1)
    """Training cases that pruning finds neurons on; None: all."""


class Scale(BaseModel):
    """The cases of all experiments, and the seed of whatever is drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "small"
    evaluation: int = Field(128, ge=1)
    """Cases of the evaluation set, over all operations, styles and forms (paper: 1,600)."""
    evaluation_digits: int = Field(1, ge=1, le=3)
    """Digits of its operands (paper: 2)."""
    cases: int = Field(36, ge=1)
    """One-digit cases an operation, at most."""
    longer: int = Field(12, ge=1)
    """Two- and three-digit cases an operation, each."""
    shots: int = Field(2, ge=0, le=8)
    """Worked examples before each case."""
    controls: int = Field(5, ge=1)
    """Random draws beside each intervention."""
    lora: LoraScale = LoraScale()
    seed: int = 0
    task: PromptSet | None = None
    """The user's own cases in place of the arithmetic ones; groups stand for operations."""

    @classmethod
    def called(cls, name: str) -> Scale:
        """One of `SCALES`.

        Raises:
            InputError: there is no such scale.
        """
        if name not in SCALES:
            raise InputError(f"--scale {name}: choose {' or '.join(SCALES)}")
        return SCALES[name]

    def limited(self, cases: int) -> Scale:
        """The same with at most so many cases an operation."""
        return self.model_copy(
            update={
                "evaluation": cases * len(SIGNS),
                "cases": cases,
                "longer": min(self.longer, cases),
                "lora": self.lora.model_copy(
                    update={
                        "train": max(min(self.lora.train, cases * len(SIGNS)), 3),
                        "test": min(self.lora.test, cases * len(SIGNS)),
                        "compared": min(self.lora.compared, cases),
                        "found_on": min(self.lora.found_on or cases, cases),
                    }
                ),
            }
        )

    @property
    def evaluation_set(self) -> PromptSet:
        """The cases that all heads are swept on first."""
        if self.task is not None:
            return self._own()
        return evaluation(
            self.evaluation_digits, cases=self.evaluation, shots=self.shots, seed=self.seed
        )

    @property
    def digits(self) -> tuple[int, ...]:
        """Lengths of operands that are compared; a task of the user's has one."""
        return (1, 2, 3) if self.task is None else (1,)

    @property
    def operations(self) -> tuple[str, ...]:
        """The groups of cases that results are read by."""
        return SIGNS if self.task is None else self.task.groups

    def operation(self, sign: str, digits: int = 1) -> PromptSet:
        """Cases of one operation.

        Raises:
            InputError: the user's task has no such group.
        """
        if self.task is None:
            name = f"{WORDS[sign]}{digits}"
            if digits > 1:
                return task(name, self.shots, cases=self.longer, seed=self.seed)
            every = task(name, self.shots)
            return drawn(every, min(self.cases, len(every)), self.seed)
        own = self._own()
        if sign not in own.groups:
            present = ", ".join(own.groups)
            raise InputError(f"the operation {sign} is not in {own.name}; its groups are {present}")
        prompts = tuple(each for each in own.prompts if each.group == sign)
        return PromptSet(name=f"{own.name} {sign}", prompts=prompts)

    def together(self, *signs: str, digits: int = 1) -> PromptSet:
        """Cases of several operations. A task of the user's that has none of them is taken whole.

        Raises:
            InputError: one operation alone is asked for and the user's task lacks it.
        """
        if len(signs) > 1 and not any(self.has(sign) for sign in signs):
            return self._own()
        several = len(signs) > 1
        sets = [self.operation(sign, digits) for sign in signs if self.has(sign) or not several]
        return PromptSet(
            name=",".join(each.name for each in sets),
            prompts=tuple(prompt for each in sets for prompt in each.prompts),
        )

    def marked(self, sign: str) -> PromptSet:
        """Answer tokens of an operation as cases of their own, grouped by mark.

        Raises:
            InputError: none of the cases carries marks.
        """
        return answer_steps(self.operation(sign, digits=2))

    @property
    def tuning_sets(self) -> tuple[PromptSet, PromptSet]:
        """Cases to train on and to test on, none in both."""
        if self.task is None:
            lora = self.lora
            return finetuning(lora.digits, self.seed, lora.train, lora.test)
        own = self._own()
        found = split(own, None, self.seed)
        return (
            own.model_copy(update={"prompts": (*found.train, *found.validation)}),
            PromptSet(name=f"{own.name} test", prompts=found.test),
        )

    @property
    def case(self) -> Prompt:
        """The case of the case studies: 3 + 5, or the first of the user's own."""
        if self.task is not None:
            return self._own().prompts[0]
        cases = task("add1", self.shots).prompts
        return next(each for each in cases if each.prompt.endswith("3 + 5 = "))

    def has(self, sign: str) -> bool:
        """Whether there are cases of an operation."""
        return self.task is None or sign in self.task.groups

    def _own(self) -> PromptSet:
        assert self.task is not None
        self.task.require_answers()
        return self.task


SCALES = {
    "small": Scale(),
    "full": Scale(
        name="full",
        evaluation=1_600,
        evaluation_digits=2,
        cases=100,
        longer=100,
        shots=0,
        lora=LoraScale(
            layers=None,
            digits=2,
            train=TRAIN_CASES,
            test=TEST_CASES,
            rates=RATES,
            epochs=4,
            compared=100,
            top=500,
            found_on=None,
        ),
    ),
}
"""Small: for two cores and a small model, which needs worked examples. Full: the paper's."""


def _asked(given: Given) -> Scale:
    """The scale that was asked for.

    Raises:
        InputError: what was given does not make one.
    """
    found = Scale.called(given["scale"])
    changes: dict[str, Any] = {"seed": given.seed}
    if given["shots"] is not None:
        changes["shots"] = given["shots"]
    if given["columns"] is not None and given["task"] is None:
        raise InputError("--columns goes with --task")
    if given["task"] is not None:
        changes["task"] = task_file(Path(given["task"]), given["columns"])
        changes["task"].require_answers()
    found = found.model_copy(update=changes)
    return found if given["cases"] is None else found.limited(given["cases"])


SCALE = Typed(
    (
        Option("scale", "small: two cores, a small model; full: the paper's.", default="small"),
        Option("cases", "At most so many cases an operation.", int, least=1),
        Option("shots", "Worked examples before each case.", int, least=0, most=8),
        Option("task", "Your own file of cases; groups are operations.", file=True),
        COLUMNS,
    ),
    _asked,
)
"""How a scale is asked for."""
