"""A session as a Python script that computes it again; values of steps as Python source."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from analysis.errors import InputError
from analysis.refs import HeadRef, NeuronRef
from analysis.tasks.arithmetic import MAX_SHOTS
from analysis.tasks.pairs import gender_prompt_pairs
from analysis.tasks.prompts import PromptSet
from analysis.tasks.standard import ARITHMETIC, TASKS, task
from analysis.tasks.texts import Text
from sessions import RecordedStep, Session

_PAGE = '''"""Computes the steps of a recorded session again and keeps their rows as Parquet files.

Written by CNA Workbench, whose packages it imports. `--help` says what it takes.
"""

{imports}

SESSION = {session}
MODEL = {model}
"""As recorded; a folder or a file has to be given with `--model`."""
WEIGHTS = {weights}
"""SHA-256 of the weights that the recorded numbers come from."""
LOADED = {loaded}
"""How they were loaded."""
{definitions}
STEPS = {steps}


def main() -> None:
    """Compute every step, in their order."""
    parser = argparse.ArgumentParser(description=f"Computes session {{SESSION}} again.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(f"{{SESSION}}-again"))
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--device")
    parser.add_argument("--adapter", type=Path{required})
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    settings = load_settings(
        model=given.model, device=given.device, adapter=given.adapter, **LOADED
    )
    model = open_model(settings, print)
    if WEIGHTS is not None and model.info.weights_sha256 not in (None, WEIGHTS):
        print("these are not the recorded weights: the numbers will differ")
    for name, step in STEPS.items():
        empty = pl.DataFrame(schema=schema(step.columns))
        rows = step.ranked(pl.concat([empty, *step.run(model)]))
        rows.write_parquet(given.folder / f"{{name}}.parquet")
        print(f"{{name}}: {{step.title}}", rows, sep="\\n")


if __name__ == "__main__":
    main()
'''
_IMPORTS = (
    "import argparse",
    "from pathlib import Path",
    "",
    "import polars as pl",
    "",
)
_NEEDED = (
    "from analysis.columns import schema",
    "from workbench.runner import open_model",
    "from workbench.settings import load_settings",
)


def script(session: Session, steps: Sequence[RecordedStep]) -> str:
    """The script that computes some steps of a session.

    What the session holds becomes nothing but literals: it can put no code of its own in.
    """
    info = session.info
    source = PythonWriter(info.seed)
    entries = "".join(f"    {literal(each.id)}: {source.of(each.step, 4)},\n" for each in steps)
    ours = [each for each in source.imports if not each.startswith("from pathlib")]
    how = {"dtype": info.model.dtype, "bits": info.model.bits, "seed": info.seed}
    if info.model.unused:
        how["ignore_unused"] = True
    loaded = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in how.items())
    definitions = "\n".join(source.definitions)
    return _PAGE.format(
        imports="\n".join([*_IMPORTS, *sorted([*ours, *_NEEDED])]),
        session=literal(session.name),
        model=literal(_model(session)),
        weights=literal(info.model.weights_sha256),
        loaded=f"{{{loaded}}}",
        definitions=f"\n{definitions}\n" if definitions else "",
        steps=f"{{\n{entries}}}",
        required="" if info.model.adapter is None else ", required=True",
    )


def _model(session: Session) -> str:
    """What `--model` took when the session was recorded."""
    info = session.info.model
    hub = "/" in info.name and info.revision is not None
    return f"{info.name}@{info.revision}" if hub else info.name


WIDTH = 96
_STEP = 4


class PythonWriter:
    """Writes values as source, and remembers what the source needs.

    Prompt sets are given a name, so that a set that several steps share is written once.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sets: dict[PromptSet, str] = {}
        self._names: set[tuple[str, str]] = set()
        self.definitions: list[str] = []
        """Assignments that stand before the steps."""

    @property
    def imports(self) -> list[str]:
        """The import lines of what was written."""
        modules = sorted({module for module, _ in self._names})
        return [
            f"from {module} import {', '.join(sorted(n for m, n in self._names if m == module))}"
            for module in modules
        ]

    def of(self, value: Any, indent: int = 0) -> str:
        """A value as an expression, its later lines indented.

        Args:
            value: a step, or what steps are made of.
            indent: spaces before the line it stands in.
        """
        if isinstance(value, PromptSet):
            return self._named(value)
        if isinstance(value, Text) and value == Text.sample():
            return f"{self._name(Text)}.sample()"
        if isinstance(value, BaseModel):
            return self._constructed(value, indent)
        if isinstance(value, HeadRef | NeuronRef):
            return f"{self._name(type(value))}({value.layer}, {value.index})"
        if isinstance(value, Path):
            return f"{self._name(Path)}({literal(str(value))})"
        if isinstance(value, tuple):
            return self._tuple(value, indent)
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return f'float("{value}")'
        if value is None or isinstance(value, bool | int | float | str):
            return literal(value)
        raise TypeError(f"no source for {type(value).__name__}")  # a new kind of parameter

    def _name(self, what: Any) -> str:
        module = "pathlib" if what is Path else what.__module__
        self._names.add((_public(module), what.__name__))
        return str(what.__name__)

    def _constructed(self, value: BaseModel, indent: int) -> str:
        fields = type(value).model_fields
        given = {
            name: getattr(value, name)
            for name, field in fields.items()
            if getattr(value, name) != field.get_default(call_default_factory=True)
        }
        parts = [f"{name}={self.of(each, indent + _STEP)}" for name, each in given.items()]
        return _laid_out(f"{self._name(type(value))}(", parts, ")", indent)

    def _tuple(self, value: tuple[Any, ...], indent: int) -> str:
        if value and value == gender_prompt_pairs():
            return f"{self._name(gender_prompt_pairs)}()"
        if len(value) > 1 and all(type(each) in (int, float) for each in value):
            numbers = f"({', '.join(map(self.of, value))})"
            inner = " " * (indent + _STEP)
            return f"\n{inner}".join(textwrap.wrap(numbers, WIDTH - indent - _STEP))
        parts = [self.of(each, indent + _STEP) for each in value]
        return _laid_out("(", parts, ",)" if len(value) == 1 else ")", indent)

    def _named(self, prompts: PromptSet) -> str:
        if prompts not in self._sets:
            name = self._free(prompts.name)
            self._sets[prompts] = name
            self.definitions.append(f"{name} = {self._made(prompts)}")
        return self._sets[prompts]

    def _free(self, wanted: str) -> str:
        """A variable for a set, named after it."""
        base = re.sub(r"[^a-z0-9]+", "_", wanted.lower(), flags=re.ASCII).strip("_") or "cases"
        base = f"cases_{base}"[:40]
        taken = set(self._sets.values())
        others = (f"{base}_{number}" for number in count(2))
        return next(each for each in chain((base,), others) if each not in taken)

    def _made(self, prompts: PromptSet) -> str:
        """A call of `task` if that gives the very same set, else all its prompts."""
        if (arguments := self._task_arguments(prompts)) is not None:
            return f"{self._name(task)}({', '.join(arguments)})"
        return self._constructed(prompts, 0)

    def _task_arguments(self, prompts: PromptSet) -> list[str] | None:
        names = prompts.name.split(",")
        if not set(names) <= set(TASKS):
            return None
        drawn, rest = divmod(len(prompts), len(names))
        sizes = [None] if rest else [None, drawn]
        shots = range(MAX_SHOTS + 1) if set(names) <= set(ARITHMETIC) else (0,)
        for many in shots:
            for cases in sizes:
                try:
                    same = task(prompts.name, many, cases, self._seed) == prompts
                except InputError:
                    continue
                if same:
                    given = {"shots": many, "cases": cases, "seed": self._seed}
                    words = [f"{name}={value}" for name, value in given.items() if value]
                    return [literal(prompts.name), *words]
        return None


def literal(value: str | float | None) -> str:
    """A plain value as Python reads it back, texts in double quotes where that is the same."""
    text = repr(value)
    if isinstance(value, str) and not {"'", '"'} & set(value):
        return f'"{text[1:-1]}"'
    return text


def _public(module: str) -> str:
    """Steps are imported from the package that lists them."""
    return "analysis.steps" if module.startswith("analysis.steps.") else module


def _laid_out(opening: str, parts: Sequence[str], closing: str, indent: int) -> str:
    """Parts on one line, or on one each where they are too long or broken themselves."""
    line = opening + ", ".join(parts) + closing
    if "\n" not in line and len(line) + indent <= WIDTH:
        return line
    inner = " " * (indent + _STEP)
    body = "".join(f"{inner}{part},\n" for part in parts)
    return f"{opening}\n{body}{' ' * indent}{closing.lstrip(',')}"
