"""
The layers of llmcli, read from the imports of every module. Whoever adds a module gives it its place in `LAYERS`.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import llmcli

LAYERS = {
    "llmcli.types": 0,
    "llmcli.errors": 0,
    "llmcli.framing": 0,
    "llmcli.deadlines": 0,
    "llmcli.retry": 0,
    "llmcli.redact": 0,
    "llmcli.http_errors": 0,
    "llmcli.markdown": 0,
    "llmcli.markdown_elements": 0,
    "llmcli.markdown_rules": 0,
    "llmcli.signals": 0,
    "llmcli.validation": 0,
    "llmcli.json_in_text": 0,
    "llmcli": 1,  # what a plugin imports
    "llmcli.provider": 1,
    "llmcli.config": 1,
    "llmcli.keys": 1,
    "llmcli.stored": 1,
    "llmcli.expressions": 1,
    "llmcli.transport": 1,
    "llmcli.output": 1,
    "llmcli.turns": 1,
    "llmcli.sessions": 1,
    "llmcli.world": 1,
    "llmcli.prompt_templates": 1,
    "llmcli.attachments": 1,
    "llmcli.schemas": 1,
    "llmcli.schema_short_form": 1,
    "llmcli.answer": 2,
    "llmcli.plugins": 2,
    "llmcli.guests": 2,
    "llmcli.plugin_import": 2,
    "llmcli.plugin_source": 2,
    "llmcli.installing": 2,
    "llmcli.registry": 2,
    "llmcli.providers": 2,
    "llmcli.testing": 2,
    "llmcli.tools": 2,
    "llmcli.text_calls": 2,
    "llmcli.text_tools": 2,
    "llmcli.commands": 3,
    "llmcli.cli": 4,
    "llmcli.cli_options": 4,
    "llmcli.cli_setup": 4,
    "llmcli.__main__": 4,
}
# A module of theirs needs no line of its own.
PACKAGES = {"llmcli.providers", "llmcli.testing", "llmcli.tools", "llmcli.commands"}

STRANGERS = [("llmcli.provider", "llmcli.transport")]

# For any provider; they know what every provider knows, and one another.
HELPERS = {
    "llmcli.providers.chat_reader",
    "llmcli.providers.content_parts",
    "llmcli.providers.listed_models",
    "llmcli.providers.mapped",
    "llmcli.providers.messages_schema",
    "llmcli.providers.messages_thinking",
    "llmcli.providers.messages_turns",
    "llmcli.providers.responses",
    "llmcli.providers.signed_thinking",
    "llmcli.providers.strict_schema",
    "llmcli.providers.think_tags",
    "llmcli.providers.thinking_control",
    "llmcli.providers.tool_calls",
}

OWNERS: dict[str, set[str]] = {
    "typer": {"llmcli.cli", "llmcli.cli_setup", "llmcli.cli_options"},
    "httpx": {"llmcli.transport"},
    "httpcore": {"llmcli.transport"},
    # text as markdown; a table that is drawn anew
    "rich": {"llmcli.markdown", "llmcli.markdown_elements", "llmcli.commands.health_view"},
    "markdown_it": {"llmcli.markdown_rules", "llmcli.markdown_elements"},
    "jmespath": {"llmcli.expressions"},
    "jsonschema": {"llmcli.validation"},
    "referencing": {"llmcli.validation"},  # jsonschema's own
    "click": set(),  # typer carries its own copy, and does not catch what the other one raises
    "asyncio": set(),
    "keyring": {"llmcli.keys"},
    "tomli_w": {"llmcli.stored"},
    "sqlite3": {"llmcli.sessions"},
}

ONLY_INSIDE_FUNCTIONS = {"rich", "markdown_it", "keyring", "tomli_w", "jsonschema", "referencing"}

# Modules of ours that extend the classes of such a library, and so may be imported inside functions only themselves.
AS_HEAVY = {"llmcli.markdown_elements", "llmcli.markdown_rules"}

# Where a function may import a module of ours, and why.
LAZY = {
    "llmcli.cli": "each command loads its own module, so that --help loads none",
    "llmcli.cli_setup": "each command loads its own module, so that --help loads none",
    "llmcli.commands.chat_arguments": "who names no template and no schema does not pay for them",
    "llmcli.commands.chat_job": "who names no tools and no schema does not pay for them",
    "llmcli.commands.chat_asking": "who keeps nothing, and names no tools and no schema, does not pay for them",
    "llmcli.commands.chat": "who has chosen a model does not pay for looking around, nor who names no tools for them",
    "llmcli.markdown": "its elements and rules are as heavy as the libraries that they extend",
    "llmcli.output": "what is piped is not rendered",
    "llmcli.providers.openai": "few requests have attachments, a schema, or go to the Responses API",
    "llmcli.registry": "a provider is loaded when it is asked for",
    "llmcli.__main__": "--version needs no parser",
}


class Import(NamedTuple):
    """`module` is what is imported, `names` what is taken out of it; `lazy` says that it stands in a function."""

    module: str
    names: tuple[str, ...]
    lazy: bool

    @property
    def ours(self) -> bool:
        """Whether it is a module of llmcli. The version is a fact and no dependency."""
        return self.module.split(".")[0] == "llmcli" and (self.module, self.names) != ("llmcli", ("__version__",))


Sources = Mapping[str, str]  # the name of each module, and its text
Rule = Callable[[Sources], Iterator[str]]


def real_sources() -> dict[str, str]:
    """Every module of llmcli. The templates are packages of their own."""
    root = Path(llmcli.__file__).parent
    paths = [path.relative_to(root) for path in root.rglob("*.py")]
    return {_module_name(path): (root / path).read_text("utf-8") for path in paths if path.parts[0] != "templates"}


def _module_name(path: Path) -> str:
    return ".".join(["llmcli", *path.with_suffix("").parts]).removesuffix(".__init__")


@cache
def imports_of(source: str) -> tuple[Import, ...]:
    """Every import of a module, wherever it stands."""
    return tuple(_imports_in(ast.parse(source), lazy=False))


def _imports_in(node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, (), lazy)
    elif isinstance(node, ast.ImportFrom):
        yield from _imports_from("." * node.level + (node.module or ""), [alias.name for alias in node.names], lazy)
    lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports_in(child, lazy=lazy)


def _imports_from(module: str, names: list[str], lazy: bool) -> Iterator[Import]:
    """`from llmcli import registry` imports the module llmcli.registry, and not something out of llmcli."""
    rest = []
    for name in names:
        whole = f"{module}.{name}"
        if whole in LAYERS or module in PACKAGES:
            yield Import(whole, (), lazy)
        else:
            rest.append(name)
    if rest:
        yield Import(module, tuple(rest), lazy)


def layer_of(module: str) -> int | None:
    """The layer of a module, `None` if it has no place in the table."""
    package = module.rpartition(".")[0]
    return LAYERS.get(package if package in PACKAGES else module)


# --- the rules: each yields a sentence for each breach ---------------------------------------------


def without_a_place(sources: Sources) -> Iterator[str]:
    """Every module has its place."""
    for module in sources:
        if layer_of(module) is None:
            yield f"{module} has no layer: give it one in LAYERS"


def relative(sources: Sources) -> Iterator[str]:
    """Imports are absolute, so that they can be read here and by anyone."""
    for module, source in sources.items():
        for found in imports_of(source):
            if found.module.startswith("."):
                yield f"{module} has a relative import"


def pointing_up(sources: Sources) -> Iterator[str]:
    """A layer never imports a higher one."""
    for module, source in sources.items():
        here = layer_of(module)
        for found in imports_of(source):
            there = layer_of(found.module)
            if found.ours and here is not None and (there is None or there > here):
                yield f"{module} (layer {here}) imports {found.module} (layer {there})"


def graph_of(sources: Sources) -> dict[str, set[str]]:
    """Which module of ours imports which."""
    return {module: {found.module for found in imports_of(source) if found.ours} for module, source in sources.items()}


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """All that a module imports, directly or not."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for module in graph.get(waiting.pop(), set()) - seen:
            seen.add(module)
            waiting.append(module)
    return seen


