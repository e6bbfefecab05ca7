"""
Writes the pages of the documentation that are read off the code: `python docs/generate.py` writes them, `--check`
says which are out of date and exits 1.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from llmcli import registry
from llmcli.config import (
    API_KEY_KEYS,
    CHAT_KEYS,
    PROVIDER_KEYS,
    SETTING_KEYS,
    TIMEOUT_KEYS,
    TOOL_KEYS,
    TOP_KEYS,
    Config,
    Key,
)
from llmcli.errors import EXIT_STATUSES
from llmcli.provider import Provider

HERE = Path(__file__).parent
PLUGINS = HERE.parent / "plugins"
WORDS = {str: "text", int: "number", float: "number", bool: "true / false", list: "list", dict: "table"}


def main() -> int:
    """Write or check every generated page."""
    stale = []
    pages = {
        "exit-status.md": exit_status(),
        "configuration.md": configuration(),
        "providers.md": providers(),
        "any-api.md": any_api(),
    }
    for name, text in pages.items():
        path = HERE / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run `python docs/generate.py`", file=sys.stderr)
        return 1
    return 0


def exit_status() -> str:
    """The page of exit statuses."""
    rows = "\n".join(
        f"| {code} | `{name}` | {what} | {then} |".replace("| head", "head")  # a bar ends a cell
        for code, (name, what, then) in EXIT_STATUSES.items()
    )
    return EXIT_STATUS_PAGE.replace("ROWS", rows)


def configuration() -> str:
    """The reference of the configuration."""
    own = "\n".join(_own_keys())
    return (
        CONFIGURATION_PAGE.replace("TOP_ROWS", _rows(TOP_KEYS))
        .replace("CHAT_ROWS", _rows(CHAT_KEYS))
        .replace("TIMEOUT_ROWS", _rows(TIMEOUT_KEYS))
        .replace("TOOL_ROWS", _rows(TOOL_KEYS))
        .replace("API_KEY_ROWS", _rows(API_KEY_KEYS))
        .replace("PROVIDER_ROWS", _rows(PROVIDER_KEYS))
        .replace("SETTING_ROWS", _rows(SETTING_KEYS))
        .replace("OWN_ROWS", own)
        .replace("NESTED_TABLES", "\n\n".join(_nested_tables()))
    )


def providers() -> str:
    """The page of the providers: those that are built in, and the packages that add more."""
    classes = [registry.load(provider_id, Config()) for provider_id in registry.BUILT_IN]
    return (
        PROVIDERS_PAGE.replace("BUILT_IN_ROWS", "\n".join(map(_provider_row, classes)))
        .replace("PACKAGE_ROWS", "\n".join(_package_rows()))
        .replace("ONE_BY_ONE", "\n\n".join(map(_one_provider, classes)))
    )


def any_api() -> str:
    """The page about tables, with each example as it is in its file: a comment names the file, the block follows."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n```toml\n{(HERE / found[1]).read_text()}```\n"

    page = (HERE / "any-api.md").read_text()
    return re.sub(r"<!-- (tables/[\w.-]+) -->\n(?:```toml\n.*?```\n)?", block, page, flags=re.DOTALL)


def _rows(keys: Mapping[str, Key]) -> str:
    return "\n".join(
        f"| `{name}` | {' or '.join(dict.fromkeys(WORDS[kind] for kind in key.types))} | {_plain(key.help)} |"
        for name, key in keys.items()
    )


def _provider_row(cls: type[Provider]) -> str:
    url = f"`{cls.default_base_url}`" if cls.default_base_url else "-"
    return f"| [`{cls.id}`](#{cls.id}) | {cls.name} | {url} | {', '.join(cls.capabilities.names())} |"


def _one_provider(cls: type[Provider]) -> str:
    """All of one, a line for each fact that there is. Keys of the configuration stand with the class that has them."""
    key = cls.api_key
    own = vars(cls).get("config_keys", ())
    sources = " or ".join(f"`{name}`" for name in key.env)
    facts = {
        "Address": _address(cls),
        f"Key ({'needed' if key.required else 'if it wants one'})": sources if key.required or sources else "",
        "Where to get one" if key.required else "About the key": _linked(key.hint),
        "Default model": f"`{cls.default_model}`" if cls.default_model else "",
        "Its own keys of the configuration": ", ".join(f"`{name}`" for name in own),
        "Its own options": ", ".join(f"`{name}`" for name in cls.options or ()),
    }
    lines = [f"- {name}: {fact}" for name, fact in facts.items() if fact]
    return "\n".join([f"### {cls.id}", "", f"{cls.name}.", "", *lines, *(f"- {_plain(quirk)}" for quirk in cls.quirks)])


def _address(cls: type[Provider]) -> str:
    known = f"`{cls.default_base_url}`" if cls.default_base_url else ""
    moved = " or ".join(f"`{name}`" for name in cls.base_url_env)
    if known and moved:
        return f"{known}, or that in {moved}"
    return known or (f"that in {moved}" if moved else "")


