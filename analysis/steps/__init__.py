"""One module a step. Importing this package fills `analysis.step.REGISTRY`."""

from analysis.steps.ablate import AblateStep
from analysis.steps.chain import ChainStep
from analysis.steps.cna import CnaStep
from analysis.steps.heads import HeadsStep
from analysis.steps.layers import GainsStep, LensStep
from analysis.steps.neurons import NeuronsStep
from analysis.steps.project import ProjectStep

__all__ = [
    "AblateStep",
    "ChainStep",
    "CnaStep",
    "GainsStep",
    "HeadsStep",
    "LensStep",
    "NeuronsStep",
    "ProjectStep",
]
