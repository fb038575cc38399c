"""One module a step. Importing this package fills `analysis.step.REGISTRY`."""

from analysis.steps.ablate import AblateStep
from analysis.steps.chain import ChainStep
from analysis.steps.circuit import CircuitStep
from analysis.steps.cna import CnaStep
from analysis.steps.evaluate import EvaluateStep
from analysis.steps.heads import HeadsStep
from analysis.steps.hidden import HiddenSetsStep, HiddenStep
from analysis.steps.layers import GainsStep, LensStep
from analysis.steps.lora import LoraStep
from analysis.steps.neurons import NeuronsStep
from analysis.steps.pairs import PairsStep
from analysis.steps.project import ProjectStep
from analysis.steps.prune import PruneStep

__all__ = [
    "AblateStep",
    "ChainStep",
    "CircuitStep",
    "CnaStep",
    "EvaluateStep",
    "GainsStep",
    "HeadsStep",
    "HiddenSetsStep",
    "HiddenStep",
    "LensStep",
    "LoraStep",
    "NeuronsStep",
    "PairsStep",
    "ProjectStep",
    "PruneStep",
]
