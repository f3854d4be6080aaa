"""Prints what an installed provider's operators, sensors and notifiers take, as JSON: describe_operators.py PACKAGE [MODULE_PREFIX…]

Signatures, annotations, docstrings and template fields are read from the classes themselves; nothing is executed but imports.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import re
import sys
import textwrap
from typing import Any

try:
    from airflow.sdk import BaseNotifier, BaseOperator
except ImportError:
    from airflow.models import BaseOperator
    from airflow.notifications.basenotifier import BaseNotifier

SIMPLE = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "bytes": "string", "None": "null", "Any": "unknown", "object": "unknown"}
SIMPLE |= {"timedelta": "PythonTime", "datetime": "PythonTime", "date": "PythonTime", "JSONDecoder": "never", "Path": "string", "PathLike": "string", "ArgNotSet": "never"}
LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "tuple", "Tuple", "set", "Set", "frozenset", "MutableSequence", "Container"}
MAPS = {"dict", "Dict", "Mapping", "MutableMapping"}


def typescript(node: Any) -> str:
    """A Python annotation as a TypeScript type; what TypeScript cannot make is never."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return "null"
        return typescript(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else "unknown"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return union([typescript(node.left), typescript(node.right)])
    if isinstance(node, ast.Attribute):
        return typescript(ast.Name(id=node.attr))
    if isinstance(node, ast.Name):
        if node.id in SIMPLE:
            return SIMPLE[node.id]
        if node.id in LISTS:
            return "readonly unknown[]"
        if node.id in MAPS:
            return "Readonly<Record<string, unknown>>"
        return "never" if node.id in ("Callable", "type") else "unknown"
    if isinstance(node, ast.Subscript):
        name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Optional":
            return union([typescript(inner[0]), "null"])
        if name == "Union":
            return union([typescript(part) for part in inner])
        if name == "Literal":
            return union([json.dumps(part.value) for part in inner if isinstance(part, ast.Constant)])
        if name in LISTS:
            element = typescript(inner[0])
            return f"readonly ({element})[]" if "|" in element else f"readonly {element}[]"
        if name in MAPS:
            return f"Readonly<Record<string, {typescript(inner[-1])}>>"
        return "never" if name in ("Callable", "type", "Type") else "unknown"
    return "unknown"


def union(parts: list[str]) -> str:
    flat = [piece for part in parts for piece in part.split(" | ")] if not any("(" in part for part in parts) else parts
    kept = [part for part in dict.fromkeys(flat) if part != "never"]
    if "unknown" in kept:
        return "unknown"
    return " | ".join(kept) or "never"


def annotation(parameter: inspect.Parameter) -> str:
    found = parameter.annotation
    if found is inspect.Parameter.empty:
        default = parameter.default
        if isinstance(default, (bool, int, float, str)):
            return SIMPLE[type(default).__name__]
        return "unknown"
    if not isinstance(found, str):
        found = getattr(found, "__name__", str(found))
    try:
        return typescript(ast.parse(found, mode="eval").body)
    except SyntaxError:
        return "unknown"


def documentation(cls: type) -> tuple[str, dict[str, str]]:
    """The first paragraph of a docstring, and what it says of each parameter."""
    params: dict[str, str] = {}
    summary = ""
    for owner in reversed(cls.__mro__):
        text = inspect.cleandoc(owner.__doc__ or "") if owner.__module__.startswith("airflow.providers") else ""
        own_summary = re.split(r"\n\s*\n|\n:param", text)[0]
        summary = own_summary if owner is cls else summary
        for name, about in re.findall(r":param (?:[\w\[\], .|]+ )?(\w+):((?:.|\n)*?)(?=\n:|\n\s*\n|\Z)", text):
            params[name] = plain(about)
    return plain(summary), params


def plain(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`<]+?)(?:\s*<[^>]*>)?`", r"`\1`", text)
    text = re.sub(r"``([^`]*)``", r"`\1`", text)
    text = re.sub(r"\.\. \w+::.*", "", text)
    return re.sub(r"\s+", " ", textwrap.dedent(text)).strip().replace("*/", "* /")


def default(parameter: inspect.Parameter) -> str | None:
    value = parameter.default
    if value is inspect.Parameter.empty or value is None:
        return None
    return json.dumps(value) if isinstance(value, (str, int, float, bool)) else None


# What every task has comes from the placement: retries, pool, callbacks and so on.
BASE = set(inspect.signature(BaseOperator.__init__).parameters) | {"self", "kwargs", "args"}
SENSOR = {"poke_interval", "timeout", "soft_fail", "mode", "exponential_backoff", "max_wait", "silent_fail", "never_fail"}


def passed_on(init: Any) -> set[str]:
    """The arguments that a class gives to the one it inherits from by itself."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(init))))
    except (OSError, TypeError, SyntaxError):
        return set()
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    own = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__")
    return {keyword.arg for call in own for keyword in call.keywords if keyword.arg}


def parameters(cls: type, base: type) -> dict[str, inspect.Parameter]:
    """The keyword arguments of a class and of those that it inherits from, its own first."""
    found: dict[str, inspect.Parameter] = {}
    given: set[str] = set()
    for owner in cls.__mro__:
        if owner is base or owner is object:
            break
        init = owner.__dict__.get("__init__")
        if init is None:
            continue
        signature = inspect.signature(init)
        for name, parameter in signature.parameters.items():
            variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if name not in found and name not in given and name not in BASE - SENSOR and not variable:
                found[name] = parameter
        given |= passed_on(init)
        if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            break
    return found


def describe(cls: type, base: type) -> dict:
    summary, about = documentation(cls)
    source = inspect.getsource(sys.modules[cls.__module__])
    needs = re.search(r"if not AIRFLOW_V_(\d)_(\d+)_PLUS:\s*\n\s*raise", source)
    arguments = []
    fixed = getattr(cls, "FIXED_ARGS", ())
    own_init = inspect.getsource(inspect.unwrap(cls.__dict__["__init__"])) if "__init__" in cls.__dict__ else ""
    for name, parameter in parameters(cls, base).items():
        if name in fixed:
            continue
        kind = annotation(parameter)
        # `kwargs["x"] = …` in a class's own __init__ is a default of its own.
        required = parameter.default is inspect.Parameter.empty and f'kwargs["{name}"] =' not in own_init
        if kind in ("never", "null") and not required:
            continue
        arguments.append({"name": name, "type": kind, "required": required, "default": default(parameter), "doc": about.get(name, "")})
    return {
        "name": cls.__name__,
        "module": cls.__module__,
        "kind": "notifier" if base is BaseNotifier else "operator",
        "doc": summary,
        "since": f"{needs[1]}.{needs[2]}" if needs else None,
        # Some classes make theirs from a set, whose order changes from run to run.
        "templateFields": sorted(field for field in getattr(cls, "template_fields", ()) if isinstance(field, str)),
        "arguments": arguments,
    }


def main() -> None:
    package, *prefixes = sys.argv[1:]
    name = "airflow.providers." + package.removeprefix("apache-airflow-providers-").replace("-", ".")
    root = importlib.import_module(name)
    found: dict[str, dict] = {}
    skipped: list[str] = []
    for info in pkgutil.walk_packages(root.__path__, f"{name}."):
        if not re.search(r"\.(operators|sensors|transfers|notifications|notifiers)\.", info.name + "."):
            continue
        if "example" in info.name or (prefixes and not any(f".{prefix}" in info.name for prefix in prefixes)):
            continue
        try:
            module = importlib.import_module(info.name)
        except Exception as error:
            skipped.append(f"{info.name}: {error}")
            continue
        for cls in vars(module).values():
            if not inspect.isclass(cls) or cls.__module__ != info.name or cls.__name__.startswith("_") or inspect.isabstract(cls):
                continue
            for base in (BaseOperator, BaseNotifier):
                if issubclass(cls, base) and cls is not base:
                    found[cls.__name__] = describe(cls, base)
    if not found:
        raise SystemExit(f"{package} has no operators, sensors or notifiers that could be read. {' '.join(skipped)}")
    version = importlib.metadata.version("apache-airflow-providers-" + name.removeprefix("airflow.providers.").replace(".", "-"))
    result = {"package": package, "version": version, "classes": [found[key] for key in sorted(found)], "skipped": skipped}
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
