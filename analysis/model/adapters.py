"""PEFT adapters: worn by a model, and compared with the model below.

PEFT says what an adapter is; here it is merged into the weights it touches, so that a model that
wears one is made of plain modules like any other. PEFT's own run says whether that is the same.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.model import weights
from analysis.model.info import PARITY_LIMITS, ModelInfo
from analysis.model.parity import check_parity

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from analysis.model.model import Model
    from analysis.model.parts import Parts

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "training.json"
"""Beside an adapter trained here: on which model and cases, and what came of it."""
_PREFIX = "base_model.model."
"""What stands before a module's path in an adapter's file."""
_TRIED = 24
"""Tokens of the text on which a merged adapter is compared with PEFT's own run."""


def check_adapter(folder: Path) -> None:
    """Refuse a folder that holds no adapter in a safe format.

    Raises:
        InputError: says what is missing.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is not an adapter folder: it has no {CONFIG}")
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder} has no {WEIGHTS}; pickled adapters are not opened, "
            "save it again with safe_serialization"
        )


def training_record(folder: Path) -> dict[str, Any]:
    """What an adapter's folder says of its training; empty where it says nothing."""
    try:
        facts = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def check_base(folder: Path, weights_sha256: str | None) -> None:
    """Refuse an adapter that is known to be trained on other weights, though it would fit.

    Raises:
        InputError: names the model it was trained on.
    """
    base = training_record(folder).get("model")
    if not isinstance(base, dict):
        return
    known = base.get("weights_sha256")
    if known and weights_sha256 and known != weights_sha256:
        raise InputError(
            f"the adapter {folder.name} was trained on {base.get('name')}, whose weights are "
            "not this model's"
        )


def adapter_sha256(folder: Path) -> str:
    """Hash of an adapter's weights and of its config."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


@torch.no_grad()
def put_on(hf: PreTrainedModel, folder: Path) -> None:
    """Let a model wear an adapter for good.

    It is merged, in float32, into new weights for the modules it touches; weights that were tied
    come apart where it touches one of them alone. Weights of 8 or 4 bits cannot take it: on them
    PEFT's modules stay.

    Raises:
        InputError: the adapter was made for another model, cannot be read or cannot be merged.
    """
    check_adapter(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what PEFT warns of is refused, or made right
        _wrap(hf, folder)
        try:
            wrapped, limit = _logits(hf), PARITY_LIMITS.get(str(hf.dtype).split(".")[1], 1e-3)
            _merge(hf)
            moved = (_logits(hf) - wrapped).abs().max().item()
        except Exception as error:  # a strange adapter makes PEFT raise anything
            raise InputError(
                f"the adapter {folder.name} cannot be worn: {_reason(error)}"
            ) from error
    if not moved <= limit * wrapped.abs().max().clamp_min(1.0).item():
        raise InputError(
            f"the adapter {folder.name} cannot be worn: merged into the weights it moves logits "
            f"by {moved:.1e} from PEFT's own"
        )
    hf.requires_grad_(False)
    hf.train(False)


@contextmanager
def wearing(model: Model, folder: Path) -> Iterator[bool]:
    """Let a model wear an adapter while the block runs; the model below is not touched.

    Yields:
        Whether neurons and the unembedding are still those of the model below: if so, runs of the
        two share values and a readout.

    Raises:
        InputError: the adapter does not fit, or makes a model that cannot be compared.
    """
    check_base(folder, model.info.weights_sha256)
    check_adapter(folder)
    below = model.parts

    def worn(hf: PreTrainedModel) -> PreTrainedModel:
        copied = _sharing_weights(hf, _named(folder))
        put_on(copied, folder)
        return copied

    with model.replaced_by(worn):
        parts, info = model.parts, model.info
        if (len(parts.layers), parts.vocabulary) != (info.layers, info.vocabulary):
            raise InputError(
                f"the adapter {folder.name} makes a model of {len(parts.layers)} layers and "
                f"{parts.vocabulary:,} tokens, which cannot be compared with {info.name}"
            )
        parity = check_parity(model, tuple(_tried(parts.vocabulary).tolist()))
        require_parity(info.model_copy(update={"parity": parity}), folder)
        pairs = zip(_of_neurons(below), _of_neurons(parts), strict=True)
        yield all(torch.equal(*pair) for pair in pairs)


def require_parity(info: ModelInfo, folder: Path) -> None:
    """Refuse a model whose numbers went wrong with the adapter it wears.

    Raises:
        InputError: an identity the analysis rests on does not hold.
    """
    if not info.parity_holds:
        raise InputError(
            f"{info.name} does not hold its parity ({info.parity.worst:.1e}) with the adapter "
            f"{folder.name}: its numbers would be wrong; merge the adapter into the model's own "
            "weights, or load it without --bits"
        )


def _of_neurons(parts: Parts) -> Iterator[Tensor]:
    """What neurons' vectors, and their way to the logits, depend on."""
    for number, layer in enumerate(parts.layers):
        yield parts.values(number)
        if layer.ffn_post_norm is not None:
            yield from layer.ffn_post_norm.parameters()
    yield from parts.final_norm.parameters()
    yield parts.unembedding_weight
    if parts.unembedding_bias is not None:
        yield parts.unembedding_bias