def _linked(hint: str) -> str:
    """A hint with its address as a link, and nothing in it that Markdown would take for its own."""
    return re.sub(r"https://[^\s,]+[^\s,.]", r"<\g<0>>", _plain(hint))


def _plain(text: str) -> str:
    """A sentence of the code without what Markdown would take for HTML; what stands in backquotes is left alone."""
    return re.sub(r"`[^`]*`|<", lambda found: "&lt;" if found[0] == "<" else found[0], text)


def _package_rows() -> Iterator[str]:
    """The packages of `plugins/`, as their metadata tells of them."""
    for file in sorted(PLUGINS.glob("*/pyproject.toml")):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        ids = ", ".join(f"`{name}`" for name in project["entry-points"]["llmcli.providers"])
        what = re.sub(r",? for llmcli$", "", project["description"])
        yield f"| `{project['name']}` | {ids} | {what} |"


def _own_keys() -> list[str]:
    """The keys that provider classes declare for themselves. One that a class inherits is told of once."""
    rows = []
    told: set[tuple[str, str]] = set()
    for provider_id in registry.BUILT_IN:
        for name, key in registry.load(provider_id, Config()).config_keys.items():
            if (name, key.help) in told:
                continue
            told.add((name, key.help))
            env = ", ".join(f"`{variable}`" for variable in key.env) or "-"
            rows.append(f"| `{provider_id}` | `{name}` | {WORDS[key.type]} | {env} | {_plain(key.help)} |")
    return rows


def _nested_tables() -> Iterator[str]:
    """The tables of a provider made of tables, key by key."""
    for name, key in registry.load("http", Config()).config_keys.items():
        if key.keys is not None:
            rows = "\n".join(f"| `{inner}` | {_plain(told.help)} |" for inner, told in key.keys.items())
            yield f"#### `[providers.ID.{name}]`\n\n{key.help}\n\n| key | meaning |\n|---|---|\n{rows}"


PROVIDERS_PAGE = """\
# Providers

Written by `docs/generate.py` from the code. `llmcli providers` lists them as they are on your machine, with those that
you have added and those of packages; `llmcli providers show ID` tells all of one, with its settings and where its key
comes from.

```sh
llmcli providers
llmcli providers --capability tools
llmcli providers show openai
```

## Built in

| id | name | base URL | capabilities |
|---|---|---|---|
BUILT_IN_ROWS

Capabilities are those of the API; a single model may have less. `--base-url URL`, or `base_url` in the
[configuration](configuration.md#providersid), says another address. A server that speaks OpenAI's chat completions and
is not in the table becomes a provider of its own by one line:

```sh
llmcli providers add work --base-url https://llm.example.com/v1 --default-model large
llmcli chat -m work "hello"
```

## Packages

Each adds providers to llmcli when it is installed beside it; `chat -m` with the id of one that is not installed says
how. They stand in the folder `plugins` of the repository, with a README each.

| package | ids | what it speaks to |
|---|---|---|
PACKAGE_ROWS

An API that is not here at all: [your own provider](your-own-provider.md).

## One by one

ONE_BY_ONE
"""

EXIT_STATUS_PAGE = """\
# Exit statuses

Written by `docs/generate.py` from `llmcli/errors.py`. The numbers are stable for ever; new ones only between 14 and 63.

| status | name | what happened | what a script does |
|---|---|---|---|
ROWS

"Output began" means that the first content event was received, whatever the format and the destination. Until then
a failure is 4 to 9, and may have been retried; from then on it is 10, and nothing is retried.

`models` and `health` over several providers: 0 when all are well, their common status if they fail alike, else 8.

An error is one line on stderr, and at most one more that says what to do next:

```text
llmcli: the provider does not accept the key: Invalid API Key [provider=openai http=401]
```

With `--json` and `--jsonl` the last line of stderr is JSON instead; see [output.md](output.md). A `--jsonl` stream that
failed has no line with `"done": true`, and `--json` prints nothing on stdout unless the answer is complete.

What is which:

- A name that no provider of ours has (`-m opnai`) is 3; a model that the provider does not have is 5.
- A value that cannot be right for any model (`--temperature 9`) is 2, as is a prompt that cannot be read, also when
  `--timeout` passes while stdin is waited for. What a provider has no way to do (`--seed` at Anthropic) is 5.
- A web page with status 200 where an API should be is 8; an address that the server does not have (404) is 5.
- A timeout is 7 until output began, and 10 from then on. `--timeout` counts for the loading of tools too; a tool that
  it ends is a failure that the model is told of, before 10 follows.
- An answer that the model ended at its limit of tokens, or that a filter ended, is complete: 0, with a note on stderr.
  With `--strict` it is 12.

The failures of a provider can be tried without one, because the built-in `echo` model fails on request:

```console
$ llmcli chat -n -m echo --retries 0 --option fail=429 hello; echo "status $?"
llmcli: told to be busy [provider=echo http=429]
status 6
```

| `--option fail=` | status |
|---|---|
| `401`, `403` | 4 |
| `400`, `404`, `context` | 5 |
| `429`, `503` | 6, after the retries |
| `network`; `timeout` (after `--first-timeout`, 120 s unless you say less) | 7 |
| `500`, `empty`, `redirect` | 8 |
| `quota` | 9 |
| `cut`, `malformed`, `error`; `stall` (after `--idle-timeout`, 60 s unless said) | 10, after `--option after=N` words |
| `length`, `content_filter` | 0, with `--strict` 12 |
| `crash` | 1 |

A script that branches:

```bash
llmcli chat -n --strict -m "$model" -o answer.txt -- "$question"
case $? in
  0) ;;                                    # answer.txt is whole
  6|7|8) echo "try later" >&2 ;;
  10|12) echo "answer.txt.part holds what came" >&2 ;;
  *) exit 1 ;;
esac
```
"""

