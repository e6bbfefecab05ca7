"""
The command line: options, help, and the outermost catcher. Layer 4: the only importer of typer.

Each command's body begins with the one import of its module: what `--help` does not need is not loaded for it.
"""

import io
import os
import sys
import traceback
from typing import Annotated, Any, Literal, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from llmcli import __version__, signals
from llmcli.errors import LlmError, UsageError
from llmcli.output import Printed, ReaderGone, Stdout, error_document, error_line, json_text, one_line
from llmcli.world import World

models_app = typer.Typer(help="List the models of each provider.", rich_markup_mode=None)
providers_app = typer.Typer(help="List the providers, or show all of one.", rich_markup_mode=None)

_Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Read FILE instead of LLMCLI_CONFIG or config.toml."),
]
_NoConfig = Annotated[bool, typer.Option("--no-config", help="Read no configuration file.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmcli {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Talk to any language model from shell scripts and pipes."""


def chat(
    ctx: typer.Context,
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROMPT]...", help="Words, joined by spaces. `{stdin}` says where stdin goes; `-` is stdin.", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="PROVIDER/MODEL", help="The model; a provider's id alone means its default model. Not said: LLMCLI_MODEL, then `default` of the configuration.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", "-p", metavar="ID", help="The provider; --model is then taken verbatim.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="Where the API is.")] = None,
    api_key_file: Annotated[str | None, typer.Option("--api-key-file", metavar="FILE", help="Read the key from FILE.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system prompt.")] = None,
    file: Annotated[list[str] | None, typer.Option("--file", "-f", metavar="FILE", help="Add a text file with its name; repeatable.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens of the answer.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling.")] = None,
    stop: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="End the answer at TEXT; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="For an answer that can be had again.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the provider's own, past every check of ours; repeatable.")] = None,
    stream: Annotated[bool | None, typer.Option("--stream/--no-stream", help="Ask for the answer in pieces (the default where the provider can) or whole.")] = None,
    format: Annotated[Literal["text", "markdown", "json", "jsonl"] | None, typer.Option("--format", envvar="LLMCLI_FORMAT", help="Default: markdown on a terminal, text elsewhere.")] = None,  # noqa: A002
    json: Annotated[bool, typer.Option("--json", help="One JSON document when the answer is complete.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A JSON line for each piece; the last has done: true.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The model's bytes, also to a terminal.")] = False,
    show_thinking: Annotated[bool | None, typer.Option("--show-thinking/--hide-thinking", help="Thinking on stderr; default: when stderr is a terminal.")] = None,
    extract: Annotated[bool, typer.Option("--extract", "-x", help="Only the first fenced code block; exit 13 without one.")] = False,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE when complete; a partial answer stays as FILE.part.")] = None,
    usage: Annotated[bool, typer.Option("--usage", help="A line with the token counts on stderr.")] = False,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", "-n", help="Leave stdin alone (in loops).")] = False,
    timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_TIMEOUT", metavar="SECONDS", min=0, help="For everything, from the start of the process.")] = None,
    connect_timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_CONNECT_TIMEOUT", metavar="SECONDS", min=0, help="For DNS, connect, proxy and TLS together (5).")] = None,
    first_timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_FIRST_TIMEOUT", metavar="SECONDS", min=0, help="For the first event of the answer (120).")] = None,
    idle_timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_IDLE_TIMEOUT", metavar="SECONDS", min=0, help="Between complete events (60).")] = None,
    retries: Annotated[int | None, typer.Option(envvar="LLMCLI_RETRIES", min=0, help="Further attempts before any output (2).")] = None,
    retry_max_wait: Annotated[float | None, typer.Option(envvar="LLMCLI_RETRY_MAX_WAIT", metavar="SECONDS", min=0, help="The longest wait that a provider may ask for (60).")] = None,
    strict: Annotated[bool | None, typer.Option("--strict/--no-strict", help="Exit 12 when the model stops at a limit or a filter.")] = None,
    fallback: Annotated[list[str] | None, typer.Option(metavar="PROVIDER/MODEL", help="Ask this one when the first cannot be had; only before any output; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request, without the key, and send nothing.")] = False,
    curl: Annotated[bool, typer.Option("--curl", help="Print a curl command that does the same.")] = False,
    config: _Config = None,
    no_config: _NoConfig = False,
    ca_bundle: Annotated[str | None, typer.Option(envvar="LLMCLI_CA_BUNDLE", metavar="PATH", help="Certificates to trust: a file or a hashed directory.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Request, answer, timings on stderr; redacted.")] = False,
    log_file: Annotated[str | None, typer.Option(envvar="LLMCLI_LOG_FILE", metavar="FILE", help="The same as JSON lines, appended to FILE.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
    color: Annotated[Literal["auto", "always", "never"] | None, typer.Option(envvar="LLMCLI_COLOR", help="Colour; NO_COLOR is honoured.")] = None,
) -> None:  # fmt: skip
    """Ask a model: words, files and stdin in, its answer on stdout."""
    from llmcli.commands import chat as command

    world: World = ctx.obj
    world.quiet, world.debug = quiet, debug
    given: dict[str, Any] = {
        name: () if value is None and name in _REPEATABLE else value for name, value in ctx.params.items()
    }
    if any(given[flag] for flag in ("json", "jsonl", "extract")) and _from_environment(ctx, "format"):
        given["format"] = None  # a variable must not contradict a flag
    world.json_errors = given["json"] or given["jsonl"] or given["format"] in ("json", "jsonl")
    command.run(command.Arguments(**given), world)


_REPEATABLE = frozenset({"prompt", "file", "stop", "option", "fallback"})


def _from_environment(ctx: typer.Context, parameter: str) -> bool:
    source = ctx.get_parameter_source(parameter)
    return source is not None and source.name == "ENVIRONMENT"


@models_app.callback(invoke_without_command=True)
def models(ctx: typer.Context, config: _Config = None, no_config: _NoConfig = False, json: _Json = False) -> None:
    """List the models of each provider that can be asked; `models list PROVIDER` asks one."""
    if ctx.invoked_subcommand is None:
        _list_models(ctx.obj, (), config=config, no_config=no_config, json=json)


@models_app.command("list")
def models_list(
    ctx: typer.Context,
    provider: Annotated[list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Ids; default: all that have their key.")] = None,
    config: _Config = None,
    no_config: _NoConfig = False,
    json: _Json = False,
) -> None:  # fmt: skip
    """List the models of the named providers, live."""
    config, no_config, json = _with_parent(ctx, config, no_config, json)
    _list_models(ctx.obj, provider or (), config=config, no_config=no_config, json=json)


def _with_parent(ctx: typer.Context, config: str | None, no_config: bool, json: bool) -> tuple[str | None, bool, bool]:
    """What was said before the subcommand (`models --json list`) holds as if it had been said behind it."""
    above = ctx.parent.params if ctx.parent else {}
    return config or above.get("config"), no_config or above["no_config"], json or above["json"]


def _list_models(
    world: World, names: "list[str] | tuple[()]", *, config: str | None, no_config: bool, json: bool
) -> None:
    from llmcli.commands import models as command

    world.json_errors = json
    command.run(names, world, config=config, no_config=no_config, as_json=json)


def health(
    ctx: typer.Context,
    provider: Annotated[list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Ids; default: all that have their key.")] = None,
    config: _Config = None,
    no_config: _NoConfig = False,
    json: _Json = False,
) -> None:  # fmt: skip
    """Check whether each provider is there and takes its key."""
    from llmcli.commands import health as command

    world: World = ctx.obj
    world.json_errors = json
    command.run(provider or (), world, config=config, no_config=no_config, as_json=json)


@providers_app.callback(invoke_without_command=True)
def providers(
    ctx: typer.Context,
    load: Annotated[bool, typer.Option("--load", help="Import the plugins too, and show what each can do or what is wrong with it.")] = False,
    config: _Config = None,
    no_config: _NoConfig = False,
    json: _Json = False,
) -> None:  # fmt: skip
    """List the providers; `providers show ID` shows all of one."""
    if ctx.invoked_subcommand is None:
        from llmcli.commands import providers as command

        command.run(ctx.obj, config=config, no_config=no_config, load=load, as_json=json)


@providers_app.command("show")
def providers_show(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="ID")],
    config: _Config = None,
    no_config: _NoConfig = False,
    json: _Json = False,
) -> None:
    """Show all of one provider."""
    from llmcli.commands import providers as command

    config, no_config, json = _with_parent(ctx, config, no_config, json)
    world: World = ctx.obj
    world.json_errors = json
    command.show(provider, world, config=config, no_config=no_config, as_json=json)


@providers_app.command(
    "add", epilog="Example: llmcli providers add work --base-url https://llm.example.com/v1 --default-model large"
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
    config: _Config = None,
    no_config: _NoConfig = False,
) -> None:  # fmt: skip
    """Add a provider, by flags or by questions."""
    from llmcli.commands import add_provider as command

    command.run(command.Arguments(**{**ctx.params, "set": set or ()}), ctx.obj)


@providers_app.command("read", epilog="Example: curl ... | llmcli providers read acme")
def providers_read(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="ID")],
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="The sample; default: stdin.", show_default=False)] = None,
    stream: Annotated[bool, typer.Option("--stream", help="It is a streamed answer.")] = False,
    status: Annotated[int, typer.Option(help="The HTTP status that it came with.")] = 200,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model, where it has keys of its own.")] = None,
    config: _Config = None,
    no_config: _NoConfig = False,
    json: _Json = False,
) -> None:  # fmt: skip
    """Show what is read in a sample answer."""
    from llmcli.commands import read_sample as command

    world: World = ctx.obj
    config, no_config, world.json_errors = _with_parent(ctx, config, no_config, json)
    command.run(
        provider, file, world, stream=stream, status=status, model=model, config=config, no_config=no_config,
        as_json=world.json_errors,
    )  # fmt: skip