def in_a_circle(sources: Sources) -> Iterator[str]:
    """No module imports itself by way of others."""
    graph = graph_of(sources)
    for module in graph:
        if module in reachable(graph, module):
            yield f"{module} imports itself, directly or by way of others"


def no_strangers(sources: Sources) -> Iterator[str]:
    """Some know nothing of each other, not even by way of others."""
    graph = graph_of(sources)
    for pair in STRANGERS:
        for one, other in (pair, pair[::-1]):
            if other in reachable(graph, one):
                yield f"{one} knows {other}"


def bases_in(source: str) -> set[str]:
    """The names of the classes that the classes of a module inherit from."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return {ast.unparse(base).split("[")[0].split(".")[-1] for node in classes for base in node.bases}


def provider_knowing_another(sources: Sources) -> Iterator[str]:
    """A provider imports another only to inherit from it; the helpers are for all."""
    for module, source in sources.items():
        for found in imports_of(source) if module.startswith("llmcli.providers.") else ():
            other = found.module.startswith("llmcli.providers.") and found.module not in HELPERS
            if other and not bases_in(source) & set(found.names):
                yield f"{module} imports {found.module} without inheriting from it"


def impure_helper(sources: Sources) -> Iterator[str]:
    """The helpers of the providers know no provider, and nothing of those that perform."""
    for module in HELPERS & set(sources):
        for found in imports_of(sources[module]):
            if found.ours and layer_of(found.module) > 1 and found.module not in HELPERS:
                yield f"{module} imports {found.module}"


def not_the_owner(sources: Sources) -> Iterator[str]:
    """Each heavy library has one door."""
    for module, source in sources.items():
        for found in imports_of(source):
            library = found.module.split(".")[0]
            if library in OWNERS and module not in OWNERS[library]:
                yield f"{module} imports {library}"


def too_eager(sources: Sources) -> Iterator[str]:
    """What few calls need is imported inside the function that needs it."""
    for module, source in sources.items():
        for found in imports_of(source):
            heavy = found.module.split(".")[0] in ONLY_INSIDE_FUNCTIONS or found.module in AS_HEAVY
            if heavy and not found.lazy and module not in AS_HEAVY:
                yield f"{module} imports {found.module} outside a function"


def too_lazy(sources: Sources) -> Iterator[str]:
    """An import of ours inside a function would hide a circle; it has its few homes."""
    for module, source in sources.items():
        for found in imports_of(source):
            if found.lazy and found.ours and module not in LAZY:
                yield f"{module} imports {found.module} inside a function"


def wrongly_described(sources: Sources) -> Iterator[str]:
    """Where a docstring says "Layer 2", it is layer 2."""
    for module, source in sources.items():
        said = re.search(r"\bLayer (\d)\b", ast.get_docstring(ast.parse(source)) or "")
        if said and int(said[1]) != layer_of(module):
            yield f"{module} says that it is layer {said[1]}"


RULES = [
    without_a_place,
    relative,
    pointing_up,
    in_a_circle,
    no_strangers,
    provider_knowing_another,
    impure_helper,
    not_the_owner,
    too_eager,
    too_lazy,
    wrongly_described,
]


@pytest.mark.parametrize("rule", RULES)
def test_llmcli_keeps_to_its_layers(rule: Rule) -> None:
    assert list(rule(real_sources())) == []


def test_all_modules_are_looked_at() -> None:
    assert {"llmcli", "llmcli.errors", "llmcli.provider", "llmcli.providers"} <= set(real_sources())


# --- the page that draws them ---------------------------------------------------------------------

PAGE = (Path(llmcli.__file__).parent.parent / "docs" / "architecture.md").read_text("utf-8")


def named_in(table: str) -> Iterator[tuple[str, int]]:
    """Each module that the second column names, and the layer of its row."""
    for layer, cell in re.findall(r"^\| (\d) \| (.*?) \|", table, re.MULTILINE):
        for name in re.findall(r"`([\w/]+)`", cell):
            yield "llmcli." + name.replace("/", "."), int(layer)


def unnamed(table: str, modules: Iterable[str]) -> list[str]:
    """The modules that no row names, by a whole word or as one of `family_*`."""
    rows = "\n".join(line for line in table.splitlines() if re.match(r"\| \d ", line))
    words = {word.rpartition("/")[2] for word in re.findall(r"`([\w/*]+)`", rows)} - {"*"}
    return [module for module in modules if not any(fnmatch(module.rpartition(".")[2], word) for word in words)]


def test_the_architecture_names_every_module_in_its_layer() -> None:
    modules = set(real_sources()) - {"llmcli"} - PACKAGES

    assert unnamed(PAGE, modules) == []
    assert {module: layer for module, layer in named_in(PAGE) if layer_of(module) != layer} == {}
    assert {module for module, _ in named_in(PAGE)} <= modules


def test_a_module_that_the_architecture_forgets_is_seen() -> None:
    table = "| 2 | `answer` | the driver |\n| 2 | `providers/*` | `messages_*` |\n"

    modules = ["llmcli.answer", "llmcli.providers.messages_turns", "llmcli.retry"]
    assert unnamed(table + "`retry` is told elsewhere", modules) == ["llmcli.retry"]
    assert list(named_in(table)) == [("llmcli.answer", 2)]


# --- the rules themselves -------------------------------------------------------------------------

BREACHES = [
    (without_a_place, {"llmcli.utils": ""}),
    (without_a_place, {"llmcli.helpers.text": ""}),
    (relative, {"llmcli.answer": "from . import retry"}),
    (relative, {"llmcli.answer": "from .retry import RetryPolicy"}),
    (pointing_up, {"llmcli.framing": "from llmcli.provider import Reader"}),
    (pointing_up, {"llmcli.errors": "import llmcli.config"}),
    (pointing_up, {"llmcli.config": "from llmcli import registry"}),
    (pointing_up, {"llmcli.answer": "def f():\n    from llmcli.commands import chat"}),
    (pointing_up, {"llmcli.answer": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import llmcli.cli"}),
    (pointing_up, {"llmcli.retry": "from llmcli import Provider"}),
    (pointing_up, {"llmcli.providers.acme": "from llmcli.utils import f"}),
    (in_a_circle, {"llmcli.retry": "import llmcli.redact", "llmcli.redact": "from llmcli.retry import f"}),
    (in_a_circle, {"llmcli.commands.a": "import llmcli.commands.b", "llmcli.commands.b": "import llmcli.commands.a"}),
    (in_a_circle, {"llmcli.cli": "def f():\n    from llmcli import __main__", "llmcli.__main__": "import llmcli.cli"}),
    (no_strangers, {"llmcli.provider": "from llmcli.transport import send"}),
    (no_strangers, {"llmcli.transport": "import llmcli.config", "llmcli.config": "import llmcli.provider"}),
    (provider_knowing_another, {"llmcli.providers.a": "from llmcli.providers.b import f"}),
    (provider_knowing_another, {"llmcli.providers.a": "from llmcli.providers import b"}),
    (provider_knowing_another, {"llmcli.providers.a": "from llmcli.providers.b import B\nclass A(Provider): x = B"}),
    (impure_helper, {"llmcli.providers.tool_calls": "from llmcli.answer import Call"}),
    (impure_helper, {"llmcli.providers.think_tags": "from llmcli.providers.openai import OpenAI"}),
    (not_the_owner, {"llmcli.commands.chat": "import typer"}),
    (not_the_owner, {"llmcli.answer": "def f():\n    from httpx import Client"}),
    (not_the_owner, {"llmcli.providers.acme": "import httpcore._sync"}),
    (not_the_owner, {"llmcli.commands.models": "def f():\n    from rich.table import Table"}),
    (not_the_owner, {"llmcli.cli": "import click"}),
    (not_the_owner, {"llmcli.transport": "import asyncio"}),
    (too_eager, {"llmcli.output": "from rich.console import Console"}),
    (too_eager, {"llmcli.output": "class A:\n    import rich"}),
    (too_lazy, {"llmcli.answer": "def f():\n    from llmcli import retry"}),
    (too_lazy, {"llmcli.commands.models": "class A:\n    def f(self):\n        import llmcli.answer"}),
    (wrongly_described, {"llmcli.answer": '"""The driver. Layer 1: knows much."""'}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "sources"), BREACHES)
def test_each_rule_sees_its_breach(rule: Rule, sources: dict[str, str]) -> None:
    assert list(rule(sources))


ALLOWED = {
    "llmcli": '"""The public surface."""\nfrom llmcli.provider import Provider\n__version__ = "1"',
    "llmcli.types": "from dataclasses import dataclass",
    "llmcli.deadlines": "from llmcli import types\nfrom llmcli.errors import TimedOut",
    "llmcli.http_errors": "from llmcli import __version__",
    "llmcli.provider": "from llmcli import http_errors",
    "llmcli.config": "from llmcli.provider import Provider",
    "llmcli.transport": "import httpcore\nfrom llmcli import __version__\ndef f():\n    import httpx",
    "llmcli.markdown": '"""Layer 0: knows nobody."""\ndef f():\n    from rich.console import Console',
    "llmcli.output": "def f():\n    from llmcli.markdown import Page",
    "llmcli.answer": "from llmcli.provider import Provider\nfrom llmcli.transport import Transport",
    "llmcli.registry": "from importlib import import_module\ndef f():\n    from llmcli.providers import echo",
    "llmcli.providers": "",
    "llmcli.providers.acme": "from llmcli import Provider\nfrom llmcli.providers.tool_calls import f",
    "llmcli.providers.more": "from llmcli.providers.acme import Acme, Thing\nclass More(Acme): x: Thing",
    "llmcli.providers.tool_calls": "from llmcli.types import ToolCall",
    "llmcli.commands.chat": "from llmcli import registry\nfrom llmcli.commands import table",
    "llmcli.commands.table": "import textwrap",
    "llmcli.cli": "import typer\ndef f():\n    from llmcli.commands import chat as command",
    "llmcli.__main__": "def main():\n    from llmcli.cli import run",
}


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_sees_a_breach_where_there_is_none(rule: Rule) -> None:
    assert list(rule(ALLOWED)) == []
