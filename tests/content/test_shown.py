"""Content as a reviewer sees it: what it is by its bytes, what is said where it cannot be shown, and the frame."""

import json
import re
import time
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core import signing
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from accounts.models import User
from config.groups import OPERATOR, REVIEWER
from content.documents import MOST_ROWS
from content.frame import LASTS, SALT, file_address, frame_address
from content.kinds import BINARY, Kind, media_type
from content.models import Artifact, VideoAsset
from content.ranges import MOST
from content.shown import HEIGHTS, Shown, shown
from tests import factories
from tests.factories import PNG, made_anew, make_artifact, make_task, make_user

pytestmark = pytest.mark.django_db

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(3000)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + bytes(100)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF89a\x01\x00", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
        (b"\x00\x00\x00\x20ftypheic", "image/heic"),
        (MP4, "video/mp4"),
        (WEBM, "video/webm"),
        (WAV, "audio/wav"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"ID3 tags are a nuisance", "text/plain"),
        (SVG, "image/svg+xml"),
        (b"\xef\xbb\xbf  <!-- x --> <SVG onload=alert(1)>", "image/svg+xml"),
        (HTML, "text/html"),
        (b"<p>three fees</p>", "text/plain"),
        ("የዋጋ ዝርዝር".encode(), "text/plain"),
        ("የዋጋ ዝርዝር".encode()[:-1], BINARY),
        (b"", "text/plain"),
        (b"caf\xe9 au lait", BINARY),
        (b"text\x00", BINARY),
        (b"\xff\xfet\x00", BINARY),
    ],
)
def test_what_bytes_are(head: bytes, expected: str) -> None:
    assert media_type(head) == expected


def test_a_text_that_is_cut_within_a_character_is_a_text() -> None:
    assert media_type("የዋጋ ዝርዝር".encode()[:-1], is_cut=True) == "text/plain"
    assert media_type(b"caf\xe9 au lait", is_cut=True) == BINARY


def made(content: bytes, artifact_type: str = "text", **fields: Any) -> Shown:
    return shown(make_artifact(content=content, artifact_type=artifact_type, **fields))


@pytest.mark.parametrize(
    ("artifact_type", "content", "metadata", "kind"),
    [
        ("text", b"three fees", None, Kind.TEXT),
        ("text", b"# Three fees", {"format": "markdown"}, Kind.MARKDOWN),
        ("text", b"# Three fees", {"format": "html"}, Kind.TEXT),
        ("text", b"# Three fees", ["markdown"], Kind.TEXT),
        ("image", PNG, None, Kind.IMAGE),
        ("video", MP4, None, Kind.VIDEO),
        ("plan", b'{"steps": ["film", "cut"]}', None, Kind.OUTLINE),
        ("plan", b"1. film\n2. cut", None, Kind.TEXT),
        ("plan", b'{"steps": ["fil', None, Kind.TEXT),
        ("plan", b"[" * 100_000, None, Kind.TEXT),
        ("metrics_batch", b'[{"views": 3, "platform": "tiktok"}]', None, Kind.TABLE),
        ("metrics_batch", b"platform,views\ntiktok,3\n", None, Kind.TABLE),
        ("metrics_batch", b"all went well", None, Kind.TEXT),
        ("metrics_batch", b"[3, 4]", None, Kind.TEXT),
    ],
)
def test_how_content_is_shown(artifact_type: str, content: bytes, metadata: Any, kind: Kind) -> None:
    seen = made(content, artifact_type, metadata=metadata)
    assert seen.kind == kind
    assert seen.warnings == []
    assert not seen.differs


