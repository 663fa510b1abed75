"""The API's description as a page, written on the server from the OpenAPI document: the policy lets no viewer run.

Open to everybody: it tells what the program can do, which its source tells too, and nothing of what it holds.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from audit.api import MONEY, SHA256, SHARE, TRACE
from config.api import api

Schema = dict[str, Any]
UUID_EXAMPLE = "01970000-0000-7000-8000-000000000000"
SAMPLES = {"uuid": UUID_EXAMPLE, "date-time": "2026-05-03T12:00:00Z"}
# What texts of these forms are called, and one of them.
FORMS = {
    MONEY: ("amount in a text", "12.50"),
    SHARE: ("0 to 1 in a text", "0.925"),
    SHA256: ("SHA-256 in hex digits", "0" * 64),
    TRACE: ("trace: 32 hex digits", "0af7651916cd43dd8448eb211c80319c"),
}


@dataclass(frozen=True)
class Field:
    name: str
    kind: str
    needed: bool
    default: str
    about: str


@dataclass(frozen=True)
class Operation:
    key: str
    method: str
    path: str
    about: SafeString
    roles: str
    parameters: list[Field]
    body_type: str
    body: list[Field]
    answers: list[tuple[str, str, list[Field]]]
    curl: str


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    told = api.described
    page = Page(told["components"]["schemas"], request.build_absolute_uri("/").rstrip("/"))
    groups: dict[str, list[Operation]] = {}
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(page.operation(method, path, operation))
    context = {"about": paragraphs(told["info"]["description"]), "groups": groups.items()}
    return render(request, "api/docs.html", context)


def paragraphs(text: str) -> SafeString:
    """The little Markdown that descriptions use: paragraphs, **strong** and `code`."""
    told = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip()))
    told = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", told)
    return mark_safe("".join(f"<p>{part}</p>" for part in told.split("\n\n")))  # noqa: S308  # escaped above


class Page:
    def __init__(self, schemas: dict[str, Schema], origin: str) -> None:
        self.schemas, self.origin = schemas, origin

    def operation(self, method: str, path: str, told: Schema) -> Operation:
        body_type, schema = _content(told.get("requestBody", {}))
        roles = told["security"][0]["Bearer"]
        return Operation(
            key=told["operationId"],
            method=method.upper(),
            path=path,
            about=paragraphs(str(told.get("description") or told["summary"])),
            roles="every role" if len(roles) > 2 else " or ".join(roles),
            parameters=[self._parameter(each) for each in told.get("parameters", [])],
            body_type=body_type,
            body=self.fields(schema),
            answers=[
                (status, answer["description"], self.fields(_content(answer)[1]) if status < "300" else [])
                for status, answer in ((str(status), answer) for status, answer in told["responses"].items())
            ],
            curl=self._curl(method, path, body_type, schema),
        )

    def _parameter(self, told: Schema) -> Field:
        schema = told["schema"]
        return Field(told["name"], self.kind(schema), told["required"], _default(schema), schema.get("description", ""))

    def fields(self, schema: Schema, prefix: str = "") -> list[Field]:
        """The fields of an object, each followed by its own: `items[].task_id`."""
        schema = self._resolved(schema)
        needed, found = schema.get("required", []), []
        for name, each in schema.get("properties", {}).items():
            place, inner = f"{prefix}{name}", self._resolved(each)
            about = str(each.get("description", "")).replace("`", "")
            found.append(Field(place, self.kind(each), name in needed, _default(each), about))
            kinds = [self._resolved(kind) for kind in inner.get("anyOf", [inner])]
            for kind in kinds:
                is_list = kind.get("type") == "array"
                found += self.fields(kind.get("items", {}) if is_list else kind, f"{place}{'[]' if is_list else ''}.")
        return found

    def _resolved(self, schema: Schema) -> Schema:
        if len(schema.get("allOf", [])) == 1:
            schema = schema["allOf"][0]
        if "$ref" in schema:
            return self.schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def kind(self, schema: Schema) -> str:
        """What a value is, in words."""
        given, schema = schema, self._resolved(schema)
        if given.get("$ref", "").endswith(("/Json", "/JsonObject")):
            return "any JSON" if given["$ref"].endswith("/Json") else "JSON object"
        if "enum" in schema:
            return " | ".join(map(str, schema["enum"]))
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self.kind(each) for each in schema["anyOf"]))
        if schema.get("type") == "array":
            kind = self.kind(schema.get("items", {}))
            return "list of objects" if kind == "object" else f"list of {kind}"
        if schema.get("type") == "object":
            return "object"
        return _plain(schema)

    def _curl(self, method: str, path: str, body_type: str, schema: Schema) -> str:
        address = re.sub(r"\{(\w+)\}", lambda match: f"${match[1].upper()}", path)
        lines = [f'curl "{self.origin}{address}"', '-H "Authorization: Bearer $TOKEN"']
        if method == "post":
            lines.append('-H "Idempotency-Key: $(uuidgen)"')
        if body_type == "multipart/form-data":
            lines += [f"-F {self._form_field(field)}" for field in self.fields(schema) if field.needed]
        elif body_type:
            lines += [f'-H "Content-Type: {body_type}"', f"-d '{json.dumps(self.sample(schema), ensure_ascii=False)}'"]
        return " \\\n  ".join(lines)

    def _form_field(self, field: Field) -> str:
        return f"{field.name}=@{field.name}" if field.kind == "file" else f"{field.name}=…"

    def sample(self, schema: Schema) -> Any:
        """A small value of this shape: what has to be there, and no more."""
        schema = self._resolved(schema)
        for name in ("default", "const"):
            if name in schema:
                return schema[name]
        if "enum" in schema:
            return schema["enum"][0]
        if "anyOf" in schema:
            return self.sample(schema["anyOf"][0])
        kind = schema.get("type")
        if kind == "object":
            needed = schema.get("required", [])
            return {name: self.sample(each) for name, each in schema.get("properties", {}).items() if name in needed}
        if kind == "array":
            return [self.sample(schema.get("items", {}))]
        if kind in {"integer", "number"}:
            return schema.get("minimum", 1)
        if schema.get("pattern") in FORMS:
            return FORMS[schema["pattern"]][1]
        return True if kind == "boolean" else SAMPLES.get(schema.get("format", ""), "…")


def _content(told: Schema) -> tuple[str, Schema]:
    """The type and the schema of a body or an answer."""
    for kind, content in told.get("content", {}).items():
        return kind, content.get("schema", {})
    return "", {}


def _plain(schema: Schema) -> str:
    kind, form = str(schema.get("type", "any JSON")), schema.get("format", "")
    if form in {"uuid", "binary"}:
        return {"uuid": "UUID", "binary": "file"}[form]
    if form == "date-time":
        return "time"
    if kind == "integer":
        least, most = schema.get("minimum"), schema.get("maximum")
        return "whole number" if least is None or most is None or least < 0 else f"whole number, {least} to {most:,}"
    if schema.get("pattern") in FORMS:
        return FORMS[schema["pattern"]][0]
    if kind == "string" and "maxLength" in schema:
        return f"text, at most {schema['maxLength']:,} characters"
    return {"string": "text", "boolean": "true or false", "null": "null", "number": "number"}.get(kind, kind)


def _default(schema: Schema) -> str:
    return json.dumps(schema["default"], ensure_ascii=False) if "default" in schema else ""
