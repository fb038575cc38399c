"""A module for each step, all of which importing this package makes known."""

from importlib import import_module
from pkgutil import iter_modules

from analysis.steps.ablate import AblateStep
from analysis.steps.attend import AttendStep, DetectStep
from analysis.steps.chain import ChainStep
from analysis.steps.circuit import CircuitStep
from analysis.steps.cna import CnaStep
from analysis.steps.cna_cases import CnaCasesStep, CnaEachStep
from analysis.steps.corpus import CorpusStep
from analysis.steps.direct import DirectCasesStep, DirectStep
from analysis.steps.edges import EdgesStep, FaithfulnessStep
from analysis.steps.evaluate import EvaluateStep
from analysis.steps.heads import HeadsStep
from analysis.steps.hidden import HiddenSetsStep, HiddenStep
from analysis.steps.inputs import InputsStep
from analysis.steps.layers import GainsStep, LensStep
from analysis.steps.lora import LoraStep
from analysis.steps.neurons import NeuronsStep
from analysis.steps.pairs import PairsStep
from analysis.steps.patch import PatchStep
from analysis.steps.project import ProjectStep
from analysis.steps.prune import PruneStep

__all__ = [
    "AblateStep",
    "AttendStep",
    "ChainStep",
    "CircuitStep",
    "CnaCasesStep",
    "CnaEachStep",
    "CnaStep",
    "CorpusStep",
    "DetectStep",
    "DirectCasesStep",
    "DirectStep",
    "EdgesStep",
    "EvaluateStep",
    "FaithfulnessStep",
    "GainsStep",
    "HeadsStep",
    "HiddenSetsStep",
    "HiddenStep",
    "InputsStep",
    "LensStep",
    "LoraStep",
    "NeuronsStep",
    "PairsStep",
    "PatchStep",
    "ProjectStep",
    "PruneStep",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
