"""What comes in with a request, read with care: its size, its kind, its encoding, and every number in it."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest
from django.http.request import UnreadablePostError
from ninja.errors import HttpError
from ninja.parser import Parser

from audit import exact_json
from audit.errors import Invalid

V = TypeVar("V")

MB = 1024 * 1024
DRAINED = 64 * MB  # a body that is too large is read to its end up to this size
DEEPEST = 60  # levels; PostgreSQL and most languages read at least so many
LONGEST_NUMBER = 1000  # digits, and the largest exponent
MULTIPART = "multipart/form-data"
EXPONENT = re.compile(r"[eE]([+-]?)0*([0-9]*)$")


@dataclass(frozen=True)
class Accepted:
    """What an operation takes for a body."""

    types: tuple[str, ...] = ("application/json",)
    most: int = 2 * MB  # bytes


def accepts(*types: str, most: int) -> Callable[[V], V]:
    """Marks an operation whose body is not JSON of ordinary size."""

    def mark(view: V) -> V:
        view.accepted = Accepted(types, most)  # type: ignore[attr-defined]
        return view

    return mark


def check_query(request: HttpRequest, known: set[str]) -> None:
    """Refuses what would be ignored or changed in silence: a misspelt filter shows everything."""
    try:
        text = unquote_to_bytes(request.META.get("QUERY_STRING", "").encode("latin-1")).decode()
    except UnicodeError:
        raise HttpError(400, "The query of the address is not in UTF-8.") from None
    if "\x00" in text:
        raise HttpError(400, "The query of the address contains a character that cannot be stored (NUL).")
    for name, values in request.GET.lists():
        if name not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise Invalid(f"There is no parameter “{name[:80]}” here; {takes}.")
        if len(values) > 1:
            raise Invalid(f"The parameter “{name}” is given {len(values)} times; give it once.")


def read_body(request: HttpRequest, accepted: Accepted) -> None:
    """Reads the body once its size and kind are known to be right; a multipart one is left to be streamed."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise HttpError(411, "Say the length of the body (Content-Length); it cannot be sent in chunks.")
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    if length > accepted.most:
        if length <= DRAINED:
            _drain(request, length)
        raise HttpError(413, f"The body has {length:,} bytes; at most {accepted.most:,} are taken here.")
    if not length:
        request._body = b""
        return
    if request.content_type not in accepted.types:
        raise HttpError(415, f"Send the body as {' or '.join(accepted.types)}.")
    if (request.content_params or {}).get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise HttpError(415, "Send the body in UTF-8.")
    try:
        if request.content_type == MULTIPART:
            request.POST  # noqa: B018  # streams the files to where they wait
            return
        request._body = request.read()
    except UnreadablePostError:
        raise HttpError(400, "The body ended before its length was reached.") from None
    if len(request.body) < length:
        raise HttpError(400, "The body ended before its length was reached.")


def _drain(request: HttpRequest, length: int) -> None:
    """Read what is not wanted: most callers hear an answer only once they have sent all."""
    with suppress(UnreadablePostError):
        while length > 0 and (chunk := request.read(min(length, MB))):
            length -= len(chunk)


def fingerprint(request: HttpRequest) -> str:
    """SHA-256 of what was asked: method, address and body. A multipart body counts by its parts, not its boundary."""
    told = hashlib.sha256(f"{request.method} {request.get_full_path()} {request.content_type}\n".encode())
    if request.content_type != MULTIPART:
        told.update(request.body)
        return told.hexdigest()
    fields = [[name, values] for name, values in sorted(request.POST.lists())]
    files = [
        [name, file.name, file.content_type, _digest(file)]
        for name, given in sorted(request.FILES.lists())
        for file in given
    ]
    told.update(exact_json.dumps([fields, files]).encode())
    return told.hexdigest()


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


class ExactParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return read_json(request.body)


def read_json(content: bytes) -> Any:
    """JSON to the last digit; refuses with a sentence what could not be stored or read again."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise HttpError(400, "The body is not in UTF-8.") from None
    try:
        value = exact_json.loads(text, parse_int=_int, parse_float=_decimal, parse_constant=_no_number)
    except RecursionError:
        raise Invalid(_TOO_DEEP) from None
    except ValueError as mistake:
        raise HttpError(400, f"The body is not JSON: {mistake}.") from None
    for each in _texts(value):
        if "\x00" in each or any("\ud800" <= character <= "\udfff" for character in each):
            raise Invalid("A text contains a character that cannot be stored (NUL or half of a surrogate pair).")
    return value


_TOO_DEEP = f"The JSON is nested too deeply; {DEEPEST} levels are taken."


def _texts(value: Any) -> Iterator[str]:
    """Every text of a value, level by level; refuses a level too many."""
    level = [value]
    for _ in range(DEEPEST + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, str):
                yield each
            elif isinstance(each, dict):
                yield from each
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return
        level = below
    raise Invalid(_TOO_DEEP)


def _int(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise Invalid(f"A number has more than {LONGEST_NUMBER:,} digits.")
    return int(text)


def _decimal(text: str) -> Decimal:
    exponent = EXPONENT.search(text)
    if len(text) > LONGEST_NUMBER or (exponent and len(exponent[2]) > 4) or abs(Decimal(text).adjusted()) > 1000:
        raise Invalid(f"A number is too long: {LONGEST_NUMBER:,} digits and exponents to {LONGEST_NUMBER:,} are taken.")
    return Decimal(text)


def _no_number(text: str) -> NoReturn:
    raise HttpError(400, f"The body is not JSON: {text} is no number.")
