"""
Writes the pages of the documentation that are read off the code: `python docs/generate.py` writes them, `--check`
says which are out of date and exits 1.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from llmcli import registry
from llmcli.config import API_KEY_KEYS, CHAT_KEYS, PROVIDER_KEYS, SETTING_KEYS, TIMEOUT_KEYS, TOP_KEYS, Config, Key
from llmcli.errors import EXIT_STATUSES

HERE = Path(__file__).parent
WORDS = {str: "text", int: "number", float: "number", bool: "true / false", list: "list", dict: "table"}


def main() -> int:
    """Write or check every generated page."""
    stale = []
    pages = {"exit-status.md": exit_status(), "configuration.md": configuration(), "any-api.md": any_api()}
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
        f"| {code} | `{name}` | {what} | {then} |".replace("| head", r"\| head")  # a bar within a cell
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
        .replace("API_KEY_ROWS", _rows(API_KEY_KEYS))
        .replace("PROVIDER_ROWS", _rows(PROVIDER_KEYS))
        .replace("SETTING_ROWS", _rows(SETTING_KEYS))
        .replace("OWN_ROWS", own)
        .replace("NESTED_TABLES", "\n\n".join(_nested_tables()))
    )


def any_api() -> str:
    """The page about tables, with each example as it is in its file: a comment names the file, the block follows."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n```toml\n{(HERE / found[1]).read_text()}```\n"

    page = (HERE / "any-api.md").read_text()
    return re.sub(r"<!-- (tables/[\w.-]+) -->\n(?:```toml\n.*?```\n)?", block, page, flags=re.DOTALL)


def _rows(keys: Mapping[str, Key]) -> str:
    return "\n".join(
        f"| `{name}` | {' or '.join(dict.fromkeys(WORDS[kind] for kind in key.types))} | {key.help} |"
        for name, key in keys.items()
    )


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
            rows.append(f"| `{provider_id}` | `{name}` | {WORDS[key.type]} | {env} | {key.help} |")
    return rows


def _nested_tables() -> Iterator[str]:
    """The tables of a provider made of tables, key by key."""
    for name, key in registry.load("http", Config()).config_keys.items():
        if key.keys is not None:
            rows = "\n".join(f"| `{inner}` | {told.help} |" for inner, told in key.keys.items())
            yield f"#### `[providers.ID.{name}]`\n\n{key.help}\n\n| key | meaning |\n|---|---|\n{rows}"


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
- A timeout is 7 until output began, and 10 from then on.
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
environment, `command`, `file`, and `keys/ID` in the configuration directory.

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
| `NO_COLOR`, `TERM=dumb` | no colour, no rendering |
| `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies; loopback addresses never go through one |
| `SSL_CERT_FILE`, `SSL_CERT_DIR` | certificates to trust |
"""

if __name__ == "__main__":
    sys.exit(main())
