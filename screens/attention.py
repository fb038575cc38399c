"""What a head looks at: the prompt shaded from each of its tokens, or the whole pattern."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from analysis.interventions import Intervention
from analysis.model.info import ModelInfo
from analysis.refs import HeadRef
from analysis.steps import AttendStep, CnaStep, LensStep, LoraStep
from analysis.tasks.prompts import Prompt, PromptSet
from screens.attention_view import CALLED, AttentionView, heads_of, tokens_of
from screens.base import WorkbenchScreen
from screens.beside import NEED_TWO, SecondRun, told_apart, turn_second
from screens.cases import case_words
from screens.dialogs import Ask
from screens.head_patterns import patterns_known
from screens.head_readings import head_named, range_of
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.origin import origin_of
from screens.shape_screen import ShapeScreen
from screens.text import count, number, one_line
from screens.workspace import Result, Workspace
from sessions import View

NOTHING = (
    "What an attention head looks at: from each token of the prompt, how much of its attention "
    "goes to each token before it.\n\n"
    "Put the cursor on a head on screen <app.heads>, <app.chain> or <app.patch> and press "
    "<heads.what-it-looks-at>; <attention.find-a-head> here goes to any head by its name."
)
NO_HEAD = "Only attention heads look at tokens; put the cursor on one of them."
TOO_LONG = "A map of {} tokens would have {} cells; the text shows one token's at a time."
ANOTHER = (
    "A head looks otherwise at another prompt, or in a changed model: give the case a corrupt "
    "prompt, stage a part below it with <heads.stage-a-change>, or train LoRA on screen "
    "<app.change>; then press <attention.beside>."
)
PAIR = ("the prompt", "the corrupt prompt")
"""What the two sides of a case are called."""
TOGETHER = 1_000_000
"""Rows up to which all heads of a layer are looked at as one; they take as long as one alone."""


def look_at(screen: WorkbenchScreen, head: HeadRef | None, prompt: Prompt) -> None:
    """Show what a head looks at in a prompt.

    Args:
        screen: asks for it.
        head: the head; None: what is under the cursor is none, which is said.
        prompt: the case.
    """
    if head is None:
        screen.notify(NO_HEAD)
    else:
        _look_at(screen, head, PromptSet(name="prompt", prompts=(prompt,)))


def _look_at(screen: WorkbenchScreen, head: HeadRef, prompts: PromptSet) -> None:
    shown = screen.app.get_screen(AttentionScreen.NAME, AttentionScreen)
    shown.wanted = head
    screen.request(StepRequested(_step(screen.workspace, head, prompts)))


def _step(workspace: Workspace, head: HeadRef, prompts: PromptSet) -> AttendStep:
    """What shows a head: what is there already, else all heads of its layer at once."""
    steps = (each.step for each in reversed(workspace.results))
    seen = [each for each in steps if isinstance(each, AttendStep) and head in each.heads]
    for step in seen:
        if step.prompts == prompts and (workspace.replaying or not (step.changes or step.adapter)):
            return step
    if workspace.replaying and seen:
        return seen[0]  # in other cases: there is no model to look at this one
    model = workspace.model
    heads = 1 if model is None else model.heads
    rows = heads * _tokens(workspace, prompts.prompts[0]) ** 2 // 2 if len(prompts) == 1 else 0
    alone = workspace.replaying or heads == 1 or rows > TOGETHER
    places = [head.index] if alone else range(heads)
    return AttendStep(prompts=prompts, heads=tuple(HeadRef(head.layer, each) for each in places))


def _tokens(workspace: Workspace, prompt: Prompt) -> int:
    """How many tokens a prompt has, roughly where nobody has read it."""
    reading = workspace.reading
    known = reading is not None and reading.prompt == prompt and reading.error is None
    return len(reading.tokens) if known and reading else len(prompt.prompt) // 3


class AttentionScreen(ShapeScreen):
    """One head's attention over the prompt of a case."""

    NAME = "attention"
    TITLE = "What a head looks at"
    KINDS = ("attend",)
    LIVE = frozenset({"stage"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "measure", "Weights/values", id="attention.weights-values"),
        Binding("tab", "face", "Text/matrix", id="attention.text-matrix"),
        # The title names the heads beside this one with their keys.
        unlisted("left,h,less_than_sign", "head(-1)", "Head before", id="attention.head-before"),
        unlisted("right,l,greater_than_sign", "head(1)", "Head after", id="attention.head-after"),
        Binding("w", "second", "Beside", id="attention.beside"),
        Binding("d", "difference", "Compare", id="attention.compare"),
        Binding("enter", "open", "Residual", priority=True, id="attention.residual"),
        Binding("n", "neurons", "Neurons", id="attention.its-neurons"),
        unlisted("x", "stage", "Stage a change", id="attention.stage-a-change"),
        unlisted("slash", "find", "Find a head", id="attention.find-a-head"),
    ]
    wanted: HeadRef | None = None
    """The head to show when a result that has it comes in sight."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._second = SecondRun(workspace)

    def nothing(self) -> None:
        """A head is asked for elsewhere."""
        self.set_title("What a head looks at")
        self.set_empty(NOTHING)

    @property
    def picture(self) -> AttentionView | None:
        """The view, where there is a result to see in it."""
        shown = self.shown if self.is_mounted else None
        return shown if isinstance(shown, AttentionView) and self.result is not None else None

    @property
    def head_in_sight(self) -> HeadRef | None:
        """The head: of those that were asked for, the one chosen last."""
        picture, step = self.picture, self.step
        if picture is None or step is None:
            return None
        return picture.head if picture.head in step.heads else next(iter(step.heads), None)

    @property
    def step(self) -> AttendStep | None:
        """What was asked for."""
        step = self.result.step if self.result else None
        return step if isinstance(step, AttendStep) else None

    def head(self, result: Result) -> tuple[str, str]:
        """The head and the measure, of which prompt; the heads beside it."""
        step = self.step
        assert step is not None
        head, measure = self.head_in_sight, self.shown.measure
        prompts = step.prompts.prompts
        if len(prompts) > 1:
            what = f"mean of {step.prompts.title}"
        else:
            what = case_words(prompts[0], self.workspace)
        parts = [str(head or ",".join(step.about)), CALLED.get(measure, "attention"), what]
        if step.adapter is not None:
            parts.append(f"wearing {one_line(step.adapter.name)}")
        if step.changes:
            parts.append(step.title.rpartition(" · ")[2])
        return " · ".join(parts), self._neighbours(head)

    def _neighbours(self, head: HeadRef | None) -> str:
        """The heads before and after with the keys that lead there: the arrows walk the map."""
        keys = self.workspace.keys
        last = -1 if self.picture and self.picture.face == "matrix" else 0
        before, after = (self._beside_head(head, by) for by in (-1, 1))
        words = [
            f"{keys.key('attention.head-before', last)} {before}" if before else "",
            f"{after} {keys.key('attention.head-after', last)}" if after else "",
        ]
        return "   ".join(filter(None, words))

    def _beside_head(self, head: HeadRef | None, by: int) -> HeadRef | None:
        """The head so many places on, in the next layer after the last of one."""
        model = self._model
        if head is None or model is None:
            return None
        place = head.layer * model.heads + head.index + by
        layer, index = divmod(place, model.heads)
        return HeadRef(layer, index) if 0 <= layer < model.layers else None

    @property
    def _model(self) -> ModelInfo | None:
        return self.result.model if self.result and self.result.model else self.workspace.model

    def origin(self) -> list[str]:
        """Where the head comes from; other heads of the result come from nowhere."""
        head, result = self.head_in_sight, self.result
        return [] if head is None else origin_of((str(head),), self.workspace, result)

    @property
    def second(self) -> Result | None:
        """The run beside the one in sight, where it has the same head and as many tokens."""
        second, first = self._second.beside(self.result), self.result
        if second is None or first is None or not self._fits(first, second):
            return None
        return second

    def _fits(self, first: Result, second: Result) -> bool:
        return self.head_in_sight in heads_of(second) and len(tokens_of(first)) == len(
            tokens_of(second)
        )

    def _names(self, first: Result, second: Result) -> tuple[str, str]:
        """What two runs are called where they stand together."""
        for a, b, names in ((first, second, PAIR), (second, first, PAIR[::-1])):
            if isinstance(a.step, AttendStep) and isinstance(b.step, AttendStep):
                corrupt = _corrupted(a.step.prompts)
                if corrupt is not None and corrupt.prompts == b.step.prompts.prompts:
                    return names[0], names[1]
        return told_apart(first, second)

    def drawn(self, result: Result) -> tuple[object, ...]:
        """The head and the run beside it too."""
        second = self.second
        return (*super().drawn(result), self.head_in_sight, second and second.id)

    def refresh_all(self) -> None:
        """Show the head that was asked for, once there is a result that has it."""
        super().refresh_all()
        step, picture, head = self.step, self.picture, self.wanted
        if picture is not None and step is not None and head in step.heads:
            picture.head, self.wanted = head, None
            super().refresh_all()

    def update(self) -> None:
        """Show the head as far as it is."""
        if (picture := self.picture) is not None and (result := self.result) is not None:
            picture.head, picture.second = self.head_in_sight, self.second
            if picture.second is None:
                picture.apart = False
            else:
                picture.names = self._names(result, picture.second)
        super().update()

    def reading(self) -> Text:
        """What is under the cursor, and which pattern the head follows, where that is known."""
        text = super().reading()
        if (head := self.head_in_sight) is not None and (found := self._pattern(head)):
            text.append(f"\n on random tokens  {found}", style="dim")
        return text

    def _pattern(self, head: HeadRef) -> str:
        """How much the head follows each pattern, in words."""
        known = patterns_known(self.workspace, self._model).get(head, {})
        return " · ".join(f"{name} {number(value, 2)}" for name, value in known.items())

    def action_measure(self) -> None:
        """Show weights, or weights times the length of what is moved."""
        self.shown.next_measure()
        self.refresh_all()

    def action_face(self) -> None:
        """Show the prompt, or queries by keys."""
        if (picture := self.picture) is None:
            return
        if picture.face == "text" and picture.too_long:
            tokens = len(picture.tokens)
            self.notify(TOO_LONG.format(count(tokens), count(tokens**2)))
            return
        picture.turn("matrix" if picture.face == "text" else "text")
        self.update()

    def action_head(self, by: int) -> None:
        """Go to the head before or after, computing it where it is not known."""
        head = self._beside_head(self.head_in_sight, by)
        if head is not None:
            self._show(head)
        elif self.head_in_sight is not None:
            self.notify(f"{self.head_in_sight} is the {'first' if by < 0 else 'last'} head.")

    def _show(self, head: HeadRef) -> None:
        result, step = self.result, self.step
        if result is not None and head in heads_of(result):
            self.wanted = head
            self.refresh_all()
        else:
            _look_at(self, head, step.prompts) if step else look_at(self, head, self._case)

    def action_find(self) -> None:
        """Go to a head by its name."""
        model = self._model
        shape = (0, 0) if model is None else (model.layers, model.heads)

        def check(text: str) -> None:
            if text.strip():
                head_named(text, shape)

        def named(text: str | None) -> None:
            if text and text.strip():
                self._show(head_named(text, shape))

        self.app.push_screen(Ask("Head", "", f"as L20H8: {range_of(shape)}", check=check), named)

    def action_second(self) -> None:
        """Put another run beside this one, or take it away."""
        turn_second(self, self._second, ANOTHER, self._others(), self._fits)

    def _others(self) -> list[tuple[str, AttendStep]]:
        """Runs that can be made to stand beside this one, in words."""
        step, head = self.step, self.head_in_sight
        if step is None or head is None:
            return []
        found = []
        if (corrupt := _corrupted(step.prompts)) is not None:
            found.append((PAIR[1], step.over(corrupt)))
        staged = self.workspace.staged
        below = [part.layer < head.layer for part, _ in staged.changes.factors]
        if any(below) and not staged.in_use and not step.changes:
            changes = staged.changes.interventions
            words = f"with {one_line(str(staged.changes))}"
            found.append((words, step.model_copy(update={"changes": changes})))
        elif step.changes and not staged.in_use:
            found.append(("the model as it is", step.model_copy(update={"changes": ()})))
        if step.adapter is not None:
            found.append(("without the adapter", step.model_copy(update={"adapter": None})))
            return found
        for adapter in self._trained:
            worn = f"wearing {one_line(adapter.name)}"
            found.append((worn, step.model_copy(update={"adapter": adapter})))
        return found

    @property
    def _trained(self) -> list[Path]:
        """The adapters that were trained in this session, the latest first."""
        trained = [
            each.recorded.files
            for each in reversed(self.workspace.results)
            if isinstance(each.step, LoraStep) and each.recorded is not None
        ]
        found = [each for files in trained if files for each in sorted(files.iterdir())]
        return [each for each in found if each.is_dir() and not each.is_symlink()]

    def action_difference(self) -> None:
        """Show both runs, or what the second has above the first."""
        if (picture := self.picture) is not None:
            picture.compare()
            self.read_cursor()

    def refusal(self, action: str) -> str | None:
        """Nothing differs where there is one run."""
        if action == "difference" and self.is_mounted and self.second is None:
            return NEED_TWO
        return super().refusal(action)

    @property
    def _case(self) -> Prompt:
        """The case at hand where it is one of these, else the first."""
        here, step = self.workspace.prompt, self.step
        prompts = step.prompts.prompts if step else (here,)
        return here if here in prompts else prompts[0]

    def action_open(self) -> None:
        """Show what the residual stream says at each token, layer by layer."""
        if self.step is not None:
            self.request(StepRequested(LensStep(prompt=self._case)))

    def action_neurons(self) -> None:
        """Find the neurons that the head drives."""
        if (head := self.head_in_sight) is not None:
            step = CnaStep(prompt=self._case, ablate=Intervention(heads=(head,)))
            self.request(StepRequested(step, alike=("ablate",)))

    def action_stage(self) -> None:
        """Stage the head to be taken away."""
        head = self.head_in_sight
        self.stage(*([] if head is None else [Intervention(heads=(head,))]))

    def view(self) -> View:
        """How the picture is looked at, and the run beside it."""
        return {**super().view(), "second": self._second.kept}

    def show_view(self, view: View) -> None:
        """Put these back."""
        self._second.put_back(self.result, view.get("second"))
        super().show_view(view)
        self.update()


def _corrupted(prompts: PromptSet) -> PromptSet | None:
    """The corrupt prompts of cases that all have one."""
    texts = [each.corrupt for each in prompts.prompts]
    cases = tuple(Prompt(prompt=each) for each in texts if each is not None)
    alike = len(cases) == len(texts)
    return PromptSet(name=f"{prompts.name}, corrupt", prompts=cases) if alike else None