@providers_app.command("check")
def providers_check(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="ID")],
    live: Annotated[bool, typer.Option("--live", help="Ask the service too: some cheap questions.")] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model to ask.")] = None,
    config: _Config = None,
    no_config: _NoConfig = False,
    json: _Json = False,
) -> None:  # fmt: skip
    """Check a provider as its author would."""
    from llmcli.commands import check_provider as command

    world: World = ctx.obj
    config, no_config, world.json_errors = _with_parent(ctx, config, no_config, json)
    command.run(provider, world, live=live, model=model, config=config, no_config=no_config, as_json=world.json_errors)


@providers_app.command("new")
def providers_new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The id of the new provider.")],
    template: Annotated[Literal["plugin", "openai-compatible", "http"], typer.Option(help="A package with a class, one for an OpenAI-compatible service, or a table.")] = "plugin",
    directory: Annotated[str | None, typer.Option(metavar="DIR", help="Where to write it; default: here.")] = None,
) -> None:  # fmt: skip
    """Write a package or a table to begin with."""
    from llmcli.commands import new_provider as command

    command.run(name, template, ctx.obj, directory=directory)


class _Commands(TyperGroup):
    """Our commands; the help lists those of plugins below them."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        super().format_commands(ctx, formatter)
        from llmcli import plugins

        rows = [
            (one_line(name), one_line(f"{plugin.summary or 'no summary'} ({plugin.origin})"))
            for name, plugin in plugins.labels(plugins.COMMANDS, self.commands)
        ]
        if rows:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(rows)


def command_line(first: str | None = None) -> typer.Typer:
    """
    The commands that a command line with this first word can mean: all of them, or `chat` alone. typer builds the
    parser of every command that it is given, and a call in a loop should pay for its own only.
    """
    app = typer.Typer(
        name="llmcli",
        cls=_Commands,
        help="Talk to any language model from shell scripts and pipes.",
        epilog="Exit statuses: 0 ok, 2 usage, 3 configuration, 4 key, 5 rejected, 6 busy, 7 network, 8 provider, 9 quota, "
        "10 incomplete, 11 output, 12 finished early (--strict), 13 form.",
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    app.command(
        epilog='A prompt from a variable is written after `--`: llmcli chat -n -- "$question". '
        "Exit statuses: docs/exit-status.md."
    )(chat)
    if first != "chat":
        app.command()(health)
        app.add_typer(models_app, name="models")
        app.add_typer(providers_app, name="providers")
    return app


def run(argv: list[str], *, started: float, stdin: int | None = 0) -> int:
    """Run a command line and return its exit status. The only place that catches everything."""
    world = World(dict(os.environ), _config_directory(), stdin=stdin, started=started)
    try:
        world.stdout = os.dup(1)  # which no plugin knows
        sys.stdout = io.TextIOWrapper(Printed(Stdout()), encoding="utf-8", write_through=True)
        first = argv[0] if argv else None
        command = cast(_Commands, get_command(command_line(first)))
        if first is not None and first not in command.commands and not first.startswith("-"):
            status = _run_plugin(first, argv[1:], world)
            if status is not None:
                sys.exit(status)  # by the long way out, on which Python ends what a stranger has begun
        return int(command(argv, prog_name="llmcli", standalone_mode=False, obj=world) or 0)
    except ReaderGone:
        signals.die(signals.SIGPIPE)
    except signals.Interrupted as exc:
        signals.die(exc.number)
    except LlmError as exc:
        return _report(exc, world)
    except typer.Abort:
        signals.die(signals.SIGINT)
    except typer.TyperException as exc:
        if not argv:  # the help, which typer raises where nothing was asked
            world.write_stderr(f"{exc.format_message()}\n")
            return UsageError.status
        world.json_errors = world.json_errors or not {"--json", "--jsonl", "json", "jsonl"}.isdisjoint(argv)
        return _report(_usage_error(exc), world)
    except MemoryError:
        return _report(LlmError("out of memory", hint="see `ulimit -v`; a shorter prompt needs less"), world)
    except Exception as exc:
        return _report_bug(exc, world)


def _run_plugin(name: str, argv: list[str], world: World) -> int | None:
    """Run the command that a plugin adds, and return its exit status; `None` where no plugin adds it."""
    from llmcli import plugins

    claims = plugins.named(plugins.COMMANDS, name)
    if not claims:
        return None
    from llmcli.commands import plugin as command

    return command.run(plugins.the_one(claims), argv, world)


def _config_directory() -> str | None:
    """
    The user's configuration directory; `None` where there is no home to have one in. A relative one would be a file of
    the current directory, which anybody may have written: the XDG specification has it ignored.
    """
    directory = typer.get_app_dir("llmcli")
    if not os.path.isabs(directory):
        directory = os.path.expanduser("~/.config/llmcli")
    return directory if os.path.isabs(directory) else None


def _usage_error(exc: typer.TyperException) -> UsageError:
    text = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    context = getattr(exc, "ctx", None)
    command = context.command_path if context else "llmcli"
    hint = f"see `{command} --help`"
    if "No such option" in text and command == "llmcli chat":
        hint = 'a prompt that begins with `-` is written after `--`: llmcli chat -- "$prompt"'
    return UsageError(text.rstrip(".").replace("\n", " "), hint=hint)


def _report(error: LlmError, world: World) -> int:
    """One line that says what happened, one that says what to do next; or a JSON document as the last line."""
    if world.debug:
        world.say("".join(traceback.format_exception(error)).rstrip())
    if world.json_errors:
        world.say(json_text(error_document(error)))
    else:
        world.say(error_line(error))
        if error.hint:
            world.say(f"hint: {error.hint}")
    return error.status


def _report_bug(exc: Exception, world: World) -> int:
    error = LlmError(
        f"internal error: {type(exc).__name__}: {exc}", hint="this is a bug in llmcli; --debug shows where"
    )
    error.__cause__ = exc
    return _report(error, world)
