"""
The commands besides `chat`: sessions, models, health, providers, templates, completions. Layer 4.

Each body begins with the one import of its module: what `--help` does not need is not loaded for it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import typer

from llmcli.cli_options import Color, Command, Config, Group, Json, NoConfig, epilog
from llmcli.world import World

sessions_app = typer.Typer(
    help="List the conversations that are kept, show, export, delete them.", rich_markup_mode=None, cls=Group
)
models_app = typer.Typer(
    help="List models, show one, name one, keep lists for completion.", rich_markup_mode=None, cls=Group
)
providers_app = typer.Typer(
    help="List providers, and set one up: log in, choose, add, check.", rich_markup_mode=None, cls=Group
)
templates_app = typer.Typer(help="List the templates of prompts, and show one.", rich_markup_mode=None, cls=Group)

_Timeout15 = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="The most that each provider may take (15).")
]
_Providers = Annotated[
    list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Ids; default: all that can be asked.")
]
_Id = Annotated[str, typer.Argument(metavar="ID", help="Its id; `llmcli providers` lists them.")]


def add_to(app: typer.Typer, first: str | None) -> None:
    """Add the commands that a command line with this first word can mean: one that is ours, or all of them."""
    known: dict[str | None, Any] = {
        "sessions": lambda: app.add_typer(sessions_app, name="sessions", epilog=_SESSIONS_EPILOG),
        "models": lambda: app.add_typer(models_app, name="models", epilog=_MODELS_EPILOG),
        "health": lambda: app.command(cls=Command, epilog=_HEALTH_EPILOG)(health),
        "providers": lambda: app.add_typer(providers_app, name="providers", epilog=_PROVIDERS_EPILOG),
        "templates": lambda: app.add_typer(templates_app, name="templates", epilog=_TEMPLATES_EPILOG),
        "completions": lambda: app.command(cls=Command, epilog=_COMPLETIONS_EPILOG)(completions),
    }
    for add in [known[first]] if first in known else known.values():
        add()


def _with_parent(ctx: typer.Context, **said: Any) -> dict[str, Any]:
    """What was said before the subcommand (`models --json list`) holds as if it had been said behind it."""
    above = ctx.parent.params if ctx.parent else {}
    return {name: above.get(name, value) if value is None or value is False else value for name, value in said.items()}


def _asked(ctx: typer.Context, **said: Any) -> dict[str, Any]:
    """What a command that can print JSON is asked for; where it prints that, its errors are JSON too."""
    asked = _with_parent(ctx, **said)
    ctx.obj.json_errors = as_json = asked.pop("json")
    return {**asked, "as_json": as_json}


# --- sessions -------------------------------------------------------------------------------------

_SESSIONS_EPILOG = epilog("llmcli chat --session trip -m echo hello", "llmcli sessions", "llmcli sessions show trip")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name; `llmcli sessions` lists them.")]


@sessions_app.callback(invoke_without_command=True)
def sessions(ctx: typer.Context, json: Json = False) -> None:
    """List the conversations that are kept, the one that was used last first."""
    if ctx.invoked_subcommand is None:
        _list_sessions(ctx, json)


@sessions_app.command("list", cls=Command, epilog=epilog(
    "llmcli sessions list", "llmcli sessions list --json", "llmcli sessions list | cut -f1"))  # fmt: skip
def sessions_list(ctx: typer.Context, json: Json = False) -> None:
    """List them: name, turns, model, when they were last used and begun."""
    _list_sessions(ctx, json)


def _list_sessions(ctx: typer.Context, json: bool) -> None:
    from llmcli.commands import sessions as command

    command.run(ctx.obj, **_asked(ctx, json=json))


@sessions_app.command("show", cls=Command, epilog=epilog(
    "llmcli sessions show trip", "llmcli sessions show trip --color never", "llmcli sessions show trip | less"))  # fmt: skip
def sessions_show(ctx: typer.Context, name: _Name, color: Color = None) -> None:
    """Show one: rendered on a terminal, Markdown in a pipe."""
    from llmcli.commands import sessions as command

    command.show(name, ctx.obj, color=color or "auto")


@sessions_app.command("export", cls=Command, epilog=epilog(
    "llmcli sessions export trip > trip.json", "llmcli sessions export trip --format markdown > trip.md",
    "llmcli sessions export trip | jq -r '.messages[-1].content'"))  # fmt: skip
def sessions_export(
    ctx: typer.Context,
    name: _Name,
    format: Annotated[Literal["json", "markdown"], typer.Option("--format", help="JSON has all of it.")] = "json",  # noqa: A002
) -> None:  # fmt: skip
    """Print all of one."""
    from llmcli.commands import sessions as command

    command.export(name, ctx.obj, form=format)


@sessions_app.command("delete", cls=Command, epilog=epilog(
    "llmcli sessions delete trip", "llmcli sessions delete work play",
    "llmcli sessions | cut -f1 | xargs -r -d '\\n' llmcli sessions delete"))  # fmt: skip
def sessions_delete(
    ctx: typer.Context,
    name: Annotated[list[str], typer.Argument(metavar="NAME...", help="Their names; `llmcli sessions` lists them.")],
) -> None:
    """Delete them, so that nothing of them is left."""
    from llmcli.commands import sessions as command

    command.delete(name, ctx.obj)


# --- models ---------------------------------------------------------------------------------------

_MODELS_EPILOG = epilog(
    "llmcli models list echo",
    "llmcli models --search llama | fzf",
    "llmcli models alias fast openai/gpt-5-mini",
)

_Search = Annotated[str | None, typer.Option(metavar="TEXT", help="Only models with all of these words in their id or name.")]  # fmt: skip
_Cached = Annotated[bool, typer.Option("--cached", help="From the lists that `models refresh` keeps; nothing is asked.")]  # fmt: skip
_Jsonl = Annotated[bool, typer.Option("--jsonl", help="Print a line of JSON for each model.")]


@models_app.callback(invoke_without_command=True)
def models(
    ctx: typer.Context,
    search: _Search = None,
    cached: _Cached = False,
    timeout: _Timeout15 = None,
    json: Json = False,
    jsonl: _Jsonl = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """List the models of each provider that can be asked; `models list PROVIDER` asks one."""
    if ctx.invoked_subcommand is None:
        _list_models(ctx.obj, (), **ctx.params)


@models_app.command("list", cls=Command, epilog=epilog(
    "llmcli models list", "llmcli models list echo --json", "llmcli models list ollama groq --search 'llama 8b'"))  # fmt: skip
def models_list(
    ctx: typer.Context,
    provider: _Providers = None,
    search: _Search = None,
    cached: _Cached = False,
    timeout: _Timeout15 = None,
    json: Json = False,
    jsonl: _Jsonl = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """List the models of the named providers, live. In a pipe they are plain `provider/model` lines."""
    _list_models(
        ctx.obj, provider or (), **_with_parent(
            ctx, search=search, cached=cached, timeout=timeout, json=json, jsonl=jsonl, config=config, no_config=no_config
        )
    )  # fmt: skip


def _list_models(world: World, names: "list[str] | tuple[()]", *, json: bool, jsonl: bool, **said: Any) -> None:
    from llmcli.commands import models as command

    world.json_errors = json or jsonl
    command.run(names, world, form="json" if json else "jsonl" if jsonl else "text", **said)


@models_app.command("show", cls=Command, epilog=epilog(
    "llmcli models show echo/echo", "llmcli models show openai/gpt-5-mini", "llmcli models show fast --json"))  # fmt: skip
def models_show(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="PROVIDER/MODEL", help="The model, an alias, or a provider's id for its default model.")],
    timeout: _Timeout15 = None,
    json: Json = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """Show all that its provider tells of one model."""
    from llmcli.commands import models as command

    said = _asked(ctx, timeout=timeout, json=json, config=config, no_config=no_config)
    command.show(model, ctx.obj, **said)


@models_app.command("alias", cls=Command, epilog=epilog(
    "llmcli models alias fast openai/gpt-5-mini", "llmcli models alias", "llmcli models alias fast --remove"))  # fmt: skip
def models_alias(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The short name; without one, all are listed.", show_default=False)] = None,
    model: Annotated[str | None, typer.Argument(metavar="[PROVIDER/MODEL]", help="What it stands for.", show_default=False)] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the name.")] = False,
    json: Json = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """Give a model a short name (-m NAME), or list the names."""
    from llmcli.commands import choose as command

    said = _asked(ctx, json=json, config=config, no_config=no_config)
    command.alias(name, model, ctx.obj, remove=remove, **said)


@models_app.command("refresh", cls=Command, epilog=epilog(
    "llmcli models refresh", "llmcli models refresh echo", "llmcli models refresh ollama && llmcli models --cached"))  # fmt: skip
def models_refresh(
    ctx: typer.Context,
    provider: _Providers = None,
    timeout: _Timeout15 = None,
    json: Json = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Keep the lists of models for completion. They are asked for and stand in the cache directory; `models --cached` shows them."""
    from llmcli.commands import refresh_models as command

    said = _asked(ctx, timeout=timeout, json=json, config=config, no_config=no_config)
    command.run(provider or (), ctx.obj, **said)


