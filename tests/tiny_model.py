"""
A language model of 0.4 MB that recites a known text, for a real llama.cpp server in the tests. Standard library only.

The model is a llama of one layer whose weights encode a Markov chain: the embedding of each token of the text is a
dimension of its own, attention and feed-forward do nothing, and the output row of a token looks at the dimension of
the token before it. So the C++ server really tokenises, evaluates, samples, detokenises and streams, and what it says
is known to the letter, at any usual temperature. A token has one successor only; where a piece of the text repeats,
it is joined with the piece before it.

    python -m tests.tiny_model model.gguf [TEXT]
"""

import struct
import sys
from array import array
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

TEXT = (
    "The tiny model says: café, naïve, 日本語 and emoji 🦙 cross chunk borders; "
    "then a tab\tand\na new line end this known answer."
)

# In the manner of Hermes and Qwen, so that the server's own parsers find tool calls and thinking in the text.
_CHAT_TEMPLATE = r"""{%- if tools %}<|system|>{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|end|>
{%- elif messages[0].role == 'system' %}<|system|>{{ messages[0].content }}<|end|>
{%- endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}<|{{ m.role }}|>{{ m.content }}<|end|>
{%- elif m.role == 'assistant' %}<|assistant|>
{%- if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}
{{- m.content or '' }}
{%- if m.tool_calls %}
{%- for tc in m.tool_calls %}
{%- if (loop.first and m.content) or (not loop.first) %}{{ '\n' }}{% endif %}
{%- if tc.function %}{%- set tc = tc.function %}{%- endif %}
{{- '<tool_call>\n{"name": "' }}{{ tc.name }}{{ '", "arguments": ' }}
{%- if tc.arguments is string %}{{ tc.arguments }}{% else %}{{ tc.arguments | tojson }}{% endif %}
{{- '}\n</tool_call>' }}
{%- endfor %}
{%- endif %}<|end|>
{%- elif m.role == 'tool' %}<|user|><tool_response>
{{ m.content }}
</tool_response><|end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""

_SPACE = "\u2581"  # how the tokeniser writes a space
_HEADS = 4
_SHARPNESS = 40.0  # the logit of the next token; all others have 0
_CONTROL_TOKENS = ("<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>")


def build(text: str = TEXT, *, loop: bool = False, context: int = 4096) -> bytes:
    """
    A GGUF file with a model that recites `text` and stops; with `loop` it begins again, endlessly.

    `context` is the length that the model was "trained" for. Raises `ValueError` for a text that repeats a piece at
    its very start, which no Markov chain can say.
    """
    vocabulary = _Vocabulary()
    chain = [vocabulary.add(piece) for piece in _pieces(text)]
    tokens = len(vocabulary.texts)
    width = max(64, -(-(len(chain) + 2) // 32) * 32)
    metadata = [
        _text_pair("general.architecture", "llama"),
        _text_pair("general.name", "tiny"),
        _number_pair("general.alignment", _ALIGNMENT),
        _number_pair("llama.context_length", context),
        _number_pair("llama.embedding_length", width),
        _number_pair("llama.block_count", 1),
        _number_pair("llama.feed_forward_length", 2 * width),
        _number_pair("llama.attention.head_count", _HEADS),
        _number_pair("llama.attention.head_count_kv", _HEADS),
        _float_pair("llama.attention.layer_norm_rms_epsilon", 1e-6),
        _number_pair("llama.rope.dimension_count", width // _HEADS),
        _number_pair("llama.vocab_size", tokens),
        *vocabulary.metadata(),
        _text_pair("tokenizer.chat_template", _CHAT_TEMPLATE),
    ]
    return _gguf(metadata, _tensors(chain, vocabulary, width, loop=loop))


# --- the text -> tokens ---------------------------------------------------------------------------


def _pieces(text: str) -> list[str | int]:
    """The text as tokens that are all different. An int is a raw byte: letters that are not ASCII are split."""
    pieces: list[str | int] = []
    for word in _words(text):
        single = len(word) == 1 and (word > "\x7f" or word in "\t\n") and word != _SPACE
        split = list(word.encode()) if single else []
        if split and len(set(split)) == len(split) and not set(split).intersection(pieces):
            pieces.extend(split)
            continue
        while word in pieces:
            before = pieces.pop()
            if isinstance(before, int) or not pieces:
                raise ValueError(f"{word!r} cannot be made a token of its own")
            word = before + word
        pieces.append(word)
    return pieces


def _words(text: str) -> list[str]:
    """Words with the space before them; tabs, newlines and what is not ASCII stand alone."""
    words = [""]
    for character in text:
        if character == " ":
            words.append(_SPACE)
        elif character in "\t\n" or character > "\x7f":
            words += [character, ""]
        else:
            words[-1] += character
    return [word for word in words if word]


class _Vocabulary:
    """The tokens: control tokens, all bytes, printable ASCII (so that any prompt can be read), and the text's own."""

    _NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6

    def __init__(self) -> None:
        self.texts = ["<unk>", *_CONTROL_TOKENS]
        self._types = [self._UNKNOWN, *[self._CONTROL] * len(_CONTROL_TOKENS)]
        self._first_byte = len(self.texts)
        self.texts += [f"<0x{byte:02X}>" for byte in range(256)]
        self._types += [self._BYTE] * 256
        self._ids: dict[str, int] = {}
        for character in (_SPACE, *map(chr, range(33, 127))):
            self.add(character)

    def add(self, piece: str | int) -> int:
        """The id of a piece, which becomes a token if it is none."""
        if isinstance(piece, int):
            return self._first_byte + piece
        if piece not in self._ids:
            self._ids[piece] = len(self.texts)
            self.texts.append(piece)
            self._types.append(self._NORMAL)
        return self._ids[piece]

    def control(self, name: str) -> int:
        """The id of a control token."""
        return self.texts.index(name)

    def metadata(self) -> list[bytes]:
        """The tokeniser: SentencePiece, where earlier tokens win."""
        scores = [-float(at) if kind == self._NORMAL else 0.0 for at, kind in enumerate(self._types)]
        return [
            _text_pair("tokenizer.ggml.model", "llama"),
            _text_pair("tokenizer.ggml.pre", "default"),
            _array_pair("tokenizer.ggml.tokens", _STRING, len(self.texts), b"".join(map(_text, self.texts))),
            _array_pair("tokenizer.ggml.scores", _FLOAT32, len(scores), array("f", scores).tobytes()),
            _array_pair("tokenizer.ggml.token_type", _INT32, len(self._types), array("i", self._types).tobytes()),
            _number_pair("tokenizer.ggml.bos_token_id", self.control("<s>")),
            _number_pair("tokenizer.ggml.eos_token_id", self.control("</s>")),
            _number_pair("tokenizer.ggml.eot_token_id", self.control("<|end|>")),
            _number_pair("tokenizer.ggml.unknown_token_id", 0),
            _bool_pair("tokenizer.ggml.add_bos_token", value=True),
            _bool_pair("tokenizer.ggml.add_space_prefix", value=False),
        ]


