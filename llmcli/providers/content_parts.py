"""
Texts and attachments as parts of a message in OpenAI's two formats. Layer 2, pure: values in, values out.
"""

from base64 import b64encode

from llmcli.errors import RequestRejected
from llmcli.types import Attachment, Json, Text

JsonObject = dict[str, Json]

_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def chat_part(part: Text | Attachment) -> JsonObject:
    """A part of a user's message in chat completions. Raises `RequestRejected` for what the format has no place for."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if _is_image(part):
        return {"type": "image_url", "image_url": {"url": _address(part)}}
    if part.media_type in _SOUNDS:
        return _sound(part)
    return {"type": "file", "file": _file(part)}


def input_part(part: Text | Attachment) -> JsonObject:
    """The same in the Responses API, which can be told where a file is."""
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if _is_image(part):
        return {"type": "input_image", "image_url": _address(part)}
    if part.media_type in _SOUNDS:
        return _sound(part)
    return {"type": "input_file", "file_url": part.url} if part.url else {"type": "input_file", **_file(part)}


def _is_image(attachment: Attachment) -> bool:
    return attachment.media_type.startswith("image/")


def _address(attachment: Attachment) -> str:
    """The URL of an attachment; with its bytes it is one that holds them."""
    return attachment.url or f"data:{attachment.media_type};base64,{_base64(attachment)}"


def _sound(attachment: Attachment) -> JsonObject:
    _refuse_url(attachment)
    sound: JsonObject = {"data": _base64(attachment), "format": _SOUNDS[attachment.media_type]}
    return {"type": "input_audio", "input_audio": sound}


def _file(attachment: Attachment) -> JsonObject:
    if attachment.media_type != "application/pdf":
        raise RequestRejected(f"an attachment of the type {attachment.media_type} has no place in the request")
    _refuse_url(attachment)
    return {"filename": attachment.name or "attached.pdf", "file_data": _address(attachment)}


def _refuse_url(attachment: Attachment) -> None:
    if attachment.url:
        raise RequestRejected(
            f"a file of the type {attachment.media_type} cannot be sent by its URL", hint="download it and attach that"
        )


def _base64(attachment: Attachment) -> str:
    return b64encode(attachment.data).decode()
