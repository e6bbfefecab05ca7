"""
The command line: `chat`, the program's own options, and the outermost catcher. Layer 4: with `cli_setup` (the other
commands) and `cli_options` (what they share) the only importer of typer.

Each command's body begins with the one import of its module: what `--help` does not need is not loaded for it.
"""

import io
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

import typer
from typer.main import get_command

from llmcli import __version__, signals
from llmcli.cli_options import Color, Command, Config, Group, NoConfig, epilog
from llmcli.errors import LlmError, UsageError
from llmcli.output import Printed, ReaderGone, Stdout, error_document, error_line, json_text, one_line
from llmcli.world import World


def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="With --version: Python, plugins, paths; what a report of a bug needs.")] = False,
) -> None:  # fmt: skip
    """Talk to any language model from shell scripts and pipes."""
    if version and verbose:
        from llmcli.commands import version as command

        command.run(ctx.obj)
    elif version:
        typer.echo(f"llmcli {__version__}")
    elif ctx.invoked_subcommand is None:
        raise UsageError("--verbose belongs to a command, or to --version", hint="see `llmcli --help`")
    if version:
        raise typer.Exit


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
    attach: Annotated[list[str] | None, typer.Option("--attach", "-a", metavar="FILE|URL", help="Attach a picture, a PDF or a sound; `-` is stdin; repeatable.")] = None,
    attach_private: Annotated[bool, typer.Option("--attach-private", help="Fetch URLs of -a here, also from this machine and its network.")] = False,
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Ask what a template says; `llmcli templates` lists them.")] = None,
    var: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="The value of a variable of the template; repeatable.")] = None,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", "-n", help="Leave stdin alone (in loops).")] = False,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens of the answer.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling.")] = None,
    stop: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="End the answer at TEXT; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="For an answer that can be had again.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the provider's own, past every check of ours; repeatable.")] = None,
    thinking: Annotated[str | None, typer.Option(metavar="off|low|medium|high|TOKENS", help="How much the model is to think, said as its provider wants it.")] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Have the prompt continued as it is: no chat, no system prompt.")] = False,
    schema: Annotated[str | None, typer.Option(metavar="SCHEMA", help="Have the answer satisfy a JSON schema: a file, JSON, or fields ('name: str, age: int'). It is one JSON document, or exit 13.")] = None,
    schema_multi: Annotated[bool, typer.Option("--schema-multi", help="The answer is a list of such values.")] = False,
    schema_retries: Annotated[int | None, typer.Option(metavar="N", min=0, help="How often an answer that does not satisfy the schema is sent back: once, unless said.", show_default=False)] = None,
    tool: Annotated[list[str] | None, typer.Option(metavar="FILE.py[:NAME]", help="Let the model call the functions of a Python file, or the one of this name; or a tool by its name: [tools.NAME] of the configuration, or an installed one; repeatable.")] = None,
    tool_defs: Annotated[str | None, typer.Option(metavar="FILE", help="Tools as OpenAI's JSON defines them: calls are shown (--json, --jsonl) and nothing is run.")] = None,
    tool_choice: Annotated[str | None, typer.Option(metavar="auto|none|required|NAME", help="Whether the model may, may not or must call a tool first, or which.")] = None,
    max_tool_rounds: Annotated[int | None, typer.Option(metavar="N", min=1, help="The most rounds of calls: 10 unless said; exit 10 when there are more.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Run every tool that is named, without asking.")] = False,
    allow_tool: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Run this one without asking; repeatable.")] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="NAME", help="Go on with the session of this name, or begin it: what is said is kept on disk.")] = None,
    continue_: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the session that was used last.")] = False,
    stream: Annotated[bool | None, typer.Option("--stream/--no-stream", help="Ask for the answer in pieces (the default where the provider can) or whole.")] = None,
    format: Annotated[Literal["text", "markdown", "json", "jsonl"] | None, typer.Option("--format", envvar="LLMCLI_FORMAT", help="Default: markdown on a terminal, text elsewhere.")] = None,  # noqa: A002
    json: Annotated[bool, typer.Option("--json", help="One JSON document when the answer is complete.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A JSON line for each piece; the last has done: true.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The model's bytes, also to a terminal.")] = False,
    extract: Annotated[bool, typer.Option("--extract", "-x", help="Only the first fenced code block; exit 13 without one.")] = False,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE when complete; a partial answer stays as FILE.part.")] = None,
    show_thinking: Annotated[bool | None, typer.Option("--show-thinking/--hide-thinking", help="Thinking on stderr; default: when stderr is a terminal.")] = None,
    usage: Annotated[bool, typer.Option("--usage", help="A line with the token counts on stderr.")] = False,
    color: Color = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
    timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_TIMEOUT", metavar="SECONDS", min=0, help="For everything, from the start of the process.")] = None,
    connect_timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_CONNECT_TIMEOUT", metavar="SECONDS", min=0, help="For DNS, connect, proxy and TLS together (5).")] = None,
    first_timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_FIRST_TIMEOUT", metavar="SECONDS", min=0, help="For the first event of the answer (120).")] = None,
    idle_timeout: Annotated[float | None, typer.Option(envvar="LLMCLI_IDLE_TIMEOUT", metavar="SECONDS", min=0, help="Between complete events (60).")] = None,
    retries: Annotated[int | None, typer.Option(envvar="LLMCLI_RETRIES", min=0, help="Further attempts before any output (2).")] = None,
    retry_max_wait: Annotated[float | None, typer.Option(envvar="LLMCLI_RETRY_MAX_WAIT", metavar="SECONDS", min=0, help="The longest wait that a provider may ask for (60).")] = None,
    fallback: Annotated[list[str] | None, typer.Option(metavar="PROVIDER/MODEL", help="Ask this one when the first cannot be had; only before any output; repeatable.")] = None,
    strict: Annotated[bool | None, typer.Option("--strict/--no-strict", help="Exit 12 when the model stops at a limit or a filter.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request, without the key, and send nothing.")] = False,
    curl: Annotated[bool, typer.Option("--curl", help="Print a curl command that does the same.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Request, answer, timings on stderr; redacted.")] = False,
    log_file: Annotated[str | None, typer.Option(envvar="LLMCLI_LOG_FILE", metavar="FILE", help="The same as JSON lines, appended to FILE.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    config: Config = None,
    no_config: NoConfig = False,
    ca_bundle: Annotated[str | None, typer.Option(envvar="LLMCLI_CA_BUNDLE", metavar="PATH", help="Certificates to trust: a file or a hashed directory.")] = None,
) -> None:  # fmt: skip
    """Ask a model: words, files and stdin in, its answer on stdout. Nothing asked on a terminal: a conversation."""
    from llmcli.commands import chat as command
    from llmcli.commands.chat_arguments import Arguments

    world: World = ctx.obj
    world.quiet, world.debug = quiet, debug
    given: dict[str, Any] = {
        name: () if value is None and name in _REPEATABLE else value for name, value in ctx.params.items()
    }
    if any(given[flag] for flag in ("json", "jsonl", "extract")) and _from_environment(ctx, "format"):
        given["format"] = None  # a variable must not contradict a flag
    world.json_errors = given["json"] or given["jsonl"] or given["format"] in ("json", "jsonl")
    command.run(Arguments(**given), world)


_CHAT_EPILOG = epilog(
    'llmcli chat -m echo "hello, world"',
    'git diff | llmcli chat -m anthropic "write a commit message"',
    'for f in *.txt; do llmcli chat -n -m ollama -f "$f" -- "$question" || echo "$? $f" >> failed; done',
    statuses="Exit status 0 means that the whole answer was written; `llmcli --help` lists the others. "
    "`--option fail=429` and its kin make -m echo fail, to try a script's error handling.",
)
_REPEATABLE = frozenset({"prompt", "file", "attach", "var", "stop", "option", "fallback", "tool", "allow_tool"})


def _from_environment(ctx: typer.Context, parameter: str) -> bool:
    source = ctx.get_parameter_source(parameter)
    return source is not None and source.name == "ENVIRONMENT"


class _Chat(Command):
    """`chat`, whose options are many."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Where it is": ("base_url", "api_key_file"),
        "What goes in": ("system", "file", "attach", "attach_private", "template", "var", "no_stdin"),
        "What is asked for": ("temperature", "max_tokens", "top_p", "stop", "seed", "option", "thinking", "complete", "schema", "schema_multi", "schema_retries", "stream"),
        "A conversation": ("session", "continue_"),
        "Tools": ("tool", "tool_defs", "tool_choice", "max_tool_rounds", "yes", "allow_tool"),
        "What comes out": ("format", "json", "jsonl", "raw", "extract", "output", "show_thinking", "usage", "color", "quiet"),
        "Time and failures": ("timeout", "connect_timeout", "first_timeout", "idle_timeout", "retries", "retry_max_wait", "fallback", "strict"),
        "Looking closer": ("dry_run", "curl", "verbose", "log_file", "debug"),
        **Command.panels,
    }  # fmt: skip


class _Commands(Group):
    """Our commands; the help lists those of plugins below them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """In the order in which they are met."""
        return [
            name
            for name in ("chat", "sessions", "models", "health", "providers", "templates", "completions")
            if name in self.commands
        ]

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


def command_line(first: str | None = None, columns: int = 80) -> typer.Typer:
    """
    The commands that a command line with this first word can mean: one of ours, or all of them. typer builds the
    parser of every command that it is given, and a call in a loop should pay for its own only. `columns`: how wide a
    help may be, for which typer itself takes no less than 50.
    """
    app = typer.Typer(
        name="llmcli",
        cls=_Commands,
        help="Talk to any language model from shell scripts and pipes.",
        epilog=epilog(
            'llmcli chat -m echo "hello, world"',
            "llmcli health",
            "llmcli providers login openai && llmcli providers use openai",
            statuses="Exit statuses: 0 ok, 2 usage, 3 configuration, 4 key, 5 rejected, 6 busy, 7 network, 8 provider, 9 quota, "
            "10 incomplete, 11 output, 12 finished early (--strict), 13 form.",
        ),
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "terminal_width": max(20, min(columns, 80) - 2)},
    )
    app.callback(invoke_without_command=True)(root)
    app.command(cls=_Chat, epilog=_CHAT_EPILOG)(chat)
    if first != "chat":
        from llmcli import cli_setup

        cli_setup.add_to(app, first)
    return app


