"""Settings: flag > environment > project file > user file > default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import platformdirs
import tomlkit
from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from analysis.errors import InputError, WorkbenchError
from analysis.folders import named_aside
from analysis.model.info import ModelInfo
from workbench.paths import APP, config_file

PROJECT_FILE = "workbench.toml"
_PREFIX = "WORKBENCH_"


def _number(value: Any) -> Any:
    """The environment knows text only."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Settings(BaseSettings):
    """What a run of the workbench goes by. Built by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    model: str = Field("smollm2-135m", min_length=1)
    """Catalogue name, hub id, local folder or GGUF file."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """The precision that is computed in."""
    bits: Annotated[Literal[8, 4] | None, BeforeValidator(_number)] = None
    """Round the weights to so many bits on loading; None: as they are stored."""
    device: str = Field("auto", min_length=1)
    """`auto`, or a torch device such as `cpu` or `cuda:1`."""
    adapter: Path | None = None
    """Folder of a PEFT adapter the model wears."""
    ignore_unused: bool = False
    """Go on without weights that the model's config has no place for."""
    seed: int = Field(0, ge=0)
    """Begins everything random: controls, samples, training."""
    readonly: bool = False
    """Refuse whatever changes or deletes something."""
    cache: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """Folder of fetched and converted models; None: the one that the system has for such."""
    theme: str | None = None
    """The colours of the screens."""
    colours: Literal["auto", "truecolor", "256", "16", "none"] = "auto"
    """How many colours the terminal is taken to have; auto: as it says of itself."""
    offer_unfinished: bool = True
    """Say on starting what was begun and stopped, for one key to go on with."""
    keys: dict[str, str] = {}
    """Keys of the user's own by action, as `heads.sweep = "R"`; docs/keys.md names the actions."""

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Mapping[str, str]:
        """Of values that stand in no file and no variable, where they came from."""
        return self._origins

    def with_values(self, origin: str, **values: Any) -> Settings:
        """The same with other values, which came from somewhere else."""
        settings = self.model_copy(update=values)
        settings._origins = self._origins | dict.fromkeys(values, origin)
        return settings

    def means(self, model: ModelInfo) -> bool:
        """Whether these settings name the model of a record, and load it as it was."""
        ways = (self.dtype, self.bits) == (model.dtype, model.bits)
        return ways and model.name in (self.model, Path(self.model).name)

    def of_record(self, model: ModelInfo) -> Settings:
        """These with the model of a record."""
        recorded = {"model": model.name, "dtype": model.dtype, "bits": model.bits}
        recorded["ignore_unused"] = bool(model.unused)
        return self.with_values("the session", **recorded)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and the environment, then the two files; no dotenv files, no secrets folder."""
        project, user = project_file(), config_file()
        files = [_File(settings_cls, path) for path in (project, user) if path is not None]
        return init_settings, env_settings, *files


class _File(PydanticBaseSettingsSource):
    """One TOML file as a source."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        super().__init__(settings_cls)
        self.path = path
        self.values = read_file(path)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.values


def load_settings(**flags: Any) -> Settings:
    """Put the settings together; flags that are None were not given.

    Raises:
        InputError: a value or a file cannot be used; names the file and the key.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{origin(key, given)}: {reason}, not {first['input']!r}") from None
    settings._origins = {name: _flag(name) for name in given}
    return settings


def cache_dir() -> Path:
    """Things that can be fetched or made again: models.

    Raises:
        InputError: the settings cannot be read.
    """
    named = load_settings().cache
    return named.expanduser().absolute() if named else platformdirs.user_cache_path(APP, False)


def models_dir() -> Path:
    """One folder a model, ready to load."""
    return cache_dir() / "models"


def keep(name: str, value: Any, *within: str) -> None:
    """Write a setting into the user's file, of which all else stays as it is.

    Args:
        name: of the setting, or of what stands in a table.
        value: it; None takes it out.
        within: the table.

    Raises:
        WorkbenchError: the file cannot be read or written.
    """
    file = config_file()
    read_file(file)  # a file that cannot be used is not written over
    document = tomlkit.parse(file.read_text("utf-8") if file.exists() else "")
    place: Any = document
    for each in within:
        if each not in place:
            place[each] = tomlkit.table()
        place = place[each]
    if value is not None:
        place[name] = value
    elif name in place:
        del place[name]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbenchError(f"cannot make {file.parent}: {error.strerror}") from error
    with named_aside(file) as aside:
        aside.write_text(tomlkit.dumps(document), "utf-8")


def project_file() -> Path | None:
    """The nearest `workbench.toml`, in the working folder or one above it."""
    here = Path.cwd()
    return next(
        (file for folder in (here, *here.parents) if (file := folder / PROJECT_FILE).is_file()),
        None,
    )


def read_file(path: Path) -> dict[str, Any]:
    """The values of a settings file; a file that is not there has none.

    A model or folder given as `./…` or `../…` is meant from the file's, wherever one stands.

    Raises:
        InputError: unreadable, no TOML, or a key we do not know.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    if unknown := sorted(set(values) - set(Settings.model_fields)):
        known = ", ".join(Settings.model_fields)
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known are {known}")
    for name in ("model", "cache"):
        value = values.get(name)
        if isinstance(value, str) and value.startswith(("./", "../")):
            values[name] = str((path.parent / value).resolve())
    return values


def origin(key: str, flags: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Where the value of a key came from, as the user would look for it."""
    if key in flags:
        return _flag(key)
    variables = {name.upper(): name for name in os.environ}
    if variable := variables.get(f"{_PREFIX}{key.upper()}"):
        return variable
    for path in (project_file(), config_file()):
        if path is not None and key in read_file(path):
            return f"{path}: {key}"
    return key


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"
