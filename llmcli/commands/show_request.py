"""
`--dry-run` and `--curl`: the request as it would be sent, without the key. Layer 3.
"""

import json
import shlex
from typing import Any
from urllib.parse import quote

from llmcli.answer import prepared
from llmcli.attachments import without_bytes
from llmcli.commands.setup import Ready
from llmcli.errors import RequestRejected
from llmcli.provider import ApiKey, HTTPProvider
from llmcli.types import Attachment, ChatRequest, HttpRequest
from llmcli.world import World

_KEY_PLACE = "LLMCLI-THE-KEY-GOES-HERE"
_LONGEST_ARGUMENT = 100_000  # characters; Linux takes 128 KiB in one argument, and a shell's own printf any number


def show_request(
    ready: Ready, request: ChatRequest, world: World, *, stream: bool, curl: bool, key_file: str | None,
    ca_bundle: str | None,
) -> None:  # fmt: skip
    """
    Print the request as JSON, or as a curl command that runs. Raises `RequestRejected` for a provider that sends none.
    """
    provider = ready.provider
    if not isinstance(provider, HTTPProvider):
        raise RequestRejected(f"{provider.config.id} sends no HTTP request that could be shown")
    has_key = ready.secret is not None or provider.api_key.required
    wire = prepared(provider, provider.chat_request(request, stream=stream), _KEY_PLACE if has_key else None)
    masked = world.redactor.clean_headers(wire.headers)
    shown = {name: value if _KEY_PLACE in value else masked[name] for name, value in wire.headers.items()}
    wire = HttpRequest(wire.method, wire.url, shown, wire.body)
    if curl:
        text = as_curl(wire, _key_for_shell(ready, key_file), ca_bundle, provider.api_key)
    else:
        parts = (part for message in request.messages for part in message.parts)
        text = without_bytes(_as_json(wire), (part for part in parts if isinstance(part, Attachment)))
    world.print(f"{text}\n")


def _as_json(wire: HttpRequest) -> str:
    document: dict[str, Any] = {"method": wire.method, "url": wire.url, "headers": dict(wire.headers)}
    document["body"] = json.loads(wire.body) if wire.body else None
    return json.dumps(document, ensure_ascii=False, indent=2).replace(_KEY_PLACE, "***")


def _key_for_shell(ready: Ready, key_file: str | None) -> str:
    """Where the curl command finds the key: in its file, from its command, or in the variable that has it."""
    key = _key_source(ready, key_file)
    if ready.provider.api_key.scheme.lower() == "basic" and (ready.secret is None or ":" in ready.secret.value):
        return f'$(printf %s "{key}" | base64 | tr -d "\\n")'
    return key


def _key_source(ready: Ready, key_file: str | None) -> str:
    table = ready.setup.api_key
    if key_file is not None:
        return f"$(cat {shlex.quote(key_file)})"
    if "command" in table and "env" not in table:
        return f"$({table['command']})"
    names = (str(table["env"]),) if "env" in table else ready.provider.api_key.env or ("LLMCLI_API_KEY",)
    return "$" + (ready.secret.source if ready.secret and ready.secret.source in names else names[0])


def as_curl(wire: HttpRequest, key: str, ca_bundle: str | None = None, place: ApiKey | None = None) -> str:
    """
    A curl command that runs: `key` is how the shell finds the key, which goes to its `place`; everything else is quoted
    for it.
    """
    words = ["curl", "-sS", "-N", "-X", wire.method]
    if place is not None and place.query:
        wire = wire._replace(url=wire.url.replace(f"{quote(place.query, safe='')}={_KEY_PLACE}", "").rstrip("?&"))
        words += ["--url-query", f'"{place.query}={key}"']
    if ca_bundle is not None:
        words += ["--cacert", shlex.quote(ca_bundle)]
    for name, value in wire.headers.items():
        quoted = shlex.quote(f"{name}: {value}")
        if _KEY_PLACE in value:
            quoted = f'"{name}: {value}"'.replace(_KEY_PLACE, key)
        words += ["-H", quoted]
    body = "" if wire.body is None else shlex.quote(wire.body.decode())
    from_stdin = len(body) > _LONGEST_ARGUMENT
    if body:
        words += ["--data-binary", "@-" if from_stdin else body]
    command = " ".join([*words, shlex.quote(wire.url)])
    return f"printf %s {body} | {command}" if from_stdin else command
