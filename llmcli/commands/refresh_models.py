"""
`llmcli models refresh`: the lists of models that completion and `models --cached` know are asked for and kept. Layer 3.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from llmcli import registry
from llmcli.commands import models_cache
from llmcli.commands.models import Listing, ask_all, raise_common
from llmcli.commands.models_cache import Kept, count
from llmcli.commands.setup import read_config
from llmcli.errors import LlmError
from llmcli.output import json_text, one_line
from llmcli.world import World


class _Outcome(NamedTuple):
    """What became of one provider's list. `before` is the one that was kept until now, `error` why it stays."""

    provider: str
    listing: Listing | None
    before: Kept | None
    error: LlmError | None


def run(
    names: Sequence[str], world: World, *, config: str | None, no_config: bool, timeout: float | None = None,
    as_json: bool,
) -> None:  # fmt: skip
    """
    Keep the lists of the named providers, or of every one that can be asked, and the ids of all there are; of one that
    fails the old list stays. Raises the common error of those that failed, when the others are kept.
    """
    settings = read_config(world, config, no_config=no_config)
    models_cache.keep_ids(registry.known_ids(settings), world)
    answers = ask_all(names, settings, world, timeout)
    outcomes = [_outcome(provider_id, answer, world) for provider_id, answer in answers.items()]
    for note in (outcome.listing.note for outcome in outcomes if outcome.listing):
        if note:
            world.note(note)
    text = json_text([_row(outcome) for outcome in outcomes]) if as_json else "\n".join(map(_line, outcomes))
    world.print(f"{text}\n")
    raise_common([outcome.error for outcome in outcomes if outcome.error], world)


def _outcome(provider_id: str, answer: Listing | LlmError, world: World) -> _Outcome:
    """Keep the list that was had, unless that fails."""
    before = models_cache.kept_or_none(provider_id, world)
    if isinstance(answer, LlmError):
        return _Outcome(provider_id, None, before, answer)
    try:
        models_cache.keep(provider_id, answer.rows(), world)
    except LlmError as exc:
        exc.provider = exc.provider or provider_id
        return _Outcome(provider_id, None, before, exc)
    return _Outcome(provider_id, answer, before, None)


def _line(outcome: _Outcome) -> str:
    before, name = outcome.before, one_line(outcome.provider)
    if outcome.listing is None:
        return f"{name}: not refreshed; " + (f"its list stays: {before}" if before else "no list is kept")
    return f"{name}: {count(len(outcome.listing.models))}; before: {before or 'none'}"


def _row(outcome: _Outcome) -> dict[str, Any]:
    listing, before, error = outcome.listing, outcome.before, outcome.error
    return {
        "provider": outcome.provider,
        "ok": error is None,
        "models": len(listing.models) if listing else None,
        "source": listing.source if listing else None,
        "models_before": len(before.rows) if before else None,
        "age_before": round(before.age) if before else None,
        "problem": error.message if error else None,
    }