# --- the weights ----------------------------------------------------------------------------------

_Tensor: TypeAlias = "tuple[str, tuple[int, ...], array[float]]"


def _tensors(chain: list[int], vocabulary: _Vocabulary, width: int, *, loop: bool) -> list[_Tensor]:
    """The weights that make a chain of tokens. A matrix is written row by row, its row length first."""
    tokens = len(vocabulary.texts)
    order = [vocabulary.control("<|assistant|>"), *chain]
    dimensions = {token: at for at, token in enumerate(order)}
    elsewhere = width - 1  # the dimension of all tokens outside the text
    embedding, output = _zeros(tokens * width), _zeros(tokens * width)
    for token in range(tokens):
        # The root of the width gives a vector of RMS 1, which the final norm leaves as it is.
        embedding[token * width + dimensions.get(token, elsewhere)] = width**0.5
    last = chain[0] if loop else vocabulary.control("</s>")
    for token, successor in pairwise([*order, last]):
        output[successor * width + dimensions[token]] = _SHARPNESS / width**0.5
    output[chain[0] * width + elsewhere] = _SHARPNESS / width**0.5  # whatever the prompt ends in, the text follows
    ones = array("f", [1.0] * width)
    square, wide = _zeros(width * width), _zeros(2 * width * width)
    return [
        ("token_embd.weight", (width, tokens), embedding),
        ("output_norm.weight", (width,), ones),
        ("output.weight", (width, tokens), output),
        ("blk.0.attn_norm.weight", (width,), ones),
        ("blk.0.ffn_norm.weight", (width,), ones),
        *((f"blk.0.attn_{name}.weight", (width, width), square) for name in ("q", "k", "v", "output")),
        ("blk.0.ffn_gate.weight", (width, 2 * width), wide),
        ("blk.0.ffn_up.weight", (width, 2 * width), wide),
        ("blk.0.ffn_down.weight", (2 * width, width), wide),
    ]


def _zeros(count: int) -> "array[float]":
    return array("f", bytes(4 * count))


# --- the file: GGUF version 3, little-endian ------------------------------------------------------

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_ALIGNMENT = 32


def _gguf(metadata: list[bytes], tensors: Iterable[_Tensor]) -> bytes:
    descriptions, data = [], bytearray()
    for name, shape, values in tensors:
        place = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))  # 0: the numbers are float32
        descriptions.append(_text(name) + place)
        data += _padded(values.tobytes())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(descriptions), len(metadata))
    return _padded(head + b"".join(metadata) + b"".join(descriptions)) + bytes(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _text_pair(key: str, value: str) -> bytes:
    return _text(key) + struct.pack("<I", _STRING) + _text(value)


def _number_pair(key: str, value: int) -> bytes:
    return _text(key) + struct.pack("<II", _UINT32, value)


def _float_pair(key: str, value: float) -> bytes:
    return _text(key) + struct.pack("<If", _FLOAT32, value)


def _bool_pair(key: str, *, value: bool) -> bytes:
    return _text(key) + struct.pack("<I?", _BOOL, value)


def _array_pair(key: str, kind: int, count: int, encoded: bytes) -> bytes:
    return _text(key) + struct.pack("<IIQ", _ARRAY, kind, count) + encoded


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(build(*sys.argv[2:3]))
