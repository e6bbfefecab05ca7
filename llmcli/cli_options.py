"""
What the commands of the command line share: options that several have, and how their help is laid out. Layer 4.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import typer
from typer.core import TyperCommand, TyperGroup

Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Read FILE instead of LLMCLI_CONFIG or config.toml.")
]
NoConfig = Annotated[bool, typer.Option("--no-config", help="Read no configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Color = Annotated[
    Literal["auto", "always", "never"] | None,
    typer.Option("--color", envvar="LLMCLI_COLOR", help="Colour; NO_COLOR is honoured."),
]

_TWO_COLUMNS = 60
_SENTENCE = 100  # characters
STATUSES = "Exit statuses: 0 is all well; `llmcli --help` lists the others."


def epilog(*examples: str, statuses: str = STATUSES) -> str:
    """What stands below a command's options: lines that work as they are, and what its exit statuses say."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}\n\n{statuses}"


class _Grouped:
    """
    A help whose options stand in groups; typer's own way to have them loads rich, which takes as long as all the rest.
    `panels` names the parameters of each; what is in none of them are `Options`, and come first.
    """

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {"Configuration": ("config", "no_config", "ca_bundle")}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """See typer."""
        panel_of = {name: panel for panel, names in self.panels.items() for name in names}
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", "Options", *self.panels)}
        for param in self.get_params(ctx):  # type: ignore[attr-defined]  # of the class that this is mixed into
            record = param.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                groups[panel_of.get(param.name, kind)].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    # Where a line has no room for two columns, what an option means stands below it.
                    formatter.write_dl(records, col_max=30 if formatter.width >= _TWO_COLUMNS else 6)


class Command(_Grouped, TyperCommand):
    """A command."""


class Group(_Grouped, TyperGroup):
    """A command that has commands of its own, which come first in its help, each with its first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """See typer, which would cut the sentences that are too long for a line."""
        rows = [(name, self.commands[name].get_short_help_str(_SENTENCE)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """See `_Grouped`."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)
