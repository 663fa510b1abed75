"""A world in which every text that an agent, or anybody with SQL, could have written is hostile.

The rows are made as in life and rewritten afterwards behind the triggers' backs: columns that are added later are
rewritten too, without anybody thinking of it.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any

import psycopg
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models
from psycopg import sql

from agents.models import Agent
from campaigns.models import Campaign
from content.models import Artifact
from tests.conftest import TEST_DATABASE, administrator

APPS = {"agents", "campaigns", "content", "metrics", "audit"}
ENDLESS = {"title", "error"}  # the other texts have the length that the API takes, or an index holds
# What has a form of its own: keys, hashes, addresses of people, names of files and tables.
KEPT = {
    "agent_id", "agent", "trace_id", "content_sha256", "artifact_sha256", "inputs_hash", "token_sha256", "password",
    "email", "actor_id", "entity_id", "reviewer_id", "time_zone", "content_ref", "table_name", "files", "prefix",
    "request_sha256", "schema_fingerprint", "scopes", "response",
}  # fmt: skip
MB = 1024 * 1024
RIGHT_TO_LEFT, ISOLATE, NO_WIDTH = "\u202e", "\u2066", "\u200b"
MARKUP = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>\"'><svg/onload=alert(3)>"
    '<meta http-equiv="refresh" content="0;url=https://evil.example/"><base href="https://evil.example/">'
    '<form action="https://evil.example/"><button>Approve</button></form><iframe src="https://evil.example/"></iframe>'
    "<style>*{position:fixed;inset:0;background:red}</style><link rel=stylesheet href=https://evil.example/x.css>"
    '<a href="javascript:alert(4)">x</a><div style="position:fixed;inset:0;z-index:99999">over everything</div>'
    "</textarea></pre></title>{{ 191|add:191 }}{% now 'Y' %}javascript:alert(5)"
)
ODD = (
    f"{RIGHT_TO_LEFT}gnp.exe {ISOLATE}{NO_WIDTH}{'w' * 10_000} \x01\x07\x1b[31m\x7f\x85\ufeff\ufffe"
    f" {'ﷺ' * 40}{'a̶̴̡̛̛̛' * 40}"
)
LARGE = "<b>'\"& " * (5 * MB // 8)
MOST = 100 * MB  # of one column: a table of many rows gets less in each
TEXTS = {"markup": MARKUP, "odd": ODD, "large": LARGE}


def poison(name: str) -> set[str]:
    """Rewrite every text of every row; returns the columns, as `table.column`."""
    poisoned = set()
    with administrator(TEST_DATABASE) as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # past the triggers; the checks hold
        for model in apps.get_models():
            if model._meta.app_label in APPS and model._meta.managed:
                poisoned |= _rewrite(connection, model, TEXTS[name])
        _contents(connection, TEXTS[name])
    return poisoned


def _rewrite(connection: psycopg.Connection[Any], model: type[models.Model], text: str) -> set[str]:
    table, key = sql.Identifier(model._meta.db_table), sql.Identifier(model._meta.pk_fields[0].column)
    rewritten = set()
    if model in {Campaign, Agent}:  # people write these, in forms that hold all of it
        text = text[:2000]
    text = text[: max(MOST // max(model._default_manager.count(), 1), 2000)]
    for column, value in _values(model, text):
        try:
            with connection.transaction():
                connection.execute(
                    sql.SQL("UPDATE {} SET {} = {} WHERE {} IS NOT NULL").format(
                        table, sql.Identifier(column), value(key), sql.Identifier(column)
                    )
                )
        except (psycopg.errors.IntegrityError, psycopg.errors.ProgramLimitExceeded):
            continue  # no agent gets past a rule of the table, or past what its index holds
        rewritten.add(f"{model._meta.db_table}.{column}")
    return rewritten


def _values(model: type[models.Model], text: str) -> Iterator[tuple[str, Any]]:
    """For each column the text, or a shorter one where an index holds it, each row's a little different."""
    for field in model._meta.concrete_fields:
        if field.name in KEPT or field.choices or field.primary_key or field.is_relation:
            continue
        if isinstance(field, models.JSONField):
            yield field.column, lambda _, name=field.name: sql.Literal(json.dumps(_json(name, text)))
        elif isinstance(field, models.TextField | models.CharField):
            for most in (500, 20_000, *([len(text)] if field.name in ENDLESS else [])):  # until an index refuses it
                yield (
                    field.column,
                    lambda key, given=text[:most]: sql.SQL("{} || left(md5({}::text), 8)").format(
                        sql.Literal(given), key
                    ),
                )


def _json(name: str, text: str) -> Any:
    if name == "target_platforms":
        return [text[:1000], "tiktok"]
    if name == "changes":
        return {"title": [None, text], text[:1000]: [text[:1000], {text[:1000]: 1}], "error": [text, None]}
    if name in {"sources", "reasons", "policy_hits"}:
        evil = [{"title": text[:1000], "url": "javascript:alert(6)"}, {"url": f"https://{text[:99]}"}]
        return [text, *evil, "javascript:alert(7)"]
    evil_address = {"url": "javascript:alert(8)", "external_url": "javascript:alert(9)"}
    return {text[:1000]: [text], "format": "markdown", **evil_address}


def _contents(connection: psycopg.Connection[Any], text: str) -> None:
    """Each artifact gets one of the contents in turn; the types stay, so that some are not what they say."""
    contents = [*map(_stored, hostile_contents(text)), ("javascript:alert(10)", "a" * 64), ("../etc/passwd", "a" * 64)]
    for place, artifact in enumerate(Artifact.objects.order_by("pk")):
        connection.execute(
            "UPDATE artifact SET content_ref = %s, content_sha256 = %s WHERE artifact_id = %s",
            [*contents[place % len(contents)], artifact.pk],
        )


def hostile_contents(text: str) -> list[bytes]:
    return [
        text.encode(),
        f"# {text[:1000]}\n\n[x](javascript:alert(11)) ![p](https://evil.example/p.gif) <https://evil.example>\n".encode(),
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(12)"><script>alert(13)</script>{text}</svg>'.encode(),
        f"<!doctype html><html><body onload=alert(14)>{text}".encode(),
        json.dumps({text[:1000]: [text, {"a": text}] * 3}).encode(),
        f"platform,views\n{text},3\n".encode() * 3,
        b"\x89PNG\r\n\x1a\n" + zlib.compress(text.encode()),  # no picture, but it begins like one
        b"\x00\x00\x00\x20ftypisom" + text.encode()[: 1 * MB],
    ]


def _stored(content: bytes) -> tuple[str, str]:
    digest = hashlib.sha256(content).hexdigest()
    reference = f"sha256/{digest[:2]}/{digest}"
    if not default_storage.exists(reference):
        default_storage.save(reference, ContentFile(content))
    return reference, digest
