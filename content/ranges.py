"""Parts of a file, so that a video can be sought in (RFC 9110, 14): Django's FileResponse knows only the whole."""

import re
from collections.abc import Iterator

from django.core.files.base import File
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

ONE_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)
MOST = 4 * 1024 * 1024  # bytes of one part: a player asks on, and no thread waits for somebody who watches
CHUNK = 64 * 1024


def part_of(request: HttpRequest, file: File[bytes], content_type: str) -> HttpResponseBase:
    """What the Range header asks for; the whole when it asks for none, or for something that is not one range."""
    size = file.size
    asked = ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    response: HttpResponseBase
    if asked is None or not (asked[1] or asked[2]):
        response = FileResponse(file, content_type=content_type)
    elif (bounds := _bounds(asked[1], asked[2], size)) is None:
        file.close()
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        response = _part(file, *bounds, content_type)
    response["Accept-Ranges"] = "bytes"
    return response


def _bounds(first: str, last: str, size: int) -> tuple[int, int] | None:
    """The first and the last byte; None when there is none of those asked for."""
    if not first:  # the last so many
        start, end = max(size - int(last), 0), size - 1
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
    return (start, min(end, start + MOST - 1)) if start <= end else None


def _part(file: File[bytes], start: int, end: int, content_type: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_read(file, start, end - start + 1), status=206, content_type=content_type)
    response["Content-Range"] = f"bytes {start}-{end}/{file.size}"
    response["Content-Length"] = str(end - start + 1)
    return response


def _read(file: File[bytes], start: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while length > 0 and (chunk := file.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk
