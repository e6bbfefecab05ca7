"""
What a service understands: its methods and messages, found at run time, and messages from and to plain documents.

Sources: `google/protobuf/descriptor.proto`, `grpc/reflection/v1/reflection.proto` (v1alpha differs in nothing but its
name), and the JSON mapping of protobuf.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from llmcli.config import nearest
from llmcli.errors import ConfigurationError, ProviderFailed, RequestRejected
from llmcli.expressions import shortened
from llmcli.types import Json

from llmcli_grpc.connection import Connection
from llmcli_grpc.statuses import UNIMPLEMENTED

_REFLECTION = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
_VERSIONS = ("v1", "v1alpha")
_LARGE_INTEGERS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_LARGE_WRAPPERS = ("google.protobuf.Int64Value", "google.protobuf.UInt64Value")
_WELL_KNOWN = "google.protobuf."  # their JSON is not that of their fields

_Message = TypeVar("_Message", bound=Message)


class Method(NamedTuple):
    """A method of a service: what it takes, what it answers with, and whether in pieces."""

    path: str
    streams: bool
    takes: Descriptor
    answers: Descriptor
    pool: DescriptorPool

    def request(self, document: bytes, place: str) -> bytes:
        """
        A document of JSON as the message that the method takes. Raises `ConfigurationError` for one that does not fit;
        `place` is where the expression stands that made it.
        """
        try:
            made = Parse(document, GetMessageClass(self.takes)(), descriptor_pool=self.pool)
            return made.SerializeToString()
        except (ParseError, EncodeError) as exc:
            raise ConfigurationError(
                f"{place} does not fit {self.takes.full_name}: {_readable(exc)}", hint=_fields_hint(exc, self.takes)
            ) from exc

    def answer(self, message: bytes) -> dict[str, Json]:
        """A message of the answer as a document. Raises `ProviderFailed` for what is none."""
        read = decoded(GetMessageClass(self.answers), message)
        try:
            return document_of(read, self.pool)
        except (JsonError, TypeError, ValueError) as exc:  # an unknown kind of `Any`, a date out of range, not a number
            raise ProviderFailed(
                f"the server sent a {self.answers.full_name} that JSON cannot say: {shortened(str(exc))}"
            ) from exc


def decoded(kind: type[_Message], message: bytes) -> _Message:
    """A message of a kind. Raises `ProviderFailed` for bytes that are none."""
    try:
        return kind.FromString(message)
    except DecodeError as exc:
        raise ProviderFailed(f"the server sent what is no {kind.DESCRIPTOR.full_name}") from exc


def document_of(message: Message, pool: DescriptorPool) -> dict[str, Json]:
    """
    A message as a document, in protobuf's JSON mapping with the names of the `.proto` file, but for two things: whole
    numbers are numbers, also those of 64 bits; and a text that cannot be told from an empty one is empty. Whatever
    else has its default value is not there.
    """
    document = MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
    _finish(document, cast(Descriptor, message.DESCRIPTOR))
    return document


def _finish(document: dict[str, Any], message: Descriptor) -> None:
    for field in message.fields:
        if field.name not in document:
            if field.type == FieldDescriptor.TYPE_STRING and not (field.has_presence or field.is_repeated):
                document[field.name] = ""
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            of_values = field.message_type.fields_by_name["value"]
            document[field.name] = {name: _plain(each, of_values) for name, each in document[field.name].items()}
        elif field.is_repeated:
            document[field.name] = [_plain(each, field) for each in document[field.name]]
        else:
            document[field.name] = _plain(document[field.name], field)


def _plain(value: Any, field: FieldDescriptor) -> Any:
    """One value of a field."""
    if field.cpp_type in _LARGE_INTEGERS:
        return int(value)
    if field.message_type is None:
        return value
    name = field.message_type.full_name
    if name in _LARGE_WRAPPERS:
        return int(value)
    if not name.startswith(_WELL_KNOWN):
        _finish(value, field.message_type)
    return value


def _readable(exc: Exception) -> str:
    """What protobuf says, without its list of all fields."""
    return str(exc).partition("\n")[0].partition(" Available Fields")[0].rstrip(".")


def _fields_hint(exc: Exception, message: Descriptor) -> str | None:
    unknown = str(exc).partition(' has no field named "')[2].partition('"')[0]
    if not unknown or f'"{message.full_name}"' not in str(exc):
        return None
    return _hint(unknown, [field.name for field in message.fields], "its fields")


# --- where the descriptors come from --------------------------------------------------------------


class Descriptors(NamedTuple):
    """Files of descriptors, and the services that are known to be there."""

    files: DescriptorDatabase
    services: Callable[[], Iterable[str]]
    source: str

    def method(self, path: str, place: str) -> Method:
        """A method (`package.Service/Method`). Raises `ConfigurationError` with the nearest that there is."""
        name, _, method_name = path.strip("/").rpartition("/")
        pool = DescriptorPool(self.files)
        service = self._service(pool, name, place)
        method = service.methods_by_name.get(method_name)
        if method is None:
            raise ConfigurationError(
                f"{place}: {name} has no method {method_name!r} ({self.source})",
                hint=_hint(method_name, list(service.methods_by_name), "its methods"),
            )
        return Method(f"/{name}/{method_name}", method.server_streaming, method.input_type, method.output_type, pool)

    def _service(self, pool: DescriptorPool, name: str, place: str) -> ServiceDescriptor:
        try:
            return pool.FindServiceByName(name)
        except KeyError as exc:
            known = list(self.services())
            raise ConfigurationError(
                f"{place}: there is no service {name!r} ({self.source})", hint=_hint(name, known, "there are")
            ) from exc
        except TypeError as exc:  # a file that another one imports is missing
            raise ConfigurationError(
                f"the descriptors of {name} are not complete ({self.source})",
                hint="protoc --include_imports writes all that are needed",
            ) from exc


def _hint(name: str, known: list[str], these: str) -> str:
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"{these}: {', '.join(known) or 'none'}"


def from_file(path: str, place: str) -> Descriptors:
    """The descriptors that `protoc --descriptor_set_out` wrote to a file."""
    try:
        with open(path, "rb") as file:
            found = FileDescriptorSet.FromString(file.read())
    except OSError as exc:
        raise ConfigurationError(f"{place}: cannot read {path}: {exc.strerror}") from exc
    except DecodeError as exc:
        raise ConfigurationError(
            f"{place}: {path} holds no descriptors", hint="protoc --descriptor_set_out=FILE --include_imports writes it"
        ) from exc
    services = [f"{file.package}.{service.name}".lstrip(".") for file in found.file for service in file.service]
    return Descriptors(_database(found.file), lambda: services, os.path.basename(path))


def by_reflection(connection: Connection, service: str) -> Descriptors:
    """
    The descriptors of a service, asked from the server itself. Raises `ConfigurationError` where it has no reflection.
    """
    reflection = _Reflection(connection)
    files = reflection.files(ServerReflectionRequest(file_containing_symbol=service))
    while missing := sorted({name for file in files.values() for name in file.dependency} - files.keys()):
        found = reflection.files(ServerReflectionRequest(file_by_filename=missing[0]))
        if missing[0] not in found:
            raise ProviderFailed(f"the server's reflection does not know its own file {missing[0]}")
        files |= found
    return Descriptors(_database(files.values()), reflection.services, "as the server's reflection says")


def _database(files: Iterable[FileDescriptorProto]) -> DescriptorDatabase:
    database = DescriptorDatabase()
    for file in files:
        database.Add(file)
    return database


class _Reflection:
    """The reflection service of a server, in the version that it has."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._version = 0

    def files(self, question: ServerReflectionRequest) -> dict[str, FileDescriptorProto]:
        """The file that is asked for, and perhaps those that it imports, by name; none where there is no such thing."""
        found = self._ask(question).file_descriptor_response.file_descriptor_proto
        files = [decoded(FileDescriptorProto, file) for file in found]
        return {file.name: file for file in files}

    def services(self) -> list[str]:
        """The names of all services."""
        answer = self._ask(ServerReflectionRequest(list_services="*"))
        return [service.name for service in answer.list_services_response.service]

    def _ask(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        while True:
            path = _REFLECTION.format(_VERSIONS[self._version])
            try:
                answers = list(self._connection.messages(path, question.SerializeToString()))
            except RequestRejected as exc:
                if exc.http_status != UNIMPLEMENTED:
                    raise
                self._another_version(exc)
            else:
                break
        if len(answers) != 1:
            raise ProviderFailed("the server's reflection did not give one answer to one question")
        return decoded(ServerReflectionResponse, answers[0])

    def _another_version(self, exc: RequestRejected) -> None:
        self._version += 1
        if self._version == len(_VERSIONS):
            raise ConfigurationError(
                "the server has no reflection, so nothing tells what its methods take",
                hint='descriptor = "FILE" names what protoc --descriptor_set_out=FILE --include_imports wrote',
            ) from exc