def run(argv: list[str], *, started: float, stdin: int | None = 0) -> int:
    """Run a command line and return its exit status. The only place that catches everything."""
    world = World(dict(os.environ), _config_directory(), stdin=stdin, started=started)
    try:
        world.stdout = os.dup(1)  # which no plugin knows
        sys.stdout = io.TextIOWrapper(Printed(Stdout()), encoding="utf-8", write_through=True)
        first = argv[0] if argv else None
        command = cast(_Commands, get_command(command_line(first, world.columns())))
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
    The user's configuration directory: of XDG_CONFIG_HOME, else as the system has it; `None` where there is no home to
    have one in. A relative one would be a file of the current directory, which anybody may have written: the XDG
    specification has it ignored.
    """
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    directory = f"{configured}/llmcli" if os.path.isabs(configured) else typer.get_app_dir("llmcli")
    if not os.path.isabs(directory):
        directory = os.path.expanduser("~/.config/llmcli")
    return directory if os.path.isabs(directory) else None


def _usage_error(exc: typer.TyperException) -> UsageError:
    text = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    context = getattr(exc, "ctx", None)
    command = context.command_path if context else "llmcli"
    hint = (
        "`llmcli models list PROVIDER` lists those of one" if command == "llmcli models" else f"see `{command} --help`"
    )
    option = getattr(exc, "option_name", None)
    if option and hasattr(exc, "possibilities"):  # an option that there is not
        from llmcli.config import nearest

        near = nearest(option, exc.possibilities or ())
        text = f"no such option: {option}" + (f"; did you mean {near}?" if near else "")
        if command == "llmcli chat":
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