def _named(folder: Path) -> frozenset[str]:
    """All beginnings of the names in an adapter's file: the modules it may write to.

    Raises:
        InputError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            names = [name.removeprefix(_PREFIX).split(".") for name in file.keys()]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder.name}/{WEIGHTS} cannot be read: {_reason(error)}") from error
    return frozenset(".".join(name[:end]) for name in names for end in range(1, len(name) + 1))


def _sharing_weights(hf: PreTrainedModel, copied: Collection[str]) -> PreTrainedModel:
    """A model with modules of its own and the same weights, but for a copy of these modules'."""
    own: dict[int, Any] = {id(each): each for each in (*hf.parameters(), *hf.buffers())}
    for name, each in hf.named_parameters(remove_duplicate=False):
        if type(each) is nn.Parameter:  # packed ones are classes of their own, never written to
            # A parameter of its own even where it shares: PEFT exchanges what is inside.
            plain = each.detach()
            if name.rpartition(".")[0] in copied:
                plain = plain.clone()
            elif own[id(each)] is not each:
                continue
            own[id(each)] = nn.Parameter(plain, requires_grad=False)
    return copy.deepcopy(hf, own)


def _wrap(hf: PreTrainedModel, folder: Path) -> None:
    """Have PEFT put its modules into a model, and every weight of the adapter into them.

    Raises:
        InputError: a weight is missing, is left over or does not fit, or PEFT refuses.
    """
    from peft import PeftConfig, get_peft_model

    about = f"the adapter {folder.name} does not fit {type(hf).__name__}"
    try:
        config: PeftConfig = PeftConfig.from_pretrained(str(folder))
        _check_kind(config, folder)
        config.inference_mode = True
        with torch.random.fork_rng():
            wrapped = get_peft_model(hf, config)
            found = wrapped.load_adapter(str(folder), "default", torch_device=str(hf.device))
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{about}: it lacks {str(error.args[0]).removeprefix(_PREFIX)}") from error
    except Exception as error:  # a strange adapter makes PEFT raise anything
        raise InputError(f"{about}: {_reason(error)}") from error
    held = wrapped.state_dict(keep_vars=True)
    filled = {id(each) for name, each in held.items() if name not in found.missing_keys}
    # Some methods hold one tensor at every layer, and save it once.
    missing = [name for name in found.missing_keys if id(held[name]) not in filled]
    wrong = [
        f"{what} {names[0].removeprefix(_PREFIX).replace('.default', '')} ({len(names)} in all)"
        for what, names in (
            ("it lacks", missing),
            ("the model has no place for", found.unexpected_keys),
        )
        if names
    ]
    if wrong:
        raise InputError(f"{about}: {'; '.join(wrong)}")
    wrapped.requires_grad_(False)
    wrapped.train(False)


def _check_kind(config: PeftConfig, folder: Path) -> None:
    """Refuse adapters that are no change of weights.

    Raises:
        InputError: says what it is instead.
    """
    if config.is_prompt_learning or config.is_adaption_prompt:
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        raise InputError(
            f"the adapter {folder.name} ({kind}) adds positions that are no tokens, which a table "
            "of tokens has no place for; train one that changes weights, as LoRA"
        )


def _merge(hf: PreTrainedModel) -> None:
    """Put plain modules, whose weights are the adapted ones, in the place of PEFT's."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    def below(module: nn.Module) -> nn.Module:
        """The plain module that does what one of PEFT's does; any other as it is."""
        if isinstance(module, AuxiliaryTrainingWrapper):
            return module.unload_and_optionally_merge_module(True, False, None).to(dtype)
        if isinstance(module, BaseTunerLayer) and module.merged:
            return module.get_base_layer().to(dtype)
        return module

    def walk(parent: nn.Module) -> None:
        for name, child in list(parent.named_children()):
            setattr(parent, name, plain := below(child))
            if plain is child:
                walk(child)

    dtype = hf.dtype
    for module in list(hf.modules()):
        if isinstance(module, BaseTunerLayer) and hasattr(module, "base_layer"):
            _merge_one(module)
    walk(hf)
    outer: Any = hf
    if not any(isinstance(each, BaseTunerLayer) for each in hf.modules()):
        del outer.peft_config  # else transformers saves the adapter alone
    text = hf.config.get_text_config()
    ends = [hf.get_input_embeddings().weight, hf.get_output_embeddings().weight]
    if ends[0] is not ends[1]:
        hf.config.tie_word_embeddings = text.tie_word_embeddings = False


def _merge_one(module: Any) -> None:
    """Merge an adapter into a float32 copy of what it is on; packed weights stay as they are."""
    base = module.get_base_layer()
    if getattr(base, "weight", None) is not None and not weights.is_plain(base):
        return
    for name, each in list(base.named_parameters(recurse=False)):
        setattr(base, name, nn.Parameter(each.detach().to(torch.float32, copy=True), False))
    if any(getattr(module, "lora_bias", {}).values()) and base.bias is None:
        base.bias = nn.Parameter(base.weight.new_zeros(weights.shape(base)[0]), False)
    module.merge()


@torch.no_grad()
def _logits(hf: PreTrainedModel) -> Tensor:
    """Logits [n, V] of a fixed text, float32."""
    tokens = _tried(hf.config.get_text_config().vocab_size).to(hf.device)
    logits: Tensor = hf(input_ids=tokens[None], use_cache=False).logits[0]
    return logits.float()


def _tried(vocabulary: int) -> Tensor:
    """Tokens from all over a vocabulary."""
    return torch.linspace(0, vocabulary - 1, _TRIED).long()


def _reason(error: Exception) -> str:
    """The first telling line of another library's message."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Error(s) in loading"):
        return lines[1].replace(_PREFIX, "").replace(".default", "")
    return lines[0] if lines else type(error).__name__
