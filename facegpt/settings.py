"""Typed settings in sections: read from YAML, overridden by `a.b=value`, explained in one line, printed whole."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class SettingsError(ValueError):
    """A setting that the user can put right, in one clear line."""


def _named(value: Any) -> Any:
    if value is None:
        # YAML's bare null, or an empty value: too easily an oversight to be taken for the wish to see no face.
        raise ValueError(
            'a name is wanted; the dry mode\'s is the text "null", in quotes (or --detector null, --model null)'
        )
    return value


Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, BeforeValidator(_named)]
"""A text that must not be absent."""


class Section(BaseModel):
    """A part of a configuration: unknown keys are errors, and nothing changes after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Configuration(Section):
    """The whole of a configuration, with what error messages and overrides have to know of it.

    `title`: what messages call it. `contents`: what they say that a file holds. `example`: an override. `words`: the
    dotted keys that take the name `null`. `earlier_keys`: the top-level keys of files of earlier versions, each with
    the dotted keys that its value belongs to today.
    """

    title: ClassVar[str] = "config"
    example: ClassVar[str] = "detector.name=dlib"
    contents: ClassVar[str] = "sections"
    words: ClassVar[Collection[str]] = ()
    earlier_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def load(cls, path: str | None = None, overrides: Sequence[str] = ()) -> Self:
        """Reads a YAML file, then applies `a.b=value` overrides (the values are YAML as well).

        Raises:
            SettingsError: the file cannot be read, a key is unknown (the message names the nearest), or a value does
                not fit.
        """
        return cls.of({} if path is None else _read_yaml(path, cls.title, cls.contents), overrides)

    @classmethod
    def of(cls, values: Mapping[str, Any], overrides: Sequence[str] = ()) -> Self:
        """Checks the values of a mapping, keys of earlier versions included, after overrides; raises SettingsError."""
        current = _renamed(cls, values)
        for override in overrides:
            _apply(cls, current, override)
        try:
            return cls.model_validate(current)
        except ValidationError as error:
            raise SettingsError(_explanation(cls, error)) from None

    @classmethod
    def known_keys(cls) -> list[str]:
        """Lists all keys in dotted form, sections included."""
        return list(_keys(cls, ""))

    def changed(self) -> dict[str, Any]:
        """Returns the settings that differ from their defaults, by dotted key, as JSON holds them."""
        return dict(_changes(self, None, ""))

    def as_yaml(self) -> str:
        """Writes the whole configuration with its defaults, as YAML that `load` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _read_yaml(path: str, title: str, contents: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the {title} {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"the {title} {path} is not YAML: {' '.join(str(error).split())}") from None
    if values is not None and not isinstance(values, dict):
        raise SettingsError(
            f"the {title} {path} must be a mapping of {contents}, not a {type(values).__name__}"
        )
    return values or {}


def _renamed(schema: type[Configuration], values: Mapping[str, Any]) -> dict[str, Any]:
    """Copies `values` with each key of an earlier version in the place of today's; both at once is an error."""
    current = {key: deepcopy(value) for key, value in values.items() if not _is_earlier(schema, key, value)}
    for key, value in values.items():
        if not _is_earlier(schema, key, value):
            continue
        for place in schema.earlier_keys[key]:
            *names, last = place.split(".")
            section = current
            for name in names:
                section = section.setdefault(name, {})
                if not isinstance(section, dict):
                    raise SettingsError(f"{schema.title} key {name!r} is a section, not {section!r}")
            if last in section:
                raise SettingsError(
                    f"{schema.title} key {key!r} is the earlier name of {place!r}: give one of them, not both"
                )
            section[last] = deepcopy(value)
    return current


def _is_earlier(schema: type[Configuration], key: str, value: Any) -> bool:
    """Whether a top-level key is one of an earlier version; a mapping under a section's name is that section."""
    return key in schema.earlier_keys and not (key in schema.model_fields and isinstance(value, Mapping))


def _apply(schema: type[Configuration], values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set wants KEY=VALUE such as {schema.example}, not {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingsError(f"--set {override}: the value is not YAML") from None
    if value is None and key in schema.words and text.strip() == "null":
        value = "null"  # typed out on the command line, it is meant as a name
    *sections, last = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"--set {override}: {section!r} is not a section of the configuration")
        values = inner
    values[last] = value


def _explanation(schema: type[Configuration], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"][:1].lower() + problem["msg"][1:]
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown {schema.title} key {key!r}; the nearest one is {_nearest(schema, key)}")
        elif problem["type"] == "missing":
            lines.append(f"the {schema.title} names no {key!r}")
        elif not key:
            # What does not go together: the message itself names the keys.
            lines.append(problem["msg"])
        else:
            lines.append(f"{schema.title} key {key!r}: {message}, not {problem['input']!r}")
    return "; ".join(lines)


def _nearest(schema: type[Configuration], key: str) -> str:
    candidates = [*schema.known_keys(), *schema.earlier_keys]
    near = (difflib.get_close_matches(key, candidates, n=1, cutoff=0) or [""])[0]
    today = schema.earlier_keys.get(near)
    return repr(near) if today is None else f"{near!r}, today {' and '.join(map(repr, today))}"


def _keys(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")


def _changes(section: BaseModel, usual: BaseModel | None, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yields dotted keys and values that differ from those of `usual`, or, without one, from the fields' defaults."""
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        default = field.get_default() if usual is None else getattr(usual, name)
        if isinstance(value, BaseModel):
            yield from _changes(value, default, f"{prefix}{name}.")
        elif value != default:
            yield f"{prefix}{name}", values[name]
