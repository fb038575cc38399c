"""What a neuron or a head fires on: its contexts in a corpus, beside the tokens it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.corpus.rows import piece_of
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import CorpusStep, ProjectStep
from analysis.tasks.corpora import Corpus
from analysis.tasks.prompts import Prompt, PromptSet
from screens.base import WorkbenchScreen
from screens.contexts import KINDS, ContextsView, as_prompt, fires
from screens.help_page import HelpPage
from screens.keys import unlisted
from screens.messages import PromptsChosen, ScreenRequested, StepRequested
from screens.origin import origin_of
from screens.shape_screen import ShapeScreen
from screens.text import count, counted, lines, one_line
from screens.widgets.frame_table import FrameTable
from screens.workspace import Result
from sessions import View

NOTHING = (
    "What a neuron or a head fires on: where in a text its coefficient is largest, smallest and "
    "anything between.\n\n"
    "Put the cursor on a neuron on screen <app.neurons> or <app.chain> and press "
    "<neurons.fires-on>; <corpus.read-a-text> here names any, and the text."
)
NO_PART = "Neurons and heads fire on tokens; put the cursor on one of them."
TOGETHER = 50
"""Parts that a text is read for at once."""
READS_ALONG = "{} below it are read along: that takes as long as one alone. <app.back-stop> stops."
NOT_A_PROMPT = "Nothing follows in this context that could be the answer."


def fires_on(screen: WorkbenchScreen, names: Sequence[str] | pl.Series) -> None:
    """Show what a neuron or a head fires on: what was read for it, else a text is read now.

    Args:
        screen: asks for it.
        names: the part, and others that come next: reading for many takes as long as for one.
    """
    if not len(names):
        screen.notify(NO_PART)
        return
    screen.app.get_screen(CorpusScreen.NAME, CorpusScreen).wanted = names[0]
    wanted = {names[0], names[0].partition("N")[0]}  # all neurons of its layer may have been read
    read = [each.step for each in screen.workspace.results if each.step.kind == CorpusScreen.NAME]
    known = next((each for each in reversed(read) if wanted & {*each.about}), None)
    together = tuple(names[:TOGETHER])
    if known is None and len(together) > 1:
        screen.notify(READS_ALONG.format(counted(len(together) - 1, "other")))
    step = known or CorpusStep(parts=together, text=Corpus.shipped())
    screen.request(StepRequested(step))


def part_named(name: object) -> list[str]:
    """The neuron or head that a name is of, without the position where it is meant, as L20H8@3."""
    part = str(name).partition("@")[0]
    known = NeuronRef.pattern.fullmatch(part) or HeadRef.pattern.fullmatch(part)
    return [part] if known else []


class CorpusScreen(ShapeScreen):
    """The contexts of one part after the other."""

    NAME = "corpus"
    TITLE = "What a neuron fires on"
    KINDS = ("corpus",)
    TABLE = "#contexts"
    LIVE = frozenset({"run", "read", "stage"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "prompt", "Make it the prompt", priority=True, id="corpus.prompt"),
        Binding("tab", "turn(0, 1)", "Other contexts", id="corpus.other-contexts"),
        Binding("greater_than_sign", "turn(1, 0)", "Next", id="corpus.next-part"),
        unlisted("less_than_sign", "turn(-1, 0)", "Before", id="corpus.part-before"),
        Binding("t", "tokens", "Its tokens", id="corpus.its-tokens"),
        Binding("o", "document", "Document", id="corpus.document"),
        Binding("n", "read", "Read a text", id="corpus.read-a-text"),
        Binding("x", "stage", "Stage a change", id="corpus.stage-a-change"),
        unlisted("slash", "filter", "Filter", id="corpus.filter"),
        unlisted("r", "run", "Go on", id="corpus.go-on"),
    ]

    wanted = ""
    """The part to show when a result that has it comes in sight."""

    @property
    def contexts(self) -> ContextsView:
        """The picture of the contexts."""
        view = self._views[ContextsView]
        assert isinstance(view, ContextsView)
        return view

    def nothing(self) -> None:
        """A text has to be read first."""
        self.set_title("What it fires on")
        self.set_empty(NOTHING)

    def head(self, result: Result) -> tuple[str, str]:
        """Whose contexts, how often it fires, in what; which of them are in sight."""
        part, parts, step = self.contexts.part, self.contexts.parts, result.step
        assert isinstance(step, CorpusStep)
        words = (part, fires(self.contexts.own), f"text {one_line(step.text.name)}")
        title = " · ".join(filter(None, words))
        facts = [KINDS[self.contexts.kind]]
        if len(parts) > 1 and part:
            facts.insert(0, f"{parts.index(part) + 1} of {counted(len(parts), 'part')}")
        return title, " · ".join(facts)

    def refresh_all(self) -> None:
        """Show the part that the screen was opened on, once its contexts are known."""
        super().refresh_all()
        if self.is_mounted and self.result is not None and self.wanted in self.contexts.parts:
            self.contexts.open(self.wanted)
            self.wanted = ""

    def origin(self) -> list[str]:
        """Where the part in sight comes from."""
        part = self.contexts.part
        return origin_of((part,), self.workspace, self.result) if part else []

    def update(self) -> None:
        """Show the contexts, and above them what they come to."""
        super().update()
        self._retitle()

    @on(ContextsView.Moved)
    def _retitle(self) -> None:
        if self.result is not None:
            self.set_title(*self.head(self.result))
            self.show_origin()

    def action_turn(self, parts: int, kinds: int) -> None:
        """Show another part, or its largest, smallest or random contexts."""
        self.contexts.turn(parts, kinds)

    @on(FrameTable.RowSelected)
    def action_prompt(self) -> None:
        """Work on the context up to the token that counts, the next token being the answer."""
        row = self.contexts.row()
        if row is None:
            return
        prompt, answer = as_prompt(row)
        if not answer:
            self.notify(NOT_A_PROMPT)
            return
        name = f"context of {self.contexts.part}"
        case = Prompt(prompt=prompt, answer=answer)
        self.post_message(PromptsChosen(PromptSet(name=name, prompts=(case,)), 0))
        self.post_message(ScreenRequested("prompts"))

    def action_tokens(self) -> None:
        """Read what a neuron writes beside what it reads."""
        if part := self.contexts.part:
            head = HeadRef.pattern.fullmatch(part) is not None
            prompt = self.workspace.prompt if head else None
            read = ProjectStep(source=part, prompt=prompt).telling_more(self.workspace.model)
            self.request(StepRequested(read, alike=("source",)))

    @work(exclusive=True)
    async def action_document(self) -> None:
        """Show the whole document that the context is from, where its text is at hand."""
        result, row = self.result, self.contexts.row()
        if result is None or row is None:
            return
        step, number = result.step, row["document"]
        assert isinstance(step, CorpusStep)
        try:
            place = piece_of(result.rows, number)
            found = await asyncio.to_thread(step.text.document(), *place)
        except InputError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        text = Text(lines(found))
        text.highlight_words([lines(str(row["context"]).strip())], "bold reverse")
        name = f"document {count(number)} of {one_line(step.text.name)}"
        self.app.push_screen(HelpPage(name, text))

    def action_read(self) -> None:
        """Read a text for parts of one's own choice."""
        self.ask_for(CorpusStep, **({"parts": part} if (part := self.contexts.part) else {}))

    def action_stage(self) -> None:
        """Stage the part in sight."""
        if part := self.contexts.part:
            self.stage(Intervention.parse(part))

    def view(self) -> View:
        """How the contexts are looked at."""
        return self.contexts.view()
