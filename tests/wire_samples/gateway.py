"""The gateway: OpenAI's format, with the model and the usage of a whole answer under `metadata`."""

from typing import Any

from llmcli.testing import Answer, Samples, body
from tests.wire_samples import TEXT, openai


def _answer(sample: Answer, message: dict[str, Any]) -> Answer:
    """The sample of the dialect, which comes whole as the gateway has it: without a reason, so that it is `stop`."""
    metadata = {"model": openai.FACTS["model"], "usage": openai.USAGE, "cost": 0.01}
    whole = {"choices": [{"message": {"role": "assistant", **message}}], "metadata": metadata}
    return sample._replace(whole=body(whole))


SAMPLES = Samples(
    _answer(openai.ANSWER, {"content": TEXT}),
    errors=openai.ERRORS,
    error_whole=openai.ERROR_WHOLE,
    error_in_stream=openai.ERROR_IN_STREAM,
    thinking=_answer(openai.THINKING, {"reasoning_content": "Höflich\nsein.", "content": "Grüße."}),
    empty=openai.EMPTY._replace(whole=None),  # without a reason and without a text it would be no answer
    others=(openai.LENGTH,),
)