# --- health ---------------------------------------------------------------------------------------

_HEALTH_EPILOG = epilog(
    "llmcli health", "llmcli health echo --chat", "llmcli health --json --timeout 5 || mail -s 'a model is down' me"
)


def health(
    ctx: typer.Context,
    provider: _Providers = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask each for one token too: its answer, and how long until it begins.")] = False,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="The most that all of it may take (10).")] = None,
    json: Json = False,
    color: Color = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """Check providers step by step: what is wrong, and what to do."""
    from llmcli.commands import health as command

    said = _asked(ctx, json=json, config=config, no_config=no_config)
    command.run(provider or (), ctx.obj, chat=chat, timeout=timeout, color=color or "auto", **said)


# --- providers ------------------------------------------------------------------------------------

_PROVIDERS_EPILOG = epilog(
    "llmcli providers --configured", "llmcli providers login openai", "llmcli providers use openai/gpt-5-mini"
)


@providers_app.callback(invoke_without_command=True)
def providers(
    ctx: typer.Context,
    configured: Annotated[bool, typer.Option("--configured", help="Only those that can be asked: with a key, or a table of their own.")] = False,
    capability: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only those that have it: stream, thinking, vision, tools, schema...; repeatable. Imports plugins.")] = None,
    load: Annotated[bool, typer.Option("--load", help="Import the plugins too, and show what each can do or what is wrong with it.")] = False,
    json: Json = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """List the providers; `providers show ID` shows all of one."""
    if ctx.invoked_subcommand is None:
        from llmcli.commands import providers as command

        said = _asked(ctx, json=json, config=config, no_config=no_config)
        command.run(ctx.obj, load=load, configured=configured, capability=capability or (), **said)


@providers_app.command("show", cls=Command, epilog=epilog(
    "llmcli providers show echo", "llmcli providers show openai --json", "llmcli providers show anthropic | grep key"))  # fmt: skip
def providers_show(
    ctx: typer.Context, provider: _Id, json: Json = False, config: Config = None, no_config: NoConfig = False
) -> None:
    """Show all of one provider. That is its settings, where its key comes from, what is peculiar to it..."""
    from llmcli.commands import providers as command

    said = _asked(ctx, json=json, config=config, no_config=no_config)
    command.show(provider, ctx.obj, **said)


@providers_app.command("login", cls=Command, epilog=epilog(
    "llmcli providers login openai", "pass show openai | llmcli providers login openai",
    "llmcli providers login anthropic --key-command 'pass show anthropic'"))  # fmt: skip
def providers_login(
    ctx: typer.Context,
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The provider; on a terminal, without one, what there is is shown and asked for.", show_default=False)] = None,  # noqa: A002
    key_file: Annotated[str | None, typer.Option(metavar="FILE", help="Take the key from FILE; it is copied.")] = None,
    key_command: Annotated[str | None, typer.Option(metavar="COMMAND", help="Have COMMAND print the key, each time that it is needed.")] = None,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep the key in the system's keyring (needs llmcli[keyring]) and not in a file.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", show_default=False, help="Try the key with one cheap request before it is kept (the default).")] = True,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """Give a provider its key. Typed unseen, from stdin, a file or a command; it is tried, and kept if it is accepted."""
    from llmcli.commands import login as command

    said = _with_parent(ctx, config=config, no_config=no_config)
    command.run(command.Arguments(id, key_file, key_command, keyring=keyring, test=test, **said), ctx.obj)


@providers_app.command("logout", cls=Command, epilog=epilog(
    "llmcli providers logout openai", "llmcli providers logout openai && llmcli providers show openai",
    "for id in openai groq; do llmcli providers logout $id; done"))  # fmt: skip
def providers_logout(ctx: typer.Context, provider: _Id, config: Config = None, no_config: NoConfig = False) -> None:
    """Forget the key that `login` has kept."""
    from llmcli.commands import kept_key as command

    command.logout(provider, ctx.obj, **_with_parent(ctx, config=config, no_config=no_config))


@providers_app.command("use", cls=Command, epilog=epilog(
    "llmcli providers use echo", "llmcli providers use anthropic/claude-haiku-4-5", "llmcli providers use fast"))  # fmt: skip
def providers_use(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="ID[/MODEL]", help="A provider, a model of one, or an alias.")],
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Choose what is asked when no model is named."""
    from llmcli.commands import choose as command

    command.use(model, ctx.obj, **_with_parent(ctx, config=config, no_config=no_config))


class _Add(Command):
    """`providers add`, two kinds of whose options belong together."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Its key": ("key_env", "key_command", "key_header"),
        "An API by expressions": ("path", "request", "content"),
        **Command.panels,
    }


@providers_app.command(
    "add",
    cls=_Add,
    epilog=epilog(
        "llmcli providers add work --base-url https://llm.example.com/v1 --default-model large",
        "llmcli providers add lab --base-url http://localhost:8000/v1 --key-env LAB_KEY",
        "llmcli providers add other --base-url https://other.example --path /chat --request '{q: prompt}' --content text",
    ),
)
def providers_add(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="How the provider is to be called: -m ID.")],  # noqa: A002
    adapter: Annotated[str | None, typer.Option(metavar="ID", help="Who speaks to it: openai-compatible (the default), http (an API by expressions), or any provider's id.")] = None,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="Where the API is.")] = None,
    default_model: Annotated[str | None, typer.Option(metavar="NAME", help="The model when none is named.")] = None,
    key_env: Annotated[str | None, typer.Option(metavar="NAME", help="The environment variable that holds the key.")] = None,
    key_command: Annotated[str | None, typer.Option(metavar="COMMAND", help="A command that prints the key.")] = None,
    key_header: Annotated[str | None, typer.Option(metavar="NAME", help="The header that the key goes into.")] = None,
    path: Annotated[str | None, typer.Option(metavar="PATH", help="What follows the base URL; with this and the next two the adapter is http.")] = None,
    request: Annotated[str | None, typer.Option(metavar="EXPR", help="The expression that makes the request.")] = None,
    content: Annotated[str | None, typer.Option(metavar="EXPR", help="The expression that finds the text of an answer.")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any other key, e.g. stream.delta=text; repeatable.")] = None,  # noqa: A002
    replace: Annotated[bool, typer.Option("--replace", help="Write the file anew if it is there.")] = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """Add a provider, by flags or by questions."""
    from llmcli.commands import add_provider as command

    said = _with_parent(ctx, config=config, no_config=no_config)
    command.run(command.Arguments(**{**ctx.params, **said, "set": set or ()}), ctx.obj)


@providers_app.command("remove", cls=Command, epilog=epilog(
    "llmcli providers remove work", "llmcli providers logout lab && llmcli providers remove lab",
    "llmcli providers remove old || echo 'it was not there'"))  # fmt: skip
def providers_remove(ctx: typer.Context, provider: _Id, config: Config = None, no_config: NoConfig = False) -> None:
    """Undo `add`. The file of the provider goes, and the default if it was that."""
    from llmcli.commands import choose as command

    command.remove(provider, ctx.obj, **_with_parent(ctx, config=config, no_config=no_config))


@providers_app.command("read", cls=Command, epilog=epilog(
    "curl -s https://acme.example/chat -d @request.json | llmcli providers read acme",
    "llmcli providers read acme answer.json", "llmcli providers read acme --stream stream.txt --json"))  # fmt: skip
def providers_read(
    ctx: typer.Context,
    provider: _Id,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="The sample; default: stdin.", show_default=False)] = None,
    stream: Annotated[bool, typer.Option("--stream", help="It is a streamed answer.")] = False,
    status: Annotated[int, typer.Option(help="The HTTP status that it came with.")] = 200,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model, where it has keys of its own.")] = None,
    json: Json = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:  # fmt: skip
    """Show what is read in a sample answer."""
    from llmcli.commands import read_sample as command

    said = _asked(ctx, json=json, config=config, no_config=no_config)
    command.run(provider, file, ctx.obj, stream=stream, status=status, model=model, **said)


