"""What is recorded about a loaded model: enough to say later which model made a number."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef


class Parity(BaseModel):
    """Largest absolute errors of the identities the analysis rests on, found when loading."""

    model_config = ConfigDict(frozen=True)

    logits: float
    """Hooked logits against plain logits."""
    residual: float
    """`x^{l-1} + A^l + F^l` against `x^l`, worst layer, relative to the largest entry."""
    neurons: float
    """Sum of neuron contributions plus bias against `F^l`, worst layer, relative likewise."""

    @property
    def worst(self) -> float:
        """The largest of the three."""
        return max(self.logits, self.residual, self.neurons)


PARITY_LIMITS = {"float32": 1e-3, "float16": 5e-2, "bfloat16": 5e-1}
"""Largest errors that rounding explains, by dtype; beyond them no number is to be trusted.

The same whether weights are floats or 8- or 4-bit: what bitsandbytes stores is used as plain
numbers (`analysis.model.weights`). Other libraries' kernels may round what they read to half
precision or to 8 bits; they hold the limit of the dtype they compute in, and where they do not it
shows.
"""


class ModelInfo(BaseModel):
    """Identity, shape and numerical health of a loaded model."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    name: str
    """As the user named it."""
    source: str
    """Hub id, or the file name of the weights; never a machine path."""
    revision: str | None = None
    family: str
    architecture: str
    adapter: str | None = None
    """Name of the PEFT adapter it wears."""
    adapter_sha256: str | None = None
    weights_sha256: str | None = None
    tokenizer_sha256: str | None = None
    dtype: str
    """What is computed in."""
    weights: str | None = None
    """How weights are stored that are not floats of that dtype, as `4-bit (bitsandbytes)`."""
    bits: int | None = None
    """What they were rounded to on loading; None: they are as in the files."""
    unused: tuple[str, ...] = ()
    """Weights of its files that its config has no place for, left out because the user said so."""
    device: str
    layers: int
    heads: int
    """Query heads a layer."""
    kv_heads: int
    neurons: int
    """FFN neurons a layer."""
    width: int
    vocabulary: int
    context: int
    """Longest sequence in tokens."""
    parameters: int
    parity: Parity
    tied: bool = False
    """Whether the unembedding is the embedding: the rarest tokens then have the largest logits."""
    packed: bool = True
    """Whether prompts may share one packed sequence exactly; otherwise each has its own."""
    versions: dict[str, str] = {}
    """Versions of Python and of the libraries that computed the numbers."""

    @property
    def precision(self) -> str:
        """Weights and dtype in a few words."""
        return self.dtype if self.weights is None else f"{self.weights} {self.dtype}"

    @property
    def parity_holds(self) -> bool:
        """Whether the errors found on load are within what rounding explains."""
        return self.parity.worst <= PARITY_LIMITS.get(self.dtype, 1e-3)

    def check_parts(self, change: Intervention) -> None:
        """Raise InputError unless the model has every part named."""
        for head in change.heads:
            self.check_head(head)
        for neuron in change.neurons:
            self.check_neuron(neuron)

    def check_head(self, ref: HeadRef) -> None:
        """Raise InputError unless the model has this head."""
        self._check(ref, self.heads, "heads")

    def check_neuron(self, ref: NeuronRef) -> None:
        """Raise InputError unless the model has this neuron."""
        self._check(ref, self.neurons, "neurons")

    def check_layer(self, layer: int, what: str = "layer") -> None:
        """Raise InputError unless the model has this layer."""
        if not 0 <= layer < self.layers:
            raise InputError(
                f"{what} {layer} is out of range; {self.name} has layers 0 to {self.layers - 1}"
            )

    def check_source(self, text: str) -> None:
        """Raise InputError unless a text names a vector that the model has, as far as known here.

        Whether a word is one token only its tokenizer knows.
        """
        kind, _, rest = text.partition(":")
        if kind in ("residual", "attention"):
            if not rest.isdecimal():
                raise InputError(f"{text!r} names no layer; write {kind}:12")
            self.check_layer(int(rest), kind)
        elif NeuronRef.pattern.fullmatch(text):
            self.check_neuron(NeuronRef.parse(text))
        elif HeadRef.pattern.fullmatch(text):
            self.check_head(HeadRef.parse(text))
        elif kind != "word" or not rest:
            raise InputError(
                f"{text!r} names nothing to read; write L24N1493, L20H8, attention:13, word:three "
                "or residual:12"
            )

    def _check(self, ref: HeadRef | NeuronRef, count: int, noun: str) -> None:
        if ref.layer >= self.layers or ref.index >= count:
            raise InputError(
                f"{ref} is not in {self.name}: it has layers 0 to {self.layers - 1} "
                f"with {noun} 0 to {count - 1}"
            )

    @property
    def warnings(self) -> list[str]:
        """What a user must know before believing a number, one line each."""
        found = []
        if not self.parity_holds:
            found.append(
                f"PARITY {self.parity.worst:.1e} is too large for {self.dtype}: numbers of "
                f"{self.name} may be wrong; workbench doctor --model shows which identity fails"
            )
        if self.unused:
            found.append(
                f"{self.name} is without {len(self.unused)} weights of its files that its config "
                f"has no place for, {self.unused[0]} among them (--ignore-unused)"
            )
        if not self.packed:
            found.append(
                f"{self.name} cannot share prompts in one sequence exactly: each runs by itself, "
                "which is slower"
            )
        return found
