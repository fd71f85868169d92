"""Owns reading the configuration file: TOML to `Config`, or one line that says what to do.

A missing file, an unknown key and an unknown `SHIPPYARD_*` variable are errors, because
pydantic-settings by itself skips them in silence. Relative paths are taken from the file's folder.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from shippyard.config.models import Config

VARIABLES = frozenset({"SHIPPYARD_CONFIG", "SHIPPYARD_CREDENTIALS", "SHIPPYARD_SOCKET"})


class ConfigError(Exception):
    """The configuration can't be used; the message is one line that says what to do."""


def load_config(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Parse the file at `path`.

    Raises:
        ConfigError: missing or unreadable file, bad TOML, unknown key or variable, bad value.
    """
    _refuse_unknown_variables(os.environ if environ is None else environ)
    try:
        if not path.is_file():
            raise ConfigError(f"no configuration file at {path}; give one with --config FILE")
        settings = _source_of(path)()
        return _with_absolute_paths(settings.as_config(), path.resolve().parent)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from None


class _TomlOnly(BaseSettings):
    """The bridge to pydantic-settings; subclasses name the file."""

    def as_config(self) -> Config:
        return Config.model_validate(self.model_dump(exclude_unset=True))


def _source_of(path: Path) -> type[_TomlOnly]:
    class FromFile(_TomlOnly):
        model_config = SettingsConfigDict(toml_file=path, extra="allow")

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (TomlConfigSettingsSource(settings_cls),)

    return FromFile


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if name.startswith("SHIPPYARD_") and name not in VARIABLES:
            near = _nearest(name, VARIABLES)
            raise ConfigError(f"unknown environment variable {name}{near}; unset it")


def _first_problem(error: ValidationError) -> str:
    """The first problem in one line, without the value that was given (it may be a secret)."""
    problems = error.errors(include_input=False, include_url=False)
    # A misspelt key is also a missing one: the spelling is what the reader must mend.
    problem = min(problems, key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in problem["loc"]) or "configuration"
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        return f"unknown key {where!r}{_nearest(str(key), _keys_at(parents))}"
    if problem["type"] == "missing":
        return f"{where!r} is missing; add it"
    return f"{where!r}: {problem['msg'].removeprefix('Value error, ')}"


def _nearest(name: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _keys_at(parents: list[Any]) -> frozenset[str]:
    """Names of the settings at a place in the model."""
    model: type[BaseModel] = Config
    for part in parents:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return frozenset(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, dict, Union, UnionType):
        found = (_model_in(argument) for argument in get_args(annotation))
        return next((model for model in found if model), None)
    return None


def _with_absolute_paths(model: Config, folder: Path) -> Config:
    absolute: Config = _absolute(model, folder)
    return absolute


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, BaseModel):
        changes = {name: _absolute(getattr(value, name), folder) for name in value.model_fields_set}
        return value.model_copy(update=changes)
    if isinstance(value, tuple):
        return tuple(_absolute(item, folder) for item in value)
    return folder / value if isinstance(value, Path) else value
