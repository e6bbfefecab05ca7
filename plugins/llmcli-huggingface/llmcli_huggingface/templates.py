"""
Conversations as prompts. A text-generation API knows no messages, only one text, and each family of models was trained
on its own form of it.

Sources: `llama/generation.py` of meta-llama/llama for Llama 2 (2023-07), and the chat templates that the other models
carry in their tokenizers (read 2026-11).
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from llmcli.errors import RequestRejected, UsageError
from llmcli.types import Message

Turn = tuple[str, str]  # a role and what is said


class Template(NamedTuple):
    """
    How a conversation becomes one text.

    `forms`: how a turn of each role is written. `ask` invites the answer, `between` stands between turns.
    `fold`: how system text stands in front of the first thing that the user says, for models that know no system turn
    and want user and assistant in strict alternation. `bos` begins the text where the server does not.
    `stop`: what ends the answer if the model's own end does not. `marks`: what no text may contain, because the server
    would read it as the form's own. `strips`: texts go without the white space around them. `spaced`: the answer
    begins with a space that belongs to the form.
    """

    forms: Mapping[str, str]
    ask: str = ""
    between: str = ""
    fold: str = ""
    bos: str = ""
    stop: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    strips: bool = False
    spaced: bool = False


def _same_for_all(form: str) -> dict[str, str]:
    """A form that differs between the roles only in their names."""
    return {role: form.replace("ROLE", role) for role in ("system", "user", "assistant")}


TEMPLATES: Mapping[str, Template] = {
    "llama-2": Template(
        {"user": "[INST] {} [/INST]", "assistant": " {} </s><s>"},
        fold="<<SYS>>\n{}\n<</SYS>>\n\n{}",
        bos="<s>",
        stop=("</s>",),
        marks=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>"),
        strips=True,
        spaced=True,
    ),
    "llama-3": Template(
        _same_for_all("<|start_header_id|>ROLE<|end_header_id|>\n\n{}<|eot_id|>"),
        ask="<|start_header_id|>assistant<|end_header_id|>\n\n",
        bos="<|begin_of_text|>",
        stop=("<|eot_id|>",),
        marks=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        strips=True,
    ),
    "mistral": Template(
        {"user": "[INST] {} [/INST]", "assistant": " {}</s>"},
        fold="{}\n\n{}",
        bos="<s>",
        stop=("</s>",),
        marks=("[INST]", "[/INST]", "<s>", "</s>"),
        spaced=True,
    ),
    "zephyr": Template(
        _same_for_all("<|ROLE|>\n{}</s>\n"),
        ask="<|assistant|>\n",
        stop=("</s>",),
        marks=("<|system|>", "<|user|>", "<|assistant|>", "</s>"),
    ),
    "chatml": Template(
        _same_for_all("<|im_start|>ROLE\n{}<|im_end|>\n"),
        ask="<|im_start|>assistant\n",
        stop=("<|im_end|>",),
        marks=("<|im_start|>", "<|im_end|>"),
    ),
    "gemma": Template(
        {
            "user": "<start_of_turn>user\n{}<end_of_turn>\n",
            "assistant": "<start_of_turn>model\n{}<end_of_turn>\n",
        },
        ask="<start_of_turn>model\n",
        fold="{}\n\n{}",
        bos="<bos>",
        stop=("<end_of_turn>",),
        marks=("<bos>", "<start_of_turn>", "<end_of_turn>"),
        strips=True,
    ),
    "plain": Template(
        {"system": "{}", "user": "Human: {}", "assistant": "Assistant: {}"},
        ask="Assistant:",
        between="\n\n",
        stop=("\nHuman:",),
        strips=True,
        spaced=True,
    ),
    "raw": Template(_same_for_all("{}"), between="\n\n"),
}

# The first that is found in the lower-case name of a model. Families come before what they were made from.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (r"hermes|chatml|dolphin", "chatml"),
    (r"zephyr|tinyllama.*chat", "zephyr"),
    (r"llama-?2.*chat|codellama.*instruct", "llama-2"),
    (r"llama-?3.*instruct", "llama-3"),
    (r"gemma.*-it\b", "gemma"),
    (r"(mistral|mixtral|ministral).*instruct", "mistral"),
    (r"(?<!distill-)qwen|smollm|yi-.*chat", "chatml"),
    (r"t5|gpt2|gpt-neo|gpt-j|bloom|opt-\d|starcoder", "raw"),
)


def template_for(model: str) -> str:
    """The name of the template that a model was probably trained on; `plain` for one that nobody knows."""
    return next((name for family, name in _FAMILIES if re.search(family, model.lower())), "plain")


def render(template: Template, messages: Sequence[Message], *, bos: bool) -> str:
    """
    The prompt. Messages without text are left out.

    Raises `RequestRejected` for a text that holds a mark of the form, `UsageError` for a conversation that the form
    cannot say.
    """
    said = [_turn(template, message) for message in messages if message.text.strip()]
    if template.fold:
        said = _folded(template, said)
    pieces = [template.forms[role].format(text) for role, text in said]
    return (template.bos if bos else "") + template.between.join([*pieces, *([template.ask] if template.ask else [])])


def _turn(template: Template, message: Message) -> Turn:
    text = message.text
    for mark in template.marks:
        if mark in text:
            raise RequestRejected(
                f"the conversation holds {mark}, which the model's prompt template takes for its own",
                hint="leave it out, or choose another template in the configuration",
            )
    role = message.role if message.role in ("system", "assistant") else "user"
    return role, text.strip() if template.strips else text


def _folded(template: Template, said: Sequence[Turn]) -> list[Turn]:
    """User and assistant in turn, with all system text in front of the first; neighbours of one role become one."""
    system = "\n\n".join(text for role, text in said if role == "system")
    spoken = groupby((turn for turn in said if turn[0] != "system"), key=itemgetter(0))
    turns = [(role, "\n\n".join(text for _, text in run)) for role, run in spoken]
    if not turns or turns[0][0] != "user" or turns[-1][0] != "user":
        raise UsageError("with this model's prompt template a conversation must begin and end with the user")
    if system:
        turns[0] = ("user", template.fold.format(system, turns[0][1]))
    return turns
