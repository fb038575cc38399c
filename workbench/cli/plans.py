"""Plans: TOML files that hold several steps in the words of the command line.

A step of a plan is read by the command of its kind, which is called with a `run` that takes note
of the step instead of running it. So a plan can say what the command line can, and no more.
"""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.errors import InputError
from sessions.paths import checked_name
from workbench.cli import (
    ablate,
    chain,
    circuit,
    cna,
    evaluate,
    heads,
    hidden,
    layers,
    lora,
    neurons,
    options,
    paper,
    project,
    prune,
)
from workbench.cli.output import SHOWN
from workbench.cli.shared import Run, with_options

if TYPE_CHECKING:
    from analysis.step import Step
    from analysis.tasks.prompts import Prompt
    from workbench.cli.steps import View


def table(
    table: paper.TableIds = None,
    scale: paper.ScaleName = "small",
    cases: paper.MostCases = None,
    shots: paper.Examples = None,
    task: paper.OwnTask = None,
    columns: options.Columns = None,
    *,
    run: Run,
) -> None:
    """Tables of the paper, as `workbench paper` measures them."""
    from analysis.paper.registry import tables
    from analysis.paper.table import TableStep

    at = paper.scale_of(scale, cases, shots, task, run.settings.seed, columns)
    for each in tables(table):
        step = TableStep(table=each.id, scale=at)
        step.check_cases()
        run.step(step, shown=[])


KINDS: dict[str, Callable[..., Any]] = {
    "heads": heads.heads,
    "neurons": neurons.neurons,
    "ablate": ablate.ablate,
    "cna": cna.cna,
    "chain": chain.chain,
    "circuit": circuit.circuit,
    "gains": layers.gains,
    "lens": layers.lens,
    "hidden": hidden.hidden,
    "project": project.project,
    "lora": lora.lora,
    "prune": prune.prune,
    "evaluate": evaluate.evaluate,
    "table": table,
}
"""The command that reads the steps of each kind."""
OF_A_STEP = ("change", "seed")
"""Options that all steps share; the others they share are the plan's."""
PATHS = frozenset({"model", "adapter", "task", "test", "text", "out", "concepts"})
"""Keys whose values may be paths; `./` and `../` start from the plan's folder."""


class Plan(BaseModel):
    """A plan as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str | None = None
    dtype: str | None = None
    bits: int | None = None
    device: str | None = None
    adapter: str | None = None
    ignore_unused: bool | None = None
    seed: int | None = None
    session: str | None = None
    """Where its steps go; None: a session of the plan's own name."""
    keep_going: bool = False
    """Whether the steps behind a failing one run nevertheless."""
    step: list[dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True)
class Planned:
    """One step of a plan, ready to run."""

    number: int
    """Place in the plan, from 1; a `table` step may ask for several."""
    step: Step


@dataclass(frozen=True)
class Asked(Run):
    """Takes note of steps."""

    steps: list[Step] = field(default_factory=list)

    def step(
        self,
        step: Step,
        shown: list[str],
        reads: Prompt | None = None,
        limit: int = SHOWN,
        view: View | None = None,
    ) -> None:
        """Take note of a step; how its rows would be shown does not matter."""
        self.steps.append(self.changed(step))


def read_plan(path: Path) -> Plan:
    """Read a plan; its steps are not looked into.

    Raises:
        InputError: it cannot be read, or a key or a value at its top is none.
    """
    try:
        plan = Plan.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"cannot read plan {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{path.name}: {_first_reason(error)}") from error
    placed = {key: _placed(path, key, getattr(plan, key)) for key in ("model", "adapter")}
    return plan.model_copy(update=placed)


def session_name(path: Path, plan: Plan) -> str:
    """The session that a plan goes to, so that the same plan goes on with it.

    Raises:
        InputError: it cannot be the name of one.
    """
    own = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip(".-") or "plan"
    return checked_name(own[:100] if plan.session is None else plan.session)


def planned(path: Path, plan: Plan, on: dict[str, Any]) -> tuple[Planned, ...]:
    """The steps of a plan, read as the command line reads them.

    Args:
        path: where the plan lies.
        plan: what it says.
        on: the options of the model: `model`, `dtype`, `seed` …

    Raises:
        InputError: names the step and, where one is to blame, the key.
    """
    return tuple(
        Planned(number, step)
        for number, given in enumerate(plan.step, start=1)
        for step in _steps(number, given, path, on)
    )