@pytest.mark.parametrize(
    ("artifact_type", "content", "kind", "said"),
    [
        ("image", HTML, Kind.TEXT, "said to be an image, but its bytes are text/html"),
        ("image", SVG, Kind.TEXT, "can carry scripts"),
        ("image", MP4, Kind.VIDEO, "said to be an image, but its bytes are video/mp4"),
        ("video", PNG, Kind.IMAGE, "said to be a video, but its bytes are image/png"),
        ("video", WAV, Kind.AUDIO, "said to be a video, but its bytes are audio/wav"),
        ("text", PNG, Kind.IMAGE, "said to be a text, but its bytes are image/png"),
        ("text", b"pay\xe2\x80\xaegnp.exe", Kind.TEXT, "U+202E"),
        ("text", b"pa\xe2\x80\x8by", Kind.TEXT, "U+200B"),
        ("text", b"bell\x07", Kind.TEXT, "U+0007"),
    ],
)
def test_what_is_odd_is_said(artifact_type: str, content: bytes, kind: Kind, said: str) -> None:
    seen = made(content, artifact_type)
    assert seen.kind == kind
    assert said in " ".join(seen.warnings)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"content": b""}, "The content is empty."),
        ({"content": b"caf\xe9"}, "Nobody can tell what these bytes are. Download it to look."),
        ({"content": b"%PDF-1.7"}, "It is application/pdf, which is not shown here. Download it to look."),
        ({"content_ref": "s3://bucket/a.mp4"}, "The content is at s3://bucket/a.mp4, which a browser cannot open."),
        ({"content_ref": "ftp://host/a"}, "The content is at ftp://host/a, which a browser cannot open."),
        ({"content_ref": "sha256/no/thing"}, "nothing is stored under its reference"),
        ({"content_ref": "sha256"}, "nothing is stored under its reference"),
        ({"content_ref": "../../../etc/passwd"}, "nothing is stored under its reference"),
        ({"content_ref": "/etc/passwd"}, "nothing is stored under its reference"),
        ({"content_ref": "x" * 5000}, "nothing is stored under its reference"),
        ({"content_ref": "javascript:alert(1)"}, "nothing is stored under its reference"),
    ],
)
def test_where_nothing_can_be_shown_a_sentence_says_why(fields: dict[str, Any], said: str) -> None:
    make_artifact(content=b"something, so that the folder is there")
    known = {} if "content" in fields else {"content_sha256": "a" * 64}
    seen = shown(make_artifact(**fields, **known))
    assert seen.kind is None
    assert said in seen.sentence


def test_what_is_outside_is_a_link_with_its_host() -> None:
    seen = shown(make_artifact(content_ref="https://cdn.example.org/a.mp4", content_sha256="a" * 64))
    assert (seen.address, seen.host, seen.kind) == ("https://cdn.example.org/a.mp4", "cdn.example.org", None)


def test_what_was_changed_in_the_store_is_not_trusted() -> None:
    seen = shown(make_artifact(content_ref=make_artifact(content=b"one").content_ref, content_sha256="b" * 64))
    assert seen.differs
    assert "its hash differs" in seen.warnings[0]


def test_what_is_too_large_to_be_compared_is_said_to_be() -> None:
    with mock.patch("content.stored.HASHED", 10):
        seen = made(b"a longer text")
    assert not seen.is_compared
    assert not seen.differs
    assert "too large" in seen.warnings[0]


def test_of_a_long_text_the_beginning_is_shown() -> None:
    seen = made(b"word " * 1_000_000)
    assert seen.is_cut
    assert len(seen.text) == 64 * 1024
    assert not made(b"word").is_cut


def test_links_in_a_text_are_listed_with_only_what_a_browser_may_follow() -> None:
    seen = made(
        b"see https://nbe.gov.et/rates, [x](https://a.example/b) javascript:alert(1) http://a b https://nbe.gov.et/rates"
    )
    assert seen.links == ["https://nbe.gov.et/rates", "https://a.example/b", "http://a"]


# The frame


def framed(content: bytes, artifact_type: str = "text", **fields: Any) -> Any:
    artifact = make_artifact(content=content, artifact_type=artifact_type, **fields)
    return Client().get(frame_address(artifact, make_user(REVIEWER)))  # without a session, as a sandboxed frame asks


