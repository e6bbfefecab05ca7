"""
What the source of a plugin shows without being run: that its module is there, can be compiled, finds what it imports,
and has what the entry point names. Layer 2.

Whatever cannot be told from reading is taken to be well; what only an import shows stays for the import.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import NamedTuple

from llmcli.plugins import Plugin

_LARGEST = 1024 * 1024  # bytes; nobody writes so much by hand
# Where one of these stands, names or modules may come from where no reader sees them.
_HIDDEN_NAMES = re.compile(
    rb"\b(?:globals|locals|vars|exec|setattr|__getattr__|__dict__|sys\.modules)\b|^[ \t]+global ", re.MULTILINE
)
_HIDDEN_MODULES = re.compile(rb"\b(?:sys\.path|meta_path|path_hooks|sys\.modules|addsitedir|__path__)\b")


class _Code(NamedTuple):
    """The source of a module, and the tree that it is."""

    source: bytes
    tree: ast.Module


def problem(plugin: Plugin) -> str | None:
    """What is wrong with a plugin, as far as its source shows it; `None` if nothing is seen."""
    module, attribute = _entry(plugin)
    if not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        return f"its entry point {plugin.value!r} names no class of a module (`module:Class`)"
    code, package = None, None
    for name, spec in _steps(module):
        if spec is None:
            return None if package is not None and _may_hold_more(package) else _not_there(name, plugin)
        try:
            code = _code(spec)
        except SyntaxError as exc:
            return f"its module {name} cannot be compiled: {exc.msg}" + (f" (line {exc.lineno})" if exc.lineno else "")
        needed = None if code is None else _needed(code, spec, plugin)
        if needed is not None:
            return needed
        package = spec
    return None if code is None else _lacking(code, module, attribute.partition(".")[0])


def file(plugin: Plugin) -> str | None:
    """The file that a plugin's module is in, if it is found."""
    spec = _last(_entry(plugin)[0])
    return spec.origin if spec is not None and spec.has_location else None


def _entry(plugin: Plugin) -> tuple[str, str]:
    """The module and the attribute that an entry point names; what it says of extras is of no concern."""
    module, _, attribute = plugin.value.partition("[")[0].partition(":")
    return module.strip(), attribute.strip()


def _not_there(name: str, plugin: Plugin) -> str:
    return f"its module {name} is not there; install {plugin.distribution} again, or uninstall it"


# --- one module -----------------------------------------------------------------------------------


def _needed(code: _Code, spec: ModuleSpec, plugin: Plugin) -> str | None:
    """What a module imports that is not there."""
    if _HIDDEN_MODULES.search(code.source):
        return None
    absent = next(filter(None, map(_absent, _imports(code.tree, spec))), None)
    if absent is None:
        return None
    if absent.split(".")[0] == plugin.package:
        return _not_there(absent, plugin)
    ours = absent.startswith("llmcli.")
    return f"it needs {absent}, which {'this llmcli does not have' if ours else 'is not installed'}"


def _lacking(code: _Code, module: str, wanted: str) -> str | None:
    """Whether a module has no such name, or a package no such module."""
    if _HIDDEN_NAMES.search(code.source) or not {wanted, "*"}.isdisjoint(_names(code.tree)):
        return None
    return f"its module {module} has no {wanted}" if _last(f"{module}.{wanted}") is None else None


def _code(spec: ModuleSpec) -> _Code | None:
    """The code of a module, if it can be read. Raises `SyntaxError` for what no compiler takes."""
    source = _source(spec)
    if source is None:
        return None
    with warnings.catch_warnings(action="ignore"):
        try:
            return _Code(source, ast.parse(source))
        except (ValueError, RecursionError, MemoryError):  # what the parser gives up
            return None


def _source(spec: ModuleSpec) -> bytes | None:
    """The source of a module, if it has one that can be read."""
    if not isinstance(spec.loader, SourceFileLoader) or spec.origin is None:
        return None
    try:
        source = spec.loader.get_data(spec.origin)
    except OSError:
        return None
    return source if len(source) <= _LARGEST else None


def _imports(tree: ast.Module, spec: ModuleSpec) -> Iterator[str]:
    """The modules that are imported whatever happens: on the top level, and neither tried nor on a condition."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom) and spec.parent:
            package = spec.parent.rsplit(".", node.level - 1)[0]
            yield f"{package}.{node.module}" if node.module else package


def _names(node: ast.AST) -> Iterator[str]:
    """Every name that is given on the top level of a module, on whatever condition; `*` for those of another module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.alias):
            yield child.asname or child.name.partition(".")[0]
        elif isinstance(child, ast.Name):
            yield child.id
        elif isinstance(name := getattr(child, "name", None), str):  # of a class, a function, a pattern
            yield name
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _names(child)


# --- modules, found without importing the packages that they are in ---------------------------------


def _absent(dotted: str) -> str | None:
    """The first of a module and the packages that it is in that is not there; `None` where all are, or may be."""
    if dotted in sys.modules:  # as most that is imported is
        return None
    parent: ModuleSpec | None = None
    for name, spec in _steps(dotted):
        if spec is None:
            return None if parent is not None and _may_hold_more(parent) else name
        parent = spec
    return None


def _may_hold_more(package: ModuleSpec) -> bool:
    """Whether a package may have modules elsewhere than in its folder: its code says where, or cannot be read."""
    source = _source(package)
    if source is None:
        return package.origin is not None  # a namespace has no code
    return _HIDDEN_MODULES.search(source) is not None


def _last(dotted: str) -> ModuleSpec | None:
    *_, (_, spec) = _steps(dotted)
    return spec


def _steps(dotted: str) -> Iterator[tuple[str, ModuleSpec | None]]:
    """A module's packages from the outermost on, and at last the module; up to the first that is not found."""
    name, path = "", None
    for part in dotted.split("."):
        name = f"{name}.{part}" if name else part
        spec = _found(name, path)
        yield name, spec
        if spec is None:
            return
        path = list(spec.submodule_search_locations or ())


def _found(name: str, path: list[str] | None) -> ModuleSpec | None:
    """Where a module is, by those that an import would ask; `path` is that of its package."""
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # a stranger's finder
            continue
        if spec is not None:
            return spec
    return None