def _steps(number: int, given: dict[str, Any], path: Path, on: dict[str, Any]) -> list[Step]:
    values = {key: _placed(path, key, value) for key, value in given.items()}
    kind = values.pop("kind", None)
    where = f"{path.name}, step {number}"
    if not isinstance(kind, str) or kind not in KINDS:
        said = "kind is missing" if kind is None else f"unknown kind {kind!r}"
        raise InputError(f"{where}: {said}{_nearest(kind, KINDS)}; known are {', '.join(KINDS)}")

    def make(**own: Any) -> Asked:
        return Asked(**on | {name: each for name, each in own.items() if each is not None})

    command = with_options(inspect.unwrap(KINDS[kind]), OF_A_STEP, make)
    try:
        asked = _called(kind, command, values)
        assert asked.settings  # a seed that is none is told even where nothing is drawn
    except (InputError, typer.TyperException) as error:
        said = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        raise InputError(f"{where} ({kind}): {_as_keys(said)}") from error
    return asked.steps


def _called(kind: str, command: Callable[..., Asked], values: dict[str, Any]) -> Asked:
    """Call a command with values as if they had been typed."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(kind, add_help_option=False)(command)
    parser = typer.main.get_command(app)
    known = {_key(each): each for each in parser.params}
    options, arguments = [], []
    for key, value in values.items():
        if key not in known:
            raise InputError(_unknown(key, known))
        texts = list(_texts(key, value, known[key]))
        if known[key].param_type_name == "argument":
            arguments += texts
        else:
            name = max(known[key].opts, key=len)
            options += [name if text is None else f"{name}={text}" for text in texts]
    asked = parser.main([*options, "--", *arguments], prog_name=kind, standalone_mode=False)
    assert isinstance(asked, Asked)
    return asked


def _texts(key: str, value: Any, parameter: Any) -> Iterator[Any]:
    """A value as it would be typed, None for a flag that is set; several where it may be given so.

    Raises:
        InputError: it is of a kind that this key does not take.
    """
    flag = getattr(parameter, "is_flag", False)
    several = getattr(parameter, "multiple", False) or parameter.nargs == -1
    if flag and isinstance(value, bool):
        if value:
            yield None
    elif flag:
        raise InputError(f"{key}: give true or false, not {value!r}")
    elif isinstance(value, list) and several:
        for each in value:
            yield from _texts(key, each, parameter)
    elif isinstance(value, list):
        joined = ",".join(map(str, value))
        raise InputError(f'{key}: give one text, such as "{joined}", not a list')
    elif isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{key}: give a text or a number, not {str(value).lower()}")
    else:
        yield str(value)


def _key(parameter: Any) -> str:
    """The key of an option or argument in a plan: `against_tasks` for `--against-tasks`."""
    if parameter.param_type_name == "argument":
        return str(parameter.name)
    return max(parameter.opts, key=len).lstrip("-").replace("-", "_")  # type: ignore[no-any-return]


def _as_keys(message: str) -> str:
    """A message about options in the words of a plan."""
    return re.sub(r"(?<![\w-])--([a-z][a-z-]*)", lambda match: match[1].replace("-", "_"), message)


def _unknown(key: str, known: Iterable[str]) -> str:
    if key in Plan.model_fields:
        return f"{key} is of the whole plan; write it above the first step"
    return f"unknown key {key!r}{_nearest(key, known)}; known are {', '.join(known)}"


def _nearest(word: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _first_reason(error: ValidationError) -> str:
    """The first thing wrong at the top of a plan."""
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else "plan"
    if first["type"] == "extra_forbidden":
        fields = Plan.model_fields
        return f"unknown key {key!r}{_nearest(key, fields)}; known are {', '.join(fields)}"
    if key == "step" and first["type"] == "list_type" and isinstance(first["input"], dict):
        return "[step] is one table; write [[step]], with two brackets, above each step"
    if key == "step":
        return "it has no steps; write each under [[step]], with its kind"
    return f"{key}: {first['msg']}, not {first['input']!r}"


def _placed(path: Path, key: str, value: Any) -> Any:
    if key in PATHS and isinstance(value, str) and value.startswith(("./", "../")):
        return str((path.parent / value).resolve())
    return value
