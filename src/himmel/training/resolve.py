"""From recipe files to a resolved `Recipe`: names, inheritance, bases, overrides, and where each value came from.

A file states only what differs from the one that it inherits. Later layers win, key by key; a list is one value:

    the base's own line of inheritance, the recipe's line, --set

A base holds what depends on the host; it is named by the key `base`, or in its place by `--base`.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

import himmel
from himmel.errors import RecipeError
from himmel.training.recipe import Recipe, Section
from himmel.training.settings import make_settings, unknown_key

_SUFFIX: Final = ".yaml"
_BASES: Final = "base"
_CHANGES: Final = "--set"
_DERIVED: Final = ("name", "base_model")
"""Keys of a resolved recipe that no file states."""
_DEFAULT: Final = "default"


@dataclass(frozen=True)
class Resolved:
    """A recipe with the origin of its values.

    Attributes:
        recipe: all settings.
        origins: for each dotted key that a file or an override states, which one; defaults have none.
    """

    recipe: Recipe
    origins: dict[str, str]

    def origin(self, key: str) -> str:
        """Where the value of a dotted key came from."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key.rpartition(".")[0]
        return _DEFAULT


def recipes_folder() -> Path:
    """The recipes that come with this package: in the package where it is installed, beside it in the repository."""
    package = Path(himmel.__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Names of all shipped recipes: their files, relative to the folder, without ending.

    Bases don't count, nor do files that are only inherited, whose names begin with an underscore.
    """
    return [name for name in _shipped() if not name.startswith(f"{_BASES}/")]


def base_names() -> list[str]:
    """Names of all shipped bases, one for each host."""
    return [name.removeprefix(f"{_BASES}/") for name in _shipped() if name.startswith(f"{_BASES}/")]


def resolve_recipe(
    recipe: str | Path, *, base: str | None = None, overrides: Mapping[str, str] | None = None
) -> Resolved:
    """Read a recipe with all that it inherits.

    Args:
        recipe: a file, or a shipped recipe's name such as `tables/12-anchors/16` (`tables/` may be left out).
        base: name or file of a base in place of the recipe's own.
        overrides: dotted keys to YAML values, e.g. {"stage1.optimizer.steps": "20"}.

    Raises:
        RecipeError: no such file, not YAML, an unknown key (the file and the nearest known key are named) or a value
            that is not possible.
    """
    file = _find(str(recipe), folder="tables")
    lines = _line_of_inheritance(file)
    own = _Layers()
    for source, content in lines:
        own.add(content, source)
    base_file = _find(base or str(_need(own.values, "base", file)), folder=_BASES)
    base_layers, whole = _Layers(), _Layers()
    for source, content in _line_of_inheritance(base_file):
        base_layers.add(content, source)
        whole.add(content, source)
    for source, content in lines:
        whole.add(content, source)
    for key, text in (overrides or {}).items():
        if key == "base":
            raise RecipeError(f"Override base={text!r} comes too late to change what is inherited; use --base {text}.")
        whole.add(_parse_override(key, text), _CHANGES)
    if base is not None:
        whole.origins["base"] = "--base"
    derived = {"name": _name_of(file), "base": _name_of(base_file).removeprefix(f"{_BASES}/")}
    base_model = base_layers.values.get("model", {})
    return Resolved(_validate({**whole.values, **derived, "base_model": base_model}, whole.origins), whole.origins)


class _Layers:
    """Nested keys, each with the layer that stated it last."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}

    def add(self, content: Mapping[str, Any], source: str) -> None:
        self._merge(self.values, content, source, "")

    def _merge(self, target: dict[str, Any], content: Mapping[str, Any], source: str, prefix: str) -> None:
        for key, value in content.items():
            path = f"{prefix}{key}"
            if isinstance(value, dict):
                if not isinstance(target.get(key), dict):
                    target[key] = {}
                self._merge(target[key], value, source, f"{path}.")
                if value:
                    continue
            else:
                target[key] = value
                # Keys below a section that is now a value are gone.
                for below in [name for name in self.origins if name.startswith(f"{path}.")]:
                    del self.origins[below]
            self.origins[path] = source


def _line_of_inheritance(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Contents from the oldest ancestor to the file itself, each with its name."""
    line: list[tuple[str, dict[str, Any]]] = []
    seen = [file]
    while True:
        content = dict(_read(file))
        parent = content.pop("inherits", None)
        line.append((_shown(file), content))
        if parent is None:
            return line[::-1]
        if not isinstance(parent, str):
            raise RecipeError(f"Recipe {_shown(file)!r} inherits {parent!r}, which is not a name; name one recipe.")
        file = _find(parent, folder="tables", beside=file.parent)
        if file in seen:
            circle = " -> ".join(_shown(one) for one in [*seen, file])
            raise RecipeError(f"Recipes inherit each other in a circle, {circle}; remove one of the `inherits`.")
        seen.append(file)


def _find(name: str, *, folder: str, beside: Path | None = None) -> Path:
    """The file of a name: a path as it is (or beside the file that names it), or a shipped recipe."""
    root = recipes_folder()
    with_ending = name if name.endswith(_SUFFIX) else name + _SUFFIX
    places = [Path(name)] if beside is None else [beside / name, beside / with_ending]
    for path in (*places, root / with_ending, root / folder / with_ending):
        if path.is_file():
            return path.resolve()
    known = base_names() if folder == _BASES else recipe_names()
    near = difflib.get_close_matches(name.removesuffix(_SUFFIX), known, n=1, cutoff=0.5)
    advice = f"the nearest is {near[0]!r}." if near else "name a YAML file, or one that `himmel recipe list` shows."
    raise RecipeError(f"There is no recipe {name!r}; {advice}")


def _shipped() -> list[str]:
    root = recipes_folder()
    files = (file for file in root.rglob(f"*{_SUFFIX}") if not file.name.startswith("_"))
    return sorted((file.relative_to(root).with_suffix("").as_posix() for file in files), key=_by_number)


def _by_number(name: str) -> list[tuple[int, str]]:
    """A key to sort names so that 8 comes before 16."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _name_of(file: Path) -> str:
    """A shipped file's name, or the stem of any other."""
    root = recipes_folder().resolve()
    return file.relative_to(root).with_suffix("").as_posix() if file.is_relative_to(root) else file.stem


def _shown(file: Path) -> str:
    root = recipes_folder().resolve()
    return f"recipes/{file.relative_to(root).as_posix()}" if file.is_relative_to(root) else str(file)


@cache
def _parse(file: Path, changed: int) -> Any:
    del changed  # it is there so that a file that was edited is read again
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = _parse(file, file.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(
            f"Recipe {_shown(file)!r} is not valid YAML ({' '.join(str(error).split())}); correct it."
        ) from error
    if not isinstance(content, dict):
        raise RecipeError(
            f"Recipe {_shown(file)!r} holds {type(content).__name__}, not keys; see recipes/ for examples."
        )
    return content


def _parse_override(key: str, text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"Override {key}={text!r} is not a YAML value; quote it.") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _need(content: Mapping[str, Any], key: str, file: Path) -> Any:
    if content.get(key) is None:
        raise RecipeError(f"Recipe {_shown(file)!r} states no {key}; add it, or inherit a recipe that does.")
    return content[key]


def _validate(content: dict[str, Any], origins: Mapping[str, str]) -> Recipe:
    stated = next((key for key in origins if key.partition(".")[0] in _DERIVED), None)
    if stated is not None:
        raise RecipeError(f"{_place(stated, origins)} states {stated!r}, which follows from the files; leave it out.")
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_explain(error, origins)) from error
    wrong = unknown_key(recipe.model) or unknown_key(recipe.base_model)
    if wrong is not None:
        key, near = (f"model.{name}" for name in wrong)
        raise RecipeError(_unknown(key, near, origins))
    make_settings(recipe.model, host=recipe.host)
    return recipe


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    found = error.errors()
    # A key that is missing may be there by a wrong name.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.0)[0]
        return _unknown(key, ".".join([*(str(part) for part in first["loc"][:-1]), near]), origins)
    place = _place(key, origins)
    if first["type"] == "missing":
        if len(first["loc"]) > 1:
            return f"{place} states no {key}; add it."
        return f"The recipe states no {key}; its base has to."
    return f"{place}: {key} = {first['input']!r} does not fit ({first['msg']})."


def _unknown(key: str, near: str, origins: Mapping[str, str]) -> str:
    return f"{_place(key, origins)} has the unknown key {key!r}; the nearest known one is {near!r}."


def _place(key: str, origins: Mapping[str, str]) -> str:
    """The layer that stated a key, or something within it."""
    source = next((origin for path, origin in origins.items() if path == key or path.startswith(f"{key}.")), None)
    while source is None and key:
        source, key = origins.get(key), key.rpartition(".")[0]
    return "The override" if source == _CHANGES else f"Recipe {source!r}"


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Recipe
    # A number is a place in a list, all of whose items are of one kind.
    for part in (name for name in place if isinstance(name, str)):
        section = _sections_of(section, part)[0]
    return [field.alias or name for name, field in section.model_fields.items() if name not in _DERIVED]


def _sections_of(section: type[BaseModel], part: str) -> list[type[BaseModel]]:
    annotation = section.model_fields[part].annotation
    candidates = (annotation, *get_args(annotation))
    return [one for one in candidates if isinstance(one, type) and issubclass(one, Section)]
