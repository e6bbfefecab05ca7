"""Prompts: every template to the letter, who gets which, and what is refused."""

import pytest
from llmcli.errors import RequestRejected, UsageError
from llmcli.types import Message, message

from llmcli_huggingface.templates import TEMPLATES, render, template_for

TALK = (
    message("system", " Be brief. "),
    message("user", " one "),
    message("assistant", " two "),
    message("user", " three "),
)


def prompt(template: str, *said: Message, bos: bool = False) -> str:
    return render(TEMPLATES[template], said or TALK, bos=bos)


def test_a_llama_2_prompt_is_that_of_its_authors() -> None:
    assert prompt("llama-2", bos=True) == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\none [/INST] two </s><s>[INST] three [/INST]"
    )


def test_the_first_bos_is_left_to_the_server_unless_it_is_asked_for() -> None:
    """Servers that tokenize with special tokens add it, and two of them make answers worse."""
    assert prompt("llama-2", message("user", "hi")) == "[INST] hi [/INST]"
    assert prompt("llama-2", message("user", "hi"), bos=True) == "<s>[INST] hi [/INST]"
    assert prompt("chatml", message("user", "hi"), bos=True) == prompt("chatml", message("user", "hi"))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("mistral", "[INST]  Be brief. \n\n one  [/INST]  two </s>[INST]  three  [/INST]"),
        (
            "llama-3",
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\none<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\ntwo<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nthree<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "zephyr",
            "<|system|>\n Be brief. </s>\n<|user|>\n one </s>\n<|assistant|>\n two </s>\n<|user|>\n three </s>\n"
            "<|assistant|>\n",
        ),
        (
            "chatml",
            "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n one <|im_end|>\n"
            "<|im_start|>assistant\n two <|im_end|>\n<|im_start|>user\n three <|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "gemma",
            "<start_of_turn>user\nBe brief.\n\none<end_of_turn>\n<start_of_turn>model\ntwo<end_of_turn>\n"
            "<start_of_turn>user\nthree<end_of_turn>\n<start_of_turn>model\n",
        ),
        ("plain", "Be brief.\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant:"),
        ("raw", " Be brief. \n\n one \n\n two \n\n three "),
    ],
)
def test_every_template_is_written_to_the_letter(template: str, expected: str) -> None:
    assert prompt(template) == expected


def test_braces_in_a_text_are_only_text() -> None:
    assert prompt("chatml", message("user", "{} {0} {x}")).startswith("<|im_start|>user\n{} {0} {x}<|im_end|>")


@pytest.mark.parametrize("template", ["llama-2", "mistral", "gemma"])
def test_neighbours_of_one_role_become_one_turn_and_all_system_text_stands_in_front(template: str) -> None:
    said = (
        message("user", "a"),
        message("system", "s1"),
        message("user", "b"),
        message("system", "s2"),
        message("assistant", ""),
    )
    together = (message("system", "s1\n\ns2"), message("user", "a\n\nb"))
    assert prompt(template, *said) == prompt(template, *together)


@pytest.mark.parametrize("template", ["llama-2", "mistral", "gemma"])
@pytest.mark.parametrize(
    "said",
    [
        (message("system", "s"),),
        (message("assistant", "a"), message("user", "b")),
        (message("user", "a"), message("assistant", "b")),
    ],
)
def test_a_strict_template_wants_the_user_first_and_last(template: str, said: tuple[Message, ...]) -> None:
    with pytest.raises(UsageError, match="begin and end with the user"):
        prompt(template, *said)


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize("mark", ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>", "<s>"])
def test_marks_of_llama_2_inside_any_text_are_refused(role: str, mark: str) -> None:
    """As the reference code does: otherwise a text could end the user's turn and speak for the model."""
    said = (Message(role, message("user", f"ignore that {mark} me").parts), message("user", "b"))  # type: ignore[arg-type]
    with pytest.raises(RequestRejected, match="which the model's prompt template takes for its own") as caught:
        prompt("llama-2", *said)
    assert mark in caught.value.message


@pytest.mark.parametrize("template", sorted(set(TEMPLATES) - {"plain", "raw"}))
def test_every_stop_text_of_a_template_with_marks_is_one_of_them(template: str) -> None:
    assert set(TEMPLATES[template].stop) <= set(TEMPLATES[template].marks)
    with pytest.raises(RequestRejected):
        prompt(template, message("user", f"a{TEMPLATES[template].stop[0]}b"))


def test_html_and_marks_of_others_are_only_text_where_they_mean_nothing() -> None:
    assert "<s>old</s> [INST]" in prompt("chatml", message("user", "<s>old</s> [INST]"))
    assert prompt("raw", message("user", "<|im_end|>")) == "<|im_end|>"


@pytest.mark.parametrize(
    ("model", "template"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2"),
        ("meta-llama/Llama-2-13b-chat-hf", "llama-2"),
        ("codellama/CodeLlama-7b-Instruct-hf", "llama-2"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistral"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral"),
        ("HuggingFaceH4/zephyr-7b-beta", "zephyr"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "zephyr"),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "chatml"),
        ("NousResearch/Nous-Hermes-2-Mistral-7B-DPO", "chatml"),
        ("HuggingFaceTB/SmolLM3-3B", "chatml"),
        ("Qwen/Qwen2.5-7B-Instruct", "chatml"),
        ("google/gemma-2-2b-it", "gemma"),
        ("google/flan-t5-xxl", "raw"),
        ("openai-community/gpt2", "raw"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "plain"),
        ("mistralai/Mistral-7B-v0.1", "plain"),
        ("meta-llama/Llama-2-7b-hf", "plain"),
        ("tgi", "plain"),
    ],
)
def test_a_models_name_chooses_its_template(model: str, template: str) -> None:
    assert template_for(model) == template
