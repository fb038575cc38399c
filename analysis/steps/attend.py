"""Looking at heads: what they attend to in a prompt, and which patterns they follow."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.errors import InputError
from analysis.options import Given, Option, Typed, single
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.steps.neurons import quoted
from analysis.tasks.asking import PROMPTS
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

HEAD = (
    Column("name", pl.String, "the head"),
    Column("layer", pl.Int32, "its layer"),
    Column("head", pl.Int32, "its index in the layer"),
)
HEADS = Option(
    "heads",
    "Which heads, as L20H8; several joined by commas or given one by one.",
    metavar="HEAD …",
    several=True,
    argument=True,
)
DETECT = Option(
    "detect",
    "Instead of a prompt read random tokens said twice, and tell what pattern each head follows.",
    bool,
    False,
)
TOKENS = Option(
    "tokens", "A file of token ids, one a line, instead of random ones.", Path, file=True
)
LENGTH = Option("length", "How many random tokens are said twice.", int, 50, least=2)
COPYING = Option(
    "copying",
    "Also the share of tokens that each head named copies, from the weights; some seconds to "
    "minutes a head, as every token is compared with every other.",
    bool,
    False,
)
OF_DETECT = tuple(
    replace(each, help=f"With --detect: {each.help[0].lower()}{each.help[1:]}")
    for each in (TOKENS, LENGTH, COPYING)
)
MOST_TOKENS = 1_000_000
"""Lines of a file of tokens that are read."""


def _named(given: Given) -> tuple[HeadRef, ...]:
    """The heads that were named, each once."""
    texts = [each.strip() for text in given["heads"] or () for each in text.split(",")]
    return tuple(dict.fromkeys(HeadRef.parse(each) for each in texts if each))


def read_tokens(path: Path) -> tuple[int, ...]:
    """Token ids that stand in a file, one a line; of a list that is said twice the first half.

    Raises:
        InputError: the file cannot be read, or a line is no token id; says which.
    """
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            lines = [each.strip() for each in islice(file, MOST_TOKENS)]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"cannot read {path.name}: {reason}") from error
    for number, line in enumerate(lines, start=1):
        if line and not (line.isascii() and line.isdecimal() and len(line) < 10):
            raise InputError(
                f"{path.name} line {number} is {line[:20]!r}; give token ids, one a line"
            )
    found = tuple(int(line) for line in lines if line)
    if len(found) < 2:
        raise InputError(f"{path.name} has {len(found)} of them; give two or more")
    half = len(found) // 2
    return found[:half] if half > 1 and found == found[:half] * 2 else found


class DetectStep(Step):
    """Tell which heads look at the previous token, a duplicate, what followed it, or the first."""

    kind: Literal["detect"] = "detect"
    heads: Annotated[
        tuple[HeadRef, ...] | None, Typed((HEADS,), lambda given: _named(given) or None)
    ] = None
    """Only these; None: all."""
    tokens: Annotated[tuple[int, ...] | None, single(TOKENS, read_tokens)] = None
    """What is said twice; None: random tokens."""
    length: Annotated[int, single(LENGTH)] = Field(50, ge=2)
    """How many random ones."""
    copying: Annotated[bool, single(COPYING)] = False
    """Also how much of the vocabulary the heads that are named copy."""
    seed: Annotated[int, Typed((), lambda given: given.seed if given["tokens"] is None else 0)] = 0
    """Of the random tokens."""

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "induction"
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "previous",
        "duplicate",
        "induction",
        "first",
        "copying",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        *HEAD,
        Column("previous", pl.Float64, "mean weight on the token before", "0 to 1"),
        Column(
            "duplicate",
            pl.Float64,
            "mean weight of the second half on the same token in the first",
            "0 to 1",
        ),
        Column(
            "induction",
            pl.Float64,
            "mean weight of the second half on the token behind the same one in the first",
            "0 to 1",
        ),
        Column("first", pl.Float64, "mean weight on the first token", "0 to 1"),
        Column(
            "copying",
            pl.Float64,
            "share of all tokens whose own logit the head raises most where it attends to them, "
            "from the weights",
            "0 to 1",
        ),
    )

    @classmethod
    def asked(cls, given: Given) -> tuple[Self, ...]:
        """The one step; prompts are refused, as it reads random tokens."""
        for name in ("prompt", "task"):
            if given.values.get(name) is not None:
                raise InputError(f"--detect reads random tokens; leave out --{name}")
        return super().asked(given)

    @model_validator(mode="after")
    def _copying_of_heads(self) -> DetectStep:
        if self.copying and not self.heads:
            raise ValueError("--copying takes long; name the heads, as attend --detect L20H8")
        return self

    @property
    def filled(self) -> tuple[Column, ...]:
        """Copying only where it was asked for."""
        without = () if self.copying else ("copying",)
        return tuple(each for each in self.columns if each.name not in without)

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(map(str, self.heads or ()))

    @property
    def subject(self) -> str:
        heads = ", ".join(self.about) or "all heads"
        said = f"{len(self.tokens)} given" if self.tokens else f"{self.length} random"
        return f"patterns of {heads} · {said} tokens said twice"

    def check(self, model: ModelInfo) -> None:
        """Refuse heads and tokens that the model has not."""
        for head in self.heads or ():
            model.check_head(head)
        for token in self.tokens or ():
            if token >= model.vocabulary:
                raise InputError(
                    f"there is no token {token}; {model.name} has 0 to {model.vocabulary - 1}"
                )

    def start(self, model: Model) -> Work:
        from analysis.methods.patterns import detect_work

        said = self.length if self.tokens is None else self.tokens
        return detect_work(model, said, self.heads, self.copying, self.seed)


class AttendStep(Step):
    """Show what heads attend to in a prompt, by weight and by the value that is moved."""

    kind: Literal["attend"] = "attend"
    prompts: Annotated[PromptSet, PROMPTS]
    heads: Annotated[tuple[HeadRef, ...], Typed((HEADS,), _named)]
    top: int | None = Field(
        None,
        ge=1,
        description="Keys kept for each query, those of the largest weights; else all of a prompt "
        "of up to 512 tokens and 32 of a longer one.",
    )

    by: Literal["role", "end"] | None = Field(
        None,
        description="What several prompts are averaged by: role (where answer and wrong answer "
        "stand, where the corrupt prompt differs, what is behind these) or end (positions counted "
        "from the end); else roles where the cases tell any.",
    )

    adapter: Path | None = None
    """One that the model wears meanwhile, as a model that was opened without may look with it."""

    also: ClassVar[tuple[Option, ...]] = (DETECT, *OF_DETECT)
    ranked_by: ClassVar[str] = "weight"
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "query",
        "query_token",
        "key",
        "key_token",
        "weight",
        "value_weighted",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        *HEAD,
        Column("query", pl.Int32, "the position that looks, from 0; of several prompts the role"),
        Column("key", pl.Int32, "the position or role that is looked at"),
        Column("query_token", pl.String, "the token that looks, or the role's name"),
        Column("key_token", pl.String, "the token that is looked at, or the role's name"),
        Column("weight", pl.Float64, "how much the query attends to the key", "0 to 1"),
        Column(
            "value_weighted",
            pl.Float64,
            "the weight times the length of what the head would write of the key alone, as a share "
            "of all keys",
            "0 to 1",
        ),
    )

    @classmethod
    def asked(cls, given: Given) -> tuple[Any, ...]:
        """Attention in a prompt, or with `--detect` the patterns of heads."""
        values = given.values
        if values.get("detect"):
            return DetectStep.asked(given)
        for option in OF_DETECT:
            if values.get(option.name, option.default) != option.default:
                raise InputError(f"{option.flag} goes with --detect")
        if "heads" not in given.fixed and not _named(given):
            raise InputError("name a head to look at, as L20H8; or --detect for all of them")
        if values.get("corrupt") is not None or values.get("wrong"):
            raise InputError(
                "attend reads one prompt as it is; leave --corrupt and --wrong away, or give cases "
                "that have them with --task"
            )
        return super().asked(given)

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(map(str, self.heads))

    @property
    def subject(self) -> str:
        cases = self.prompts.prompts
        on = self.prompts.title if len(cases) > 1 else quoted(cases[0].prompt)
        worn = f" · wearing {self.adapter.name}" if self.adapter else ""
        return f"attention of {self._which} · {on}{worn}"

    @property
    def _which(self) -> str:
        """The heads; of many that stand side by side the first and the last."""
        heads = sorted(self.heads)
        row = [HeadRef(heads[0].layer, heads[0].index + place) for place in range(len(heads))]
        return f"{row[0]} to {row[-1]}" if heads == row and row[2:] else ", ".join(self.about)

    def check(self, model: ModelInfo) -> None:
        """Refuse heads that the model has not."""
        for head in self.heads:
            model.check_head(head)

    def for_case(self, prompt: Prompt) -> AttendStep:
        """The same heads in another case."""
        return self.over(PromptSet(name="prompt", prompts=(prompt,)))

    def over(self, prompts: PromptSet) -> AttendStep:
        """The same heads in all cases of a set."""
        return self.model_copy(update={"prompts": prompts})

    def start(self, model: Model) -> Work:
        from analysis.methods.looking import attention_work

        return attention_work(model, self.prompts, self.heads, self.top, self.by, self.adapter)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """From the last position first, there head by head, the largest weights first."""
        order = ["query", "layer", "head", "weight"]
        return rows.sort(order, descending=[True, False, False, True], maintain_order=True)

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A few keys of each head before the others, so that a table begins with all heads."""
        few = max(1, self.lines // len(self.heads))
        place = pl.int_range(pl.len()).over("query", "layer", "head") // few
        order = [-pl.col("query"), place, "layer", "head"]
        return super().shown(rows.sort(order, maintain_order=True))
