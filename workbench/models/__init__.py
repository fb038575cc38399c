"""Where models come from: the catalogue, hub ids, local folders and GGUF files.

Importing this loads neither torch nor transformers; converting a file does, when it happens.
"""

from workbench.models.catalogue import CATALOGUE, CatalogueEntry, Source
from workbench.models.fetch import catalogue, fetch
from workbench.models.hub import snapshot
from workbench.models.resolve import ResolvedModel, resolve
from workbench.models.store import verify

__all__ = [
    "CATALOGUE",
    "CatalogueEntry",
    "ResolvedModel",
    "Source",
    "catalogue",
    "fetch",
    "resolve",
    "snapshot",
    "verify",
]
