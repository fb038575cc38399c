"""Direct attribution: what embedding, heads, FFNs, neurons and tokens add to the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from analysis.interventions import Intervention
from analysis.model.info import PARITY_LIMITS
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import DirectCasesStep, DirectStep, InputsStep, ProjectStep
from analysis.tasks.prompts import Prompt
from screens.attention import look_at
from screens.base import WorkbenchScreen
from screens.cases import titled
from screens.corpus import fires_on, part_named
from screens.keys import unlisted
from screens.messages import StepRequested
from screens.parts_view import SHARE, LayersView, PartsView, ShadedView
from screens.shape_screen import NO_TABLE, ShapeScreen
from screens.text import count, number, one_line, visible
from screens.views import HeadsView, MapView, RowsView, ShapeView
from screens.widgets.cell_map import CellMap
from screens.widgets.frame_table import FrameTable
from screens.workspace import Result
from sessions import View

Face: TypeAlias = Literal["layers", "heads", "parts"]
FACES: tuple[Face, ...] = get_args(Face)
NOTHING = (
    "What the answer is made of: the logit difference as a sum over embedding, heads, FFNs and "
    "biases, checked on every run; and over neurons, or the tokens that a head looks at.\n\n"
    "Choose a case on screen <app.prompts> and press <prompts.direct-attribution>, or press "
    "<direct.again> here."
)
NO_HEAD = "Put the cursor on a head: <direct.next-picture> shows the map of heads."
NO_PART = "Changes are of heads and neurons; <direct.next-picture> shows the map of heads."
NO_TOKENS = "It is read as no vector of its own: heads, neurons and layers are."


class DirectScreen(ShapeScreen):
    """The parts of a run by layer, as a map of heads or one by one; neurons; shaded tokens."""

    NAME = "direct"
    TITLE = "What the answer is made of"
    KINDS = ("direct", "direct_cases", "inputs")
    TABLE = "#rows"
    LIVE = frozenset({"run", "stage"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "face", "Layers/heads/parts", id="direct.next-picture"),
        Binding("enter", "open", "Its tokens", priority=True, id="direct.its-tokens"),
        Binding("n", "neurons", "Neurons", id="direct.neurons"),
        Binding("o", "sources", "By token", id="direct.by-token"),
        Binding("i", "inputs", "Prompt tokens", id="direct.prompt-tokens"),
        Binding("v", "look", "Looks at", id="direct.what-it-looks-at"),
        Binding("m", "measure", "Measure", id="direct.measure"),
        Binding("x", "stage", "Stage a change", id="direct.stage-a-change"),
        unlisted("f", "fires", "Fires on", id="direct.fires-on"),
        unlisted("r", "run", "Take the case apart", id="direct.again"),
        unlisted("b", "best", "Strongest", id="direct.strongest"),
        unlisted("slash", "filter", "Filter", id="direct.filter"),
    ]
    KEYS_OF_TABLES = frozenset({*ShapeScreen.KEYS_OF_TABLES, "open", "face"})
    face: Face = "layers"
    """How a run that is taken into heads is looked at."""

    def pictures(self) -> Iterator[Widget]:
        """Three of its own beside those of the shapes."""
        self._layers, self._parts, self._shaded = LayersView(), PartsView(), ShadedView()
        own: tuple[ShapeView, ...] = (self._layers, self._parts, self._shaded)
        self._views |= {type(each): each for each in own}
        yield from self._views.values()

    def nothing(self) -> None:
        """It is asked for on screen 1."""
        self.set_title("Direct attribution")
        self.set_empty(NOTHING)

    @property
    def step(self) -> DirectStep | DirectCasesStep | None:
        """The run that is taken apart; None: there is none, or its tokens are in sight."""
        step = self.result.step if self.result else None
        return step if isinstance(step, DirectStep | DirectCasesStep) else None

    @property
    def shown(self) -> ShapeView:
        """The picture in sight."""
        step, result = self.step, self.result
        if result is not None and (step is None or step.sources is not None):
            return self._shaded
        if step is None or step.unit == "neuron":
            return self._views[RowsView]
        faces = {"layers": self._layers, "parts": self._parts}
        return faces.get(self.face, self._views[HeadsView])

    @property
    def table(self) -> FrameTable:
        """The table in sight; under the map of heads that of neurons."""
        table = self.shown.cursor
        return table if isinstance(table, FrameTable) else super().table

    def drawn(self, result: Result) -> tuple[object, ...]:
        """The picture too: one that comes in sight is as new."""
        return (result.id, type(self.shown)), *super().drawn(result)

    def head(self, result: Result) -> tuple[str, str]:
        """What is taken apart, and whether the parts sum up to it."""
        title = titled(result.step, self.workspace).replace("direct attribution", "direct", 1)
        return title, "" if result.active else _sum(result)

    def reading(self) -> Text:
        """The part under the cursor, and what all of a kind add."""
        result, shown = self.result, self.shown
        if result is None or (row := shown.row()) is None:
            return super().reading()
        text = shown.reading() if shown is self._layers else _part(result, row)
        kinds = _head(result, row) if row.get("unit") == "source" else _kinds(result)
        return text.append(f"\n {kinds}", style="dim")

    @property
    def _case(self) -> Prompt:
        """The case in sight; of several the one at hand where it is one of them, or the first."""
        step, here = self.result.step if self.result else None, self.workspace.prompt
        if isinstance(step, DirectCasesStep):
            return here if here in step.cases else step.cases[0]
        return here if step is None else getattr(step, "prompt", here)

    def action_run(self) -> None:
        """Take the case at hand apart, or go on where that stopped."""
        if not self.go_on():
            self.have(DirectStep, prompt=self.workspace.prompt)

    def _have(self, **changed: Any) -> None:
        """Show the run in sight taken apart otherwise: one that is there, or a new one."""
        step = self.step or DirectStep(prompt=self._case)
        usual = type(step).model_fields
        fresh = {name: usual[name].default for name in ("unit", "top", "sources", "positions")}
        self.have(type(step), **{**dict(step), **fresh, **changed})

    def action_face(self) -> None:
        """Go from bars by layer to the map of heads, to all parts; from elsewhere back to them."""
        step = self.step
        if self.result is None:
            return
        if step is None or step.unit == "neuron" or step.sources is not None:
            self._have()
        else:
            self.face = FACES[(FACES.index(self.face) + 1) % len(FACES)]
            self.refresh_all()

    def action_neurons(self) -> None:
        """Take the FFNs apart."""
        if self.result is not None:
            self._have(unit="neuron")

    @property
    def _head(self) -> HeadRef | None:
        """The head under the cursor."""
        row = (self.shown.row() if self.result else None) or {}
        here = row.get("unit") in ("head", "source")
        return HeadRef(row["layer"], row["head"]) if here else None

    def action_sources(self) -> None:
        """Take the head under the cursor apart by the tokens that it attends to."""
        if (head := self._head) is None:
            self.notify(NO_HEAD)
        else:
            self._have(sources=(head,))

    def action_inputs(self) -> None:
        """Show what each token of the prompt adds, by gradients."""
        self.have(InputsStep, prompt=self._case)

    def action_look(self) -> None:
        """Show what the head under the cursor looks at."""
        look_at(self, self._head, self._case)

    def action_fires(self) -> None:
        """Show what the neuron or the head under the cursor fires on."""
        row = self.shown.row() if self.result else None
        fires_on(self, part_named(_source(row or {})))

    def action_measure(self) -> None:
        """Colour by the next of the numbers that each row holds."""
        self.shown.next_measure()
        self.read_cursor()

    def action_best(self) -> None:
        """Go to the head that adds or takes most."""
        if isinstance(shown := self.shown, MapView):
            shown.to_strongest()

    @on(CellMap.CellSelected)
    @on(FrameTable.RowSelected)
    def action_open(self) -> None:
        """Read the tokens of the part under the cursor."""
        row = (self.shown.row() if self.result else None) or {}
        if (source := _source(row)) is None:
            self.notify(NO_TOKENS)
        else:
            step = ProjectStep(source=source, prompt=self._case)
            self.request(StepRequested(step, alike=("source",)))

    def action_stage(self) -> None:
        """Stage the head or neuron under the cursor to be taken away."""
        row = (self.shown.row() if self.result else None) or {}
        if (head := self._head) is not None:
            self.stage(Intervention(heads=(head,)))
        elif row.get("unit") == "neuron":
            self.stage(Intervention(neurons=(NeuronRef(row["layer"], row["neuron"]),)))
        else:
            self.notify(NO_PART)

    def refusal(self, action: str) -> str | None:
        """Only a table is filtered."""
        table = self.is_mounted and self.result is not None and not isinstance(self.shown, MapView)
        if action == "filter" and not table:
            return NO_TABLE
        return WorkbenchScreen.refusal(self, action)

    def view(self) -> View:
        """How the picture is looked at, and which."""
        return {**super().view(), "face": self.face}

    def show_view(self, view: View) -> None:
        """Put these back."""
        face = view.get("face")
        self.face = face if face in FACES else FACES[0]
        self.update()
        super().show_view(view)


def _source(row: dict[str, Any]) -> str | None:
    """What is read of a row, as `ProjectStep` names it; None: it is read as nothing."""
    layer, unit = row.get("layer"), row.get("unit")
    if layer is None:
        return None
    if unit in ("head", "source"):
        return str(HeadRef(layer, row["head"]))
    if unit == "neuron":
        return str(NeuronRef(layer, row["neuron"]))
    return f"residual:{layer}"


def _whole(result: Result) -> tuple[str, float | None]:
    """What is taken apart in words, and its value."""
    base = result.baseline
    name = "difference" if isinstance(result.step, InputsStep) else str(base.get("metric") or "")
    value = base.get(name)
    return name.replace("_", " "), value if isinstance(value, float) else None


def _sum(result: Result) -> str:
    """Whether the parts sum up to the whole."""
    base, (what, whole) = result.baseline, _whole(result)
    total, off = base.get("sum"), base.get("off")
    if not isinstance(total, float) or not isinstance(off, float) or whole is None:
        return ""
    if isinstance(result.step, InputsStep):
        return f"sum {number(total, 3)} of {number(whole, 3)}"
    dtype = "float32" if result.model is None else result.model.dtype
    same = off <= PARITY_LIMITS.get(dtype, 1e-3) * max(1.0, abs(whole))
    sign, mark = ("=", " ✓") if same else ("≠", f" ✗ off by {number(off, 3)}")
    return f"sum {number(total, 3)} {sign} {what} {number(whole, 3)}{mark}"


def _head(result: Result, row: dict[str, Any]) -> str:
    """What a head adds from all positions together."""
    here = result.rows.filter(layer=row["layer"], head=row["head"])
    head, total = HeadRef(row["layer"], row["head"]), float(here[SHARE].sum())
    return f"{head} from these positions together {number(total, 3, sign=True)}"


def _kinds(result: Result) -> str:
    """What all parts of a kind add together."""
    base = result.baseline
    if isinstance(result.step, InputsStep):
        ends = [base.get(name) for name in ("at_baseline_input", str(base.get("metric")))]
        before, after = (number(each, 3) if isinstance(each, float) else "·" for each in ends)
        what = str(base.get("metric") or "").replace("_", " ")
        return f"{what} {before} → {after} from {one_line(str(base.get('baseline_input') or '·'))}"
    kinds = ("embedding", "heads", "ffn", "neurons", "biases")
    words = {"ffn": "FFNs"}
    known = [
        (words.get(name, name), base[name])
        for name in kinds
        if isinstance(base.get(name), float) and (name != "biases" or base[name])
    ]
    return " + ".join(f"{label} {number(value, 3)}" for label, value in known)


def _part(result: Result, row: dict[str, Any]) -> Text:
    """A part in words: what it adds, its interval, its place."""
    text = Text(" ").append(one_line(str(row.get("name"))), style="bold")
    if row.get("token") is not None:
        text.append(f"  {visible(str(row['token']))}")
    if isinstance(result.step, InputsStep):
        names = {"integrated": "integrated gradients", "gradient_input": "gradient × input"}
    else:
        names = {SHARE: _whole(result)[0], "logprob_increase": "log-prob"}
    for (name, label), ends in zip(
        names.items(), (("low", "high"), ("logprob_low", "logprob_high")), strict=True
    ):
        text.append(f"   {label} ", style="dim")
        text.append(number(row.get(name), 3, sign=True), style="bold" if name == SHARE else "")
        low, high = (row.get(each) for each in ends)
        if low is not None and high is not None:
            text.append(f" ({number(low, 3)}…{number(high, 3)})", style="dim")
    share = row.get(SHARE)
    if share is not None and row.get("unit") != "source":
        sizes = result.rows[SHARE].abs()
        place = int((sizes > abs(share)).sum()) + 1
        text.append(f"   rank {count(place)} of {count(result.rows.height)}", style="dim")
    return text