@providers_app.command("check", cls=Command, epilog=epilog(
    "llmcli providers check echo", "llmcli providers check acme --live", "llmcli providers check acme --live -m acme-large --json"))  # fmt: skip
def providers_check(
    ctx: typer.Context,
    provider: _Id,
    live: Annotated[bool, typer.Option("--live", help="Ask the service too: some cheap questions.")] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model to ask.")] = None,
    json: Json = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Check a provider as its author would."""
    from llmcli.commands import check_provider as command

    said = _asked(ctx, json=json, config=config, no_config=no_config)
    command.run(provider, ctx.obj, live=live, model=model, **said)


@providers_app.command("new", cls=Command, epilog=epilog(
    "llmcli providers new acme", "llmcli providers new acme --template http", "llmcli providers new acme --directory ~/src"))  # fmt: skip
def providers_new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The id of the new provider.")],
    template: Annotated[Literal["plugin", "openai-compatible", "http"], typer.Option(help="A package with a class, one for an OpenAI-compatible service, or a table.")] = "plugin",
    directory: Annotated[str | None, typer.Option(metavar="DIR", help="Where to write it; default: here.")] = None,
) -> None:  # fmt: skip
    """Write a package or a table to begin with."""
    from llmcli.commands import new_provider as command

    command.run(name, template, ctx.obj, directory=directory)


# --- templates ------------------------------------------------------------------------------------

_TEMPLATES_EPILOG = epilog(
    "llmcli templates",
    "llmcli templates show review",
    "git diff | llmcli chat --template review --var language=Python",
)


@templates_app.callback(invoke_without_command=True)
def templates(ctx: typer.Context, json: Json = False) -> None:
    """List the templates of prompts: their names, their variables, what they are for."""
    if ctx.invoked_subcommand is None:
        _list_templates(ctx, json)


@templates_app.command("list", cls=Command, epilog=epilog(
    "llmcli templates list", "llmcli templates list --json", "llmcli templates list | cut -f1"))  # fmt: skip
def templates_list(ctx: typer.Context, json: Json = False) -> None:
    """List them: in a pipe as lines of name, variables, model and what it is for."""
    _list_templates(ctx, json)


def _list_templates(ctx: typer.Context, json: bool) -> None:
    from llmcli.commands import templates as command

    command.run(ctx.obj, **_asked(ctx, json=json))


@templates_app.command("show", cls=Command, epilog=epilog(
    "llmcli templates show review", "llmcli templates show review --json",
    "llmcli templates show review > /dev/null || echo 'it is broken'"))  # fmt: skip
def templates_show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; `llmcli templates` lists them.")],
    json: Json = False,
) -> None:
    """Show all that one template says, checked."""
    from llmcli.commands import templates as command

    command.show(name, ctx.obj, **_asked(ctx, json=json))


# --- completions ----------------------------------------------------------------------------------

_COMPLETIONS_EPILOG = epilog(
    "llmcli completions bash > ~/.local/share/bash-completion/completions/llmcli",
    "llmcli completions zsh > ~/.zfunc/_llmcli    # which fpath has before compinit",
    "llmcli completions fish > ~/.config/fish/completions/llmcli.fish",
)


def completions(
    ctx: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script for a shell. An installation puts it in place by itself where it can."""
    from llmcli.commands import completions as command

    command.run(shell, ctx.obj)
