"""
A real gRPC server whose messages are built here, and that answers as a test says.

    syntax = "proto3";  package llm.v1;
    service LLM {
      rpc Generate(GenerateRequest) returns (stream GenerateChunk);
      rpc Ask(GenerateRequest) returns (GenerateChunk);
    }
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import DESCRIPTOR as STRUCT
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

Document = Mapping[str, Any]
Script = Callable[[Document, grpc.ServicerContext], Iterable[Document | bytes]]

_TYPES = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("string", "int64", "uint64", "int32", "double", "bool", "bytes")
}


def _file(name: str, messages: Mapping[str, Mapping[str, str]], imports: Iterable[str] = ()) -> FileDescriptorProto:
    """A `.proto` file. A field is `int64`, `repeated string`, `optional double` or `.llm.v1.Usage`."""
    file = FileDescriptorProto(name=name, package="llm.v1", syntax="proto3", dependency=list(imports))
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for number, (field_name, written) in enumerate(fields.items(), 1):
            rule, _, kind = written.rpartition(" ")
            made = message.field.add(name=field_name, number=number, label=3 if rule == "repeated" else 1)
            if kind in _TYPES:
                made.type = _TYPES[kind]
            else:
                made.type, made.type_name = FieldDescriptorProto.TYPE_MESSAGE, kind
            if rule == "optional":
                made.proto3_optional, made.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
    return file


def _files() -> list[FileDescriptorProto]:
    usage = _file("llm/v1/usage.proto", {"Usage": {"prompt_tokens": "int64", "completion_tokens": "uint64"}})
    struct = FileDescriptorProto.FromString(STRUCT.serialized_pb)
    llm = _file(
        "llm/v1/llm.proto",
        {
            "Message": {"role": "string", "content": "string"},
            "GenerateRequest": {
                "model": "string",
                "messages": "repeated .llm.v1.Message",
                "max_tokens": "optional int64",
                "temperature": "optional double",
                "top_p": "optional double",
                "stop": "repeated string",
                "seed": "optional int64",
                "extra": ".google.protobuf.Struct",
            },
            "GenerateChunk": {
                "text": "string",
                "finish_reason": "string",
                "usage": ".llm.v1.Usage",
                "model": "string",
                "error": "string",
                "scores": "repeated int64",
                "extra": ".google.protobuf.Struct",
                "done": "bool",
            },
        },
        [usage.name, struct.name],
    )
    service = llm.service.add(name="LLM")
    types = {"input_type": ".llm.v1.GenerateRequest", "output_type": ".llm.v1.GenerateChunk"}
    service.method.add(name="Generate", server_streaming=True, **types)
    service.method.add(name="Ask", **types)
    return [llm, usage, struct]


FILES = _files()
DESCRIPTORS = FileDescriptorSet(file=FILES).SerializeToString()


def _pool() -> DescriptorPool:
    database = DescriptorDatabase()
    for file in FILES:
        database.Add(file)
    return DescriptorPool(database)


POOL = _pool()
Request, Chunk = (
    GetMessageClass(POOL.FindMessageTypeByName(f"llm.v1.{name}")) for name in ("GenerateRequest", "GenerateChunk")
)


def chunk(document: Document | bytes) -> bytes:
    """A message of the answer as it goes over the wire."""
    return document if isinstance(document, bytes) else ParseDict(dict(document), Chunk()).SerializeToString()


@dataclass
class Service(grpc.GenericRpcHandler):
    """What was asked, and whether a client has gone before its answer was whole."""

    script: Script
    reflection: str | None = "v1"
    health: bytes | None = None
    requests: list[Document] = field(default_factory=list)
    metadata: list[Mapping[str, str | bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    base_url: str = ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        method = handler_call_details.method
        self.asked.append(method)
        if method == "/llm.v1.LLM/Generate":
            return grpc.unary_stream_rpc_method_handler(self._generate)
        if method == "/llm.v1.LLM/Ask":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: next(self._generate(request, context)))
        if method == f"/grpc.reflection.{self.reflection}.ServerReflection/ServerReflectionInfo":
            return grpc.stream_stream_rpc_method_handler(self._reflect)
        if method == "/grpc.health.v1.Health/Check" and self.health is not None:
            answer = self.health
            return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)
        return None

    def _generate(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        whole = threading.Event()
        context.add_callback(lambda: None if whole.is_set() else self.gone.set())
        self.metadata.append(dict(context.invocation_metadata()))
        asked = MessageToDict(Request.FromString(request), preserving_proto_field_name=True)
        self.requests.append(asked)
        yield from map(chunk, self.script(asked, context))
        whole.set()

    def _reflect(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """As the C++ servers do it: each file without those that it imports."""
        for request in map(ServerReflectionRequest.FromString, requests):
            answer = ServerReflectionResponse()
            if request.list_services:
                answer.list_services_response.service.add(name="llm.v1.LLM")
                answer.list_services_response.service.add(name="grpc.health.v1.Health")
            for file in FILES:
                if file.name == request.file_by_filename or request.file_containing_symbol == "llm.v1.LLM":
                    answer.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())
                    break
            else:
                if not request.list_services:
                    answer.error_response.error_code = 5
            yield answer.SerializeToString()


@contextmanager
def serving(
    script: Script,
    *,
    reflection: str | None = "v1",
    health: bytes | None = None,
    credentials: grpc.ServerCredentials | None = None,
    handlers: Iterable["grpc.GenericRpcHandler"] = (),
) -> Iterator[Service]:
    """A server on this machine."""
    service = Service(script, reflection, health)
    with ThreadPoolExecutor(8, "server") as pool:
        server = grpc.server(pool, handlers=[*handlers, service])
        if credentials is None:
            service.base_url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        else:
            service.base_url = f"grpcs://localhost:{server.add_secure_port('localhost:0', credentials)}"
        server.start()
        try:
            yield service
        finally:
            server.stop(None).wait()


def saying(*documents: Document | bytes) -> Script:
    """A script that answers with these messages."""
    return lambda request, context: documents


def failing(code: grpc.StatusCode, details: str, *before: Document, **trailing: str | bytes) -> Script:
    """A script that ends with a status other than OK, behind some messages."""

    def script(request: Document, context: grpc.ServicerContext) -> Iterator[Document]:
        yield from before
        context.set_trailing_metadata(tuple((name.replace("_", "-"), value) for name, value in trailing.items()))
        context.abort(code, details)

    return script


def stalling(*documents: Document) -> Script:
    """A script that says something and then nothing until the client has gone."""

    def script(request: Document, context: grpc.ServicerContext) -> Iterator[Document]:
        gone = threading.Event()
        context.add_callback(gone.set)
        yield from documents
        gone.wait(60)

    return script