def test_the_document_runs_nothing_and_may_be_framed_by_the_console_only() -> None:
    answer = framed(b"three fees")
    policy = answer["Content-Security-Policy"]
    assert answer.status_code == 200
    assert policy.startswith("default-src 'none'; style-src http://testserver/static/console/frame.css; ")
    assert policy.endswith("base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox")
    assert "script-src" not in policy
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies


def test_the_console_itself_is_framed_by_nobody() -> None:
    client = Client()
    client.force_login(make_user(REVIEWER), backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(reverse("admin:index"))
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"


def test_html_in_a_text_is_text() -> None:
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in framed(b"<script>alert(1)</script>").content


def test_markdown_is_shown_without_html_without_pictures_and_with_links_that_say_where_they_lead() -> None:
    text = b"""# Three fees\n\n<script>alert(1)</script>\n\n[good](https://a.example/x) [bad](javascript:alert(2))
[data](data:text/html,x) ![pixel](https://spy.example/p.gif) <https://b.example> | a |\n\n| a |\n|---|\n| b |\n"""
    page = framed(text, metadata={"format": "markdown"}).content.decode()
    assert "<h1>Three fees</h1>" in page
    assert "&lt;script&gt;" in page
    assert '<span class="link">good</span> <span class="address">‹https://a.example/x›</span>' in page
    assert "[picture from outside: pixel ‹https://spy.example/p.gif›]" in page
    assert "<table>" in page
    assert "<a" not in page
    assert "<img" not in page
    assert "[bad](javascript:alert(2))" in page


def test_a_plan_is_an_outline_and_a_batch_a_table() -> None:
    plan = framed(json.dumps({"goal": "<b>sell</b>", "steps": [{"film": True}, None, 1.5]}).encode(), "plan")
    assert "<dt>goal</dt><dd>&lt;b&gt;sell&lt;/b&gt;</dd>" in plan.content.decode()
    assert "<dt>film</dt><dd>yes</dd>" in plan.content.decode()
    batch = framed(b"platform;views\n<i>tiktok</i>;3\n", "metrics_batch").content.decode()
    assert '<th scope="col">views</th>' in batch
    assert "<td>&lt;i&gt;tiktok&lt;/i&gt;</td><td>3</td>" in batch


@pytest.mark.parametrize(
    ("content", "artifact_type"),
    [
        (json.dumps(list(range(20_000))).encode(), "plan"),
        (b"a,b\n" + b"1,2\n" * (MOST_ROWS * 2), "metrics_batch"),
        (json.dumps([{"a": 1}] * MOST_ROWS * 2).encode(), "metrics_batch"),
        (b"word " * 1_000_000, "text"),
        (b"'<&" * 40_000, "text"),
        (b"\x07" * 64_000, "text"),
        (b"'<&" * 40_000, "plan"),
        (json.dumps(["'" * 60_000] * 9).encode(), "plan"),
        (json.dumps([{"'" * 300 + str(n): "'" * 300 for n in range(30)}] * 100).encode(), "metrics_batch"),
    ],
)
def test_what_is_long_is_cut_says_so_and_is_never_heavy(content: bytes, artifact_type: str) -> None:
    answer = framed(content, artifact_type)
    assert "Only the beginning is shown" in answer.content.decode()
    assert len(answer.content) < 240_000


def test_unseen_characters_are_named_in_the_text() -> None:
    assert '<b class="unseen">U+202E</b>' in framed(b"pay\xe2\x80\xaegnp.exe").content.decode()


HEAVY_MARKDOWN = [
    "[" * 30_000,
    "*a " * 20_000,
    "`" * 60_000,
    ">" * 60_000,
    "- " * 30_000,
    "![" * 30_000,
    "<a " * 20_000,
    "_a*b" * 16_000,
    "[a](" * 16_000,
    "|" * 60_000,
    "a|\n-|\n" * 9_000,
    "&" * 60_000,
    "\\" * 60_000,
    "[a]: b\n" * 9_000,
    "``" + "` ``" * 16_000,
    "<!--" * 16_000,
    "~~a" * 20_000,
    "http://" * 9_000,
]


@pytest.mark.parametrize("text", HEAVY_MARKDOWN, ids=lambda text: text[:4])
def test_no_markdown_keeps_anybody_waiting(text: str) -> None:
    begun = time.process_time()
    answer = framed(text.encode(), metadata={"format": "markdown"})
    assert answer.status_code == 200
    assert time.process_time() - begun < 3
    assert len(answer.content) < 240_000


# Signed addresses


def media_of(artifact: Artifact, person: User) -> str:
    return f"{frame_address(artifact, person)}media"


def test_a_picture_comes_as_what_its_bytes_are() -> None:
    artifact = make_artifact(content=PNG, artifact_type="image")
    person = make_user(REVIEWER)
    page = Client().get(frame_address(artifact, person))
    (address,) = re.findall(r'<img src="([^"]+)"', page.content.decode())
    assert f"img-src {address};" in page["Content-Security-Policy"]
    picture = Client().get(address)
    assert b"".join(picture.streaming_content) == PNG
    assert picture["Content-Type"] == "image/png"
    assert picture["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in picture["Content-Security-Policy"]


@pytest.mark.parametrize("content", [HTML, SVG, b"three fees", b"%PDF-1.7"])
def test_what_is_no_picture_is_never_served_as_one(content: bytes) -> None:
    artifact = make_artifact(content=content, artifact_type="image", metadata={"content_type": "text/html"})
    answer = Client().get(media_of(artifact, make_user(REVIEWER)))
    assert answer.status_code == 410
    assert answer["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("content", [HTML, SVG, PNG, b"three fees"])
def test_a_download_is_a_download(content: bytes) -> None:
    answer = Client().get(file_address(make_artifact(content=content), make_user(REVIEWER)))
    assert b"".join(answer.streaming_content) == content
    assert answer["Content-Type"] == BINARY
    assert answer["Content-Disposition"].startswith("attachment; ")
    assert "sandbox" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("which", ["content-frame", "content-media", "content-file"])
def test_an_address_ends_and_is_not_forged(which: str) -> None:
    artifact, person = make_artifact(content=PNG, artifact_type="image"), make_user(REVIEWER)
    token = frame_address(artifact, person).split("/")[2]
    good = reverse(which, args=[token])
    answer = Client().get(good)
    answer.close()
    assert answer.status_code == 200
    assert Client().post(good).status_code == 405
    forged = signing.dumps([str(artifact.pk), artifact.content_sha256, str(person.pk)], salt="another")
    for bad in (token[:-1], "nonsense", forged, token.replace(":", "x")):
        assert Client().get(reverse(which, args=[bad])).status_code == 410
    with mock.patch("django.core.signing.time.time", return_value=time.time() + LASTS + 5):
        assert Client().get(good).status_code == 410


def test_an_address_is_its_viewers_for_as_long_as_they_may_see_it() -> None:
    artifact, person = make_artifact(), make_user(REVIEWER)
    address = frame_address(artifact, person)
    person.groups.clear()
    assert Client().get(address).status_code == 410
    person = make_user(OPERATOR)
    address = frame_address(artifact, person)
    person.is_active = False
    person.save()
    assert Client().get(address).status_code == 410


def test_an_address_is_bound_to_the_hash() -> None:
    artifact, person = make_artifact(), make_user(REVIEWER)
    token = signing.dumps([str(artifact.pk), "b" * 64, str(person.pk)], salt=SALT)
    assert Client().get(reverse("content-frame", args=[token])).status_code == 410


def test_a_frame_whose_content_went_away_says_so() -> None:
    artifact, person = make_artifact(content=b"to be lost"), make_user(REVIEWER)
    address = frame_address(artifact, person)
    default_storage.delete(artifact.content_ref)
    assert b"nothing is stored under its reference" in Client().get(address).content
    assert Client().get(file_address(artifact, person)).status_code == 410
    default_storage.save(artifact.content_ref, ContentFile(b"to be lost"))


# Parts of a file


@pytest.mark.parametrize(
    ("asked", "status", "bounds"),
    [
        ("bytes=0-9", 206, (0, 9)),
        ("bytes=10-", 206, (10, None)),
        ("bytes=-5", 206, (-5, None)),
        ("bytes=0-99999999", 206, (0, None)),
        ("bytes=-99999999", 206, (0, None)),
        ("bytes=99999999-", 416, None),
        ("bytes=9-3", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-1,5-6", 200, None),
        ("bytes=-", 200, None),
        ("lines=1-2", 200, None),
        ("bytes=" + "9" * 400 + "-", 200, None),
    ],
)
def test_ranges(asked: str, status: int, bounds: tuple[int, int | None] | None) -> None:
    content = MP4 + bytes(range(256))
    artifact = make_artifact(content=content, artifact_type="video")
    answer = Client().get(media_of(artifact, make_user(REVIEWER)), headers={"Range": asked})
    assert answer.status_code == status
    assert answer["Accept-Ranges"] == "bytes"
    if status == 416:
        assert answer["Content-Range"] == f"bytes */{len(content)}"
        return
    got = b"".join(answer.streaming_content)
    if bounds is None:
        assert got == content
        return
    start, end = bounds
    expected = content[start:] if end is None else content[start : end + 1]
    assert got == expected
    first = len(content) + start if start < 0 else start
    assert answer["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"
    assert answer["Content-Length"] == str(len(expected))


def test_one_part_is_never_so_long_that_a_thread_waits_for_somebody_who_watches() -> None:
    artifact = make_artifact(content=MP4 + bytes(MOST * 2), artifact_type="video")
    answer = Client().get(media_of(artifact, make_user(REVIEWER)), headers={"Range": "bytes=0-"})
    assert len(b"".join(answer.streaming_content)) == MOST


# The pages around it


@pytest.fixture
def reviewer() -> Client:
    client = Client()
    client.force_login(make_user(REVIEWER), backend="django.contrib.auth.backends.ModelBackend")
    return client


def text(answer: Any) -> str:
    answer.render() if hasattr(answer, "render") and not answer.is_rendered else None
    return str(answer.content.decode())


def page_of(row: Any) -> str:
    return reverse(f"admin:content_{row._meta.model_name}_change", args=[row.pk])


def test_the_page_of_an_artifact_tells_its_versions_its_decisions_and_what_changed(reviewer: Client) -> None:
    first = make_artifact(content=b"the hidden margin")
    second = made_anew(first, b"the exchange margin")
    third = made_anew(second, b"the exchange-rate margin")

    page = text(reviewer.get(page_of(second)))

    assert '<iframe class="frame frame-lines-3" sandbox="" src="/content/' in page
    assert "Changed since version 1" in page
    assert "hidden<span" in page
    assert f'href="{page_of(first)}"' in page
    assert f'href="{page_of(third)}"' in page
    assert f'href="{page_of(second.decisions.get())}"' in page
    assert reverse("admin:trace", args=[second.task.trace_id]) in page
    against = text(reviewer.get(f"{page_of(third)}?against={first.pk}"))
    assert "Changed since version 1" in against


def test_the_page_of_an_artifact_with_posts_leads_to_them(reviewer: Client) -> None:
    post = factories.published_post()
    assert f'href="{page_of(post)}"' in text(reviewer.get(page_of(post.artifact)))


def test_the_page_of_an_artifact_costs_the_same_however_much_there_is(
    reviewer: Client, django_assert_max_num_queries: Any
) -> None:
    artifact = make_artifact(content=b"one", max_attempts=9)
    for number in range(4):
        artifact = made_anew(artifact, f"version {number}".encode())
    factories.judged(artifact=artifact, decision="escalate")
    with django_assert_max_num_queries(30):
        reviewer.get(page_of(artifact))


def test_the_page_of_a_decision_says_whether_it_is_on_what_is_stored(reviewer: Client) -> None:
    decision = factories.judged(content=b"one")
    assert "what is stored is what was decided on" in text(reviewer.get(page_of(decision)))
    default_storage.delete(decision.artifact.content_ref)
    default_storage.save(decision.artifact.content_ref, ContentFile(b"changed"))
    page = text(reviewer.get(page_of(decision)))
    default_storage.delete(decision.artifact.content_ref)
    assert "what is stored is what was decided on" not in page
    assert "its hash differs" in page


@pytest.mark.parametrize("name", ["alone", "file"])
def test_the_consoles_own_addresses_ask_who_it_is(reviewer: Client, name: str) -> None:
    artifact = make_artifact()
    address = reverse(f"admin:content_artifact_{name}", args=[artifact.pk])
    assert reviewer.get(address)["Location"].startswith("/content/")
    assert Client().get(address)["Location"].startswith("/admin/login/")
    reviewer.get(reverse("admin:content_artifact_alone", args=["019a0000-0000-7000-8000-000000000000"]))
    stranger = Client()
    stranger.force_login(make_user(), backend="django.contrib.auth.backends.ModelBackend")
    assert stranger.get(address).status_code == 403


def test_the_page_of_a_video_shows_it_and_leads_to_where_it_is_outside(reviewer: Client) -> None:
    artifact = make_artifact(content=MP4, artifact_type="video")
    fields = {"agent": artifact.task.agent, "task": artifact.task, "platform": "tiktok", "status": "pending"}
    for address, followed in (("https://cdn.example.org/a.mp4", True), ("javascript:alert(1)", False)):
        video = VideoAsset.objects.create(**fields, artifact=artifact, metadata={"external_url": address})
        page = text(reviewer.get(page_of(video)))
        assert 'sandbox="" src="/content/' in page
        assert (f'href="{address}"' in page) == followed


@pytest.mark.parametrize(("value", "cut"), [({"brief": "short"}, False), ({"brief": "x" * 5_000_000}, True)])
def test_of_a_long_value_the_beginning_is_shown_and_all_of_it_is_one_click_away(
    reviewer: Client, value: dict[str, str], cut: bool
) -> None:
    task = make_task(context=value)
    page = text(reviewer.get(reverse("admin:campaigns_task_change", args=[task.pk])))
    whole = reverse("admin:campaigns_task_value", args=[task.pk, "context"])
    assert (f'<a href="{whole}">Read all of it</a>' in page) == cut
    assert len(page) < 250_000
    answer = reviewer.get(whole)
    assert json.loads(answer.content) == value
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_the_whole_of_a_value_is_for_those_who_may_see_its_page() -> None:
    task = make_task()
    whole = reverse("admin:campaigns_task_value", args=[task.pk, "context"])
    stranger = Client()
    stranger.force_login(make_user(), backend="django.contrib.auth.backends.ModelBackend")
    assert stranger.get(whole).status_code == 403
    stranger.force_login(make_user(REVIEWER), backend="django.contrib.auth.backends.ModelBackend")
    assert stranger.get(whole.replace("context", "nonsense")).status_code == 404
    hidden = reverse("admin:accounts_user_value", args=[make_user().pk, "password"])
    assert stranger.get(hidden).status_code == 403


AMHARIC = "መስቀል ደመራ በአዲስ አበባ መስቀል አደባባይ በየዓመቱ መስከረም 16 ቀን ይከበራል። "


@pytest.mark.parametrize(
    ("content", "height"),
    [
        ("One line.", "lines-3"),
        ("A usual post of some 870 letters. " * 26, "lines-16"),
        (AMHARIC * 12, "lines-16"),
        ("line\n" * 50, "tall"),
    ],
)
def test_the_frame_is_as_tall_as_the_text(content: str, height: str) -> None:
    assert shown(make_artifact(content=content.encode())).height == height


def test_the_stylesheet_knows_each_height() -> None:
    sheet = (settings.BASE_DIR / "static/console/console.css").read_text()
    for name in (*(f"lines-{lines}" for lines in HEIGHTS), "tall", "picture", "audio"):
        assert f".frame-{name} {{" in sheet