CONFIGURATION_PAGE = """\
# Configuration

Written by `docs/generate.py` from the code. No configuration is needed: a key in the environment and `-m` are enough.

`config.toml` lives in `$XDG_CONFIG_HOME/llmcli` (`~/.config/llmcli`; on macOS `~/Library/Application Support/llmcli`)
and is never written by llmcli. Files in
`providers.d/` and `state.toml` beside it are read after it, in this order. No file of the current directory is read,
and no `.env`. `--config FILE` reads another file instead of `config.toml`; `--no-config` reads none.

What commands write, they say, and they write it whole or not at all; a file of theirs that cannot be read is never
written over. One that is broken hurts only its own provider.

| file | holds | written by |
|---|---|---|
| `config.toml` | whatever you like | you |
| `providers.d/ID.toml` | `[providers.ID]` | `providers add`, `providers login` with `--key-command` or `--keyring` |
| `state.toml` | `default`, `[aliases]` | `providers use`, `models alias` |
| `keys/ID` | a key, for your eyes only | `providers login` |
| `models/*` in `$XDG_CACHE_HOME/llmcli` (`~/.cache/llmcli`) | names of models, for completion | `models refresh` |

`providers remove`, `providers logout` and `models alias --remove` undo it.

What wins: a flag, then an `LLMCLI_*` variable, then the files, then the variables that a provider's ecosystem has
(`OPENAI_BASE_URL`, `OLLAMA_HOST`), then the provider's defaults. An unknown key is an error with the nearest known
one; tables of providers that are not used are not looked at.

| key | type | meaning |
|---|---|---|
TOP_ROWS

## `[chat]`

| key | type | meaning |
|---|---|---|
CHAT_ROWS

## `[timeouts]`

Seconds, 0 for none; `[providers.ID.timeouts]` holds the same keys for one provider.

| key | type | meaning (default) |
|---|---|---|
TIMEOUT_ROWS

## `[tools.NAME]`

A program that `chat --tool NAME` lets a model ask for; [tools.md](tools.md#programs) explains it.

| key | type | meaning |
|---|---|---|
TOOL_ROWS

## `[providers.ID]`

The id of a built-in or of a plugin needs only what is to differ. An id of your own needs an `adapter`:

```toml
[providers.work]
adapter = "openai-compatible"
base_url = "https://llm.example.com/v1"
default_model = "large"
api_key = { env = "WORK_LLM_KEY" }
```

| key | type | meaning |
|---|---|---|
PROVIDER_ROWS

### `api_key`

A key is bound to its provider: a table gets only the key that it (or `--api-key-file`) names. In order: the flag, the
environment, `command`, the keyring, `file`, and the file `keys/ID` that `providers login` writes.

| key | type | meaning |
|---|---|---|
API_KEY_ROWS

### `settings`

| key | type | meaning |
|---|---|---|
SETTING_ROWS

### Keys of single providers

| provider | key | type | variables | meaning |
|---|---|---|---|---|
OWN_ROWS

### `adapter = "http"`

An API described by tables; [any-api.md](any-api.md) explains them and has examples. All values are text.

NESTED_TABLES

## Environment

| variable | is the same as |
|---|---|
| `LLMCLI_MODEL` | `default` in the configuration, which it replaces |
| `LLMCLI_CONFIG` | `--config` |
| `LLMCLI_FORMAT`, `LLMCLI_COLOR` | `--format`, `--color` |
| `LLMCLI_TIMEOUT`, `LLMCLI_CONNECT_TIMEOUT`, `LLMCLI_FIRST_TIMEOUT`, `LLMCLI_IDLE_TIMEOUT` | the four timeouts |
| `LLMCLI_RETRIES`, `LLMCLI_RETRY_MAX_WAIT` | `--retries`, `--retry-max-wait` |
| `LLMCLI_CA_BUNDLE`, `LLMCLI_LOG_FILE` | `--ca-bundle`, `--log-file` |
| `LLMCLI_PLUGIN_TIMEOUT` | seconds that a plugin's import may take (20) |
| `XDG_CONFIG_HOME`, `XDG_CACHE_HOME` | where the folder `llmcli` of the configuration, and of the lists of models, is |
| `NO_COLOR`, `TERM=dumb` | no colour, no rendering |
| `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies; loopback addresses never go through one |
| `SSL_CERT_FILE`, `SSL_CERT_DIR` | certificates to trust |
"""

if __name__ == "__main__":
    sys.exit(main())
