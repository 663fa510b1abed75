"""What the sandboxed frame loads: a document that runs nothing, and the pictures, videos and files it shows.

A sandboxed frame sends no session cookie with what it loads, so that the address itself says who may see what, signed
and for some minutes. Whoever it was made for must still be allowed to see the artifact when it is used.
"""

from typing import Any, TypeVar

from django.core import signing
from django.core.files.base import File
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts.models import User
from content.documents import Outline, fitting, markdown, plain
from content.kinds import BINARY, Kind
from content.models import Artifact
from content.ranges import part_of
from content.shown import Shown, shown
from content.stored import opened

SALT = "content.frame"
LASTS = 15 * 60  # seconds
PLAYED = {Kind.IMAGE, Kind.VIDEO, Kind.AUDIO}
PERMISSION = "content.view_artifact"
EXPIRED = "This address has ended. Load the page from which it came again."
ELSEWHERE = "The content is not kept here."
MISSING = "The content is missing: nothing is stored under its reference."


class Gone(Exception):
    """There is nothing, or no longer anything, to see for whoever asks."""


def frame_address(artifact: Artifact, person: Any) -> str:
    return reverse("content-frame", args=[_signed(artifact, person)])


def file_address(artifact: Artifact, person: Any) -> str:
    return reverse("content-file", args=[_signed(artifact, person)])


def _signed(artifact: Artifact, person: Any) -> str:
    return signing.dumps([str(artifact.pk), artifact.content_sha256, str(person.pk)], salt=SALT)


def _meant(token: str) -> Artifact:
    try:
        key, sha256, person_key = signing.loads(token, salt=SALT, max_age=LASTS)
    except signing.BadSignature:
        raise Gone(EXPIRED) from None
    person = User.objects.filter(pk=person_key, is_active=True).first()
    artifact = Artifact.objects.select_related("task").filter(pk=key, content_sha256=sha256).first()
    if person is None or artifact is None or not person.has_perm(PERMISSION):
        raise Gone(EXPIRED)
    return artifact


@require_safe
@xframe_options_sameorigin
def document(request: HttpRequest, token: str) -> HttpResponse:
    """The frame's document. The console may frame it, and nobody else; it is the only page that can be framed."""
    media_address = request.build_absolute_uri(reverse("content-media", args=[token]))
    try:
        seen = shown(_meant(token))
        context: dict[str, Any] = {"kind": seen.kind, "media": media_address, **_document(seen)}
        status = 200
    except Gone as gone:
        context, status = {"sentence": str(gone)}, 410
    sheet = request.build_absolute_uri(static("console/frame.css"))
    html = render_to_string("content/frame.html", {"sheet": sheet, **context})
    return _guarded(
        HttpResponse(html, status=status), f"style-src {sheet}; img-src {media_address}; media-src {media_address}; "
    )


@require_safe
def media(request: HttpRequest, token: str) -> HttpResponseBase:
    """A picture, a video or a sound, as what its bytes are; nothing else, whatever it is said to be."""
    try:
        seen = shown(_meant(token))
        if seen.kind not in PLAYED:
            return _refused(MISSING)
        response = part_of(request, _file(seen.artifact), seen.media_type)
    except Gone as gone:
        return _refused(str(gone))
    response["Content-Disposition"] = "inline"
    return _guarded(response)


@require_safe
def download(request: HttpRequest, token: str) -> HttpResponseBase:
    """All of it, as a file to be kept: a browser neither shows nor runs it."""
    try:
        artifact = _meant(token)
        response = part_of(request, _file(artifact), BINARY)
    except Gone as gone:
        return _refused(str(gone))
    response["Content-Disposition"] = f'attachment; filename="{artifact.artifact_type}-{artifact.pk}"'
    return _guarded(response)


def _file(artifact: Artifact) -> File[bytes]:
    file = opened(artifact.content_ref)
    if file is None:
        raise Gone(MISSING)
    return file


def _refused(sentence: str) -> HttpResponseBase:
    return _guarded(HttpResponse(sentence, status=410, content_type="text/plain; charset=utf-8"))


R = TypeVar("R", bound=HttpResponseBase)


def _guarded(response: R, sources: str = "") -> R:
    response["Content-Security-Policy"] = (
        f"default-src 'none'; {sources}base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "private, no-store"
    return response


def _document(seen: Shown) -> dict[str, Any]:
    """What the template shows of it, by its kind."""
    if seen.kind == Kind.OUTLINE:
        outline = Outline(seen.value)
        return {"html": outline.html, "is_cut": outline.is_cut}
    if seen.kind == Kind.TABLE:
        return {"table": seen.table, "is_cut": seen.table is not None and seen.table.is_cut}
    if seen.kind in {Kind.TEXT, Kind.MARKDOWN}:
        html, is_cut = fitting(markdown if seen.kind == Kind.MARKDOWN else plain, seen.text)
        return {"html": html, "is_cut": is_cut or seen.is_cut}
    return {"sentence": seen.sentence or ELSEWHERE}
