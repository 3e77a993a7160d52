"""Typed configuration: one strict base class, and recipes read from YAML. No environment, no torch."""

import difflib
import hashlib
import json
import re
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dreamomni.errors import ConfigError

T = TypeVar("T")


class StrictConfig(BaseModel):
    """Base of every recipe, request and record: unknown keys are refused and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _RecipeLoader(yaml.SafeLoader):
    """YAML with two traps removed: `1e-4` is a number, and a key written twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            if isinstance(key, str | int):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def recipe_root() -> Path:
    """Return the folder of the recipes: the source tree's own, or the copy inside an installed package."""
    package = Path(__file__).resolve().parent
    source = package.parents[1] / "recipes"
    return source if package.parent.name == "src" and source.is_dir() else package / "_recipes"


def list_recipes() -> list[str]:
    """Return the names of all shipped recipes as `group/name`, for example `train/mini-dit`."""
    root = recipe_root()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def find_recipe(ref: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        ref: A path to a YAML file, or the name of a shipped recipe, with its group (`train/mini-dit`) or
            without.

    Raises:
        ConfigError: There is no such file or name, or the bare name belongs to several recipes.
    """
    path = Path(ref)
    if path.is_file():
        return path
    name = str(ref).removesuffix(".yaml")
    names = list_recipes()
    found = [known for known in names if known == name or known.rsplit("/", 1)[-1] == name]
    if len(found) == 1:
        return recipe_root() / f"{found[0]}.yaml"
    if found:
        raise ConfigError(f"recipe {name!r} is ambiguous: say one of {', '.join(found)}")
    bare = {known.rsplit("/", 1)[-1] for known in names}
    hint = _nearest(name.rsplit("/", 1)[-1], bare) or f"the shipped recipes are {', '.join(names) or 'none'}"
    raise ConfigError(
        f"no recipe at {str(ref)!r}: no such file, and no shipped recipe has that name ({hint})"
    )


def load_recipe(ref: str | Path, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """Read a recipe, apply overrides, and check it.

    Args:
        ref: A path or the name of a shipped recipe (see `find_recipe`).
        kind: What the recipe must be: a `StrictConfig` class or an annotated union of such classes.
        overrides: `a.b.c=value` assignments; the value is read as YAML. Integers address list items.

    Raises:
        ConfigError: The recipe is not found, is not YAML, or a key or value does not fit.
    """
    path = find_recipe(ref)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_RecipeLoader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a YAML recipe: {_one_line(error)}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must be a mapping of keys to values, but it is a {type(tree).__name__}")
    apply_overrides(tree, overrides)
    return validate(tree, kind, origin=str(path))


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change values of a plain tree by `a.b.c=value` assignments; the value is read as YAML.

    Raises:
        ConfigError: An assignment has another form, or leads into a plain value.
    """
    for override in overrides:
        _apply_override(tree, override)


def validate(tree: Any, kind: type[T], *, origin: str) -> T:
    """Check a plain tree against `kind`, with every problem told in one sentence that starts with `origin`.

    Raises:
        ConfigError: A key is unknown or missing, or a value does not fit.
    """
    try:
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {explain(error, kind)}") from None


def explain(error: ValidationError, kind: Any) -> str:
    """Return all problems of a failed validation of `kind` in one sentence, with the key a typo meant."""
    names = {name for model in _models_in(kind) for name in model.model_fields}
    return "; ".join(_describe(detail, names) for detail in error.errors())


def dump_recipe(cfg: BaseModel) -> str:
    """Return the resolved recipe as YAML that `load_recipe` reads back to an equal one."""
    return yaml.safe_dump(cfg.model_dump(mode="json"), sort_keys=False, allow_unicode=False, width=110)


def recipe_hash(cfg: BaseModel) -> str:
    """Return the sha256 (hex) of the resolved values; the order of keys in the file does not matter."""
    canonical = json.dumps(
        cfg.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"override {override!r} must look like key.path=value")
    try:
        value = yaml.load(text, Loader=_RecipeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value of override {override!r} is not YAML: {_one_line(error)}") from error
    node: Any = tree
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(node, dict):
            if last:
                node[part] = value
            else:
                node = node.setdefault(part, {})
        elif isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                where = ".".join(parts[:depth])
                raise ConfigError(
                    f"override {override!r}: {where} is a list of {len(node)}, without item {part!r}"
                )
            if last:
                node[int(part)] = value
            else:
                node = node[int(part)]
        else:
            where = ".".join(parts[:depth])
            raise ConfigError(f"override {override!r}: {where} is the value {node!r}, which has no keys")


def _describe(detail: Any, names: set[str]) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "the recipe"
    if detail["type"] == "extra_forbidden":
        unknown = str(detail["loc"][-1])
        hint = _nearest(unknown, names)
        return f"unknown key {where}" + (f" ({hint})" if hint else "")
    if detail["type"] == "missing":
        return f"{where} is missing"
    if detail["type"] == "value_error":  # a sentence of ours, which names the value itself
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    message = detail["msg"]
    got = repr(detail.get("input"))
    return f"{where}: {message[0].lower()}{message[1:]}, got {got if len(got) <= 60 else got[:57] + '...'}"


def _nearest(name: str, known: set[str]) -> str | None:
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {match[0]}?" if match else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _models_in(annotation: Any, seen: set[type] | None = None) -> Iterator[type[BaseModel]]:
    seen = set() if seen is None else seen
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel) and annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in annotation.model_fields.values():
                yield from _models_in(field.annotation, seen)
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument, seen)
