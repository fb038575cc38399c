"""The head sweep in another library, for `workbench bench`: same weights, that library's hooks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from analysis.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.model.model import Model
    from analysis.model.tokens import Encoded
    from analysis.refs import HeadRef

PEERS = ("transformer-lens",)
"""Libraries to compare with, by the names of their packages."""


def check_peer(name: str) -> None:
    """Refuse, before any work, a peer that cannot be compared with.

    Raises:
        InputError: it is not one of `PEERS`, or it is not installed.
    """
    if name not in PEERS:
        raise InputError(f"--peer {name}: choose {' or '.join(PEERS)}")
    try:
        version(name)
    except PackageNotFoundError:
        raise InputError(
            f"--peer {name}: not installed; pip install 'cna-workbench[peer]'"
        ) from None


class TransformerLens:
    """A model behind TransformerLens's own modules, its weights shared and unprocessed."""

    name = "transformer-lens"

    def __init__(self, model: Model) -> None:
        """Build the bridge.

        Raises:
            InputError: TransformerLens has none for the model's architecture.
        """
        from transformer_lens.model_bridge.sources import build_bridge_from_module

        self.version = version(self.name)
        self._model = model
        # The bridge puts modules of its own into the model it is given: so give it a copy that
        # has modules of its own but the same weights.
        weights = {id(weight): weight for weight in model.hf.parameters()}
        hf = copy.deepcopy(model.hf, weights)
        try:
            self._bridge = build_bridge_from_module(hf, type(hf).__name__, hf_config=hf.config)
        except ValueError as error:
            raise InputError(f"--peer {self.name}: no bridge for {type(hf).__name__}") from error

    def logprobs_without(self, encoded: Sequence[Encoded], ref: HeadRef) -> Tensor:
        """Log-probability of each answer [P] without a head: one hooked run a batch."""
        import torch

        from analysis.methods.heads import batches
        from analysis.model.passes import score_tokens
        from analysis.progress import checkpoint

        def zero(z: Tensor, hook: Any) -> Tensor:
            z[:, :, ref.index] = 0  # [b, n, H, head width]
            return z

        hooks = [(f"blocks.{ref.layer}.attn.hook_z", zero)]
        logprob = torch.zeros(len(encoded))
        behind = self._model.behind
        for places, tokens, answers in batches(self._model, encoded):
            checkpoint()
            keep = answers.shape[1]
            with torch.no_grad():
                logits = self._bridge.run_with_hooks(
                    tokens, return_type="logits", fwd_hooks=hooks, logits_to_keep=keep + behind
                )
            scored, _ = score_tokens(logits[:, -keep - behind :][:, :keep], answers)
            logprob[places] = scored.sum(-1).cpu()
        return logprob
