"""Looking at heads: what they attend to in a prompt, and which patterns they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import Column
from analysis.errors import InputError
from analysis.options import SEED, Given, Option, Typed
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.steps.neurons import quoted
from analysis.tasks.asking import PROMPTS
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

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


def _named(given: Given) -> tuple[HeadRef, ...]:
    """The heads that were named, each once."""
    texts = [each.strip() for text in given["heads"] or () for each in text.split(",")]
    return tuple(dict.fromkeys(HeadRef.parse(each) for each in texts if each))


class DetectStep(Step):
    """Tell which heads look at the previous token, a duplicate, what followed it, or the first."""

    kind: Literal["detect"] = "detect"
    length: int = Field(50, ge=2, description="How many random tokens are said twice.")
    seed: Annotated[int, SEED] = 0

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "induction"
    narrow: ClassVar[tuple[str, ...]] = ("name", "previous", "duplicate", "induction", "first")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the head"),
        Column("layer", pl.Int32, "its layer"),
        Column("head", pl.Int32, "its index in the layer"),
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
    )

    @property
    def subject(self) -> str:
        return f"patterns of all heads · {self.length} random tokens said twice"

    def start(self, model: Model) -> Work:
        from analysis.methods.patterns import detect_work

        return detect_work(model, self.length, self.seed)


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

    also: ClassVar[tuple[Option, ...]] = (DETECT,)
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
        Column("name", pl.String, "the head"),
        Column("layer", pl.Int32, "its layer"),
        Column("head", pl.Int32, "its index in the layer"),
        Column("query", pl.Int32, "the position that looks, from 0"),
        Column("key", pl.Int32, "the position that is looked at"),
        Column("query_token", pl.String, "the token that looks"),
        Column("key_token", pl.String, "the token that is looked at"),
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
        """Attention in a prompt, or with `--detect` the patterns of all heads."""
        if not given.values.get("detect"):
            if "heads" not in given.fixed and not _named(given):
                raise InputError("name a head to look at, as L20H8; or --detect for all of them")
            return super().asked(given)
        if given.values.get("prompt") is not None or given.values.get("task") is not None:
            raise InputError("--detect reads random tokens; leave out --prompt and --task")
        return (DetectStep.of(seed=given.seed),)

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(map(str, self.heads))

    @property
    def subject(self) -> str:
        cases = self.prompts.prompts
        on = self.prompts.title if len(cases) > 1 else quoted(cases[0].prompt)
        return f"attention of {self._which} · {on}"

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

        return attention_work(model, self.prompts, self.heads, self.top)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """From the last position first, there head by head, the largest weights first."""
        order = ["query", "layer", "head", "weight"]
        return rows.sort(order, descending=[True, False, False, True], maintain_order=True)
