"""What is particular to a platform: where its posts are seen, how addresses name them, and what a post of it is."""

import re
from urllib.parse import quote, unquote, urlsplit

from audit.errors import Invalid
from content.choices import ArtifactType

POST_URL = {
    "youtube": "https://www.youtube.com/watch?v={}",
    "tiktok": "https://www.tiktok.com/video/{}",
    "instagram": "https://www.instagram.com/p/{}/",
    "x": "https://x.com/i/status/{}",
    "facebook": "https://www.facebook.com/{}",
    "linkedin": "https://www.linkedin.com/feed/update/{}/",
}
# Only these ids are part of an address: Instagram and Facebook have numbers besides, which lead nowhere.
IN_ADDRESS = {
    "instagram": re.compile(r"(?!\d+$)[\w-]+"),
    "facebook": re.compile(r"\d+_\d+"),
    "linkedin": re.compile(r"urn:li:(share|ugcPost|activity):\d+"),
}
# Where an address names its post: hosts, and what stands in the path and query.
HOSTS = {
    "youtube": ("youtube.com", "youtu.be"),
    "tiktok": ("tiktok.com",),
    "instagram": ("instagram.com",),
    "x": ("x.com", "twitter.com"),
    "linkedin": ("linkedin.com",),
}
ID_IN = {
    "youtube": re.compile(r"[?&]v=([\w-]+)|/(?:shorts|live|embed)/([\w-]+)|^/([\w-]{11})(?:\?|$)"),
    "tiktok": re.compile(r"/video/(\d+)"),
    "instagram": re.compile(r"/(?:p|reel|reels|tv)/([\w-]+)"),
    "x": re.compile(r"/status/(\d+)"),
    "linkedin": re.compile(r"(urn:li:(?:share|ugcPost|activity):\d+)"),
}
POST_TYPE = {
    "youtube": ArtifactType.VIDEO,
    "tiktok": ArtifactType.VIDEO,
    "instagram": ArtifactType.IMAGE,
}


def post_url(platform: str, platform_post_id: str) -> str:
    """Where people see the post; empty where the platform's addresses, or this id's place in them, are not known."""
    name = platform.lower()
    template, shape = POST_URL.get(name), IN_ADDRESS.get(name)
    if template is None or (shape is not None and not shape.fullmatch(platform_post_id)):
        return ""
    return template.format(quote(platform_post_id, safe=":"))


def post_id_in(platform: str, given: str) -> str:
    """The post's id in what a person pasted: the id itself, or the address of the post.

    Raises Invalid for an address of which nobody can say what in it is the id.
    """
    text = given.strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return text
    name = platform.lower()
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    if name in HOSTS and not any(host == known or host.endswith(f".{known}") for known in HOSTS[name]):
        raise Invalid(f"This is an address on {host}, and the post belongs on {platform}.")
    found = ID_IN[name].search(unquote(f"{parts.path}?{parts.query}")) if name in ID_IN else None
    if found is None:
        raise Invalid("Gatehouse does not see which part of this address is the post’s id; give the id alone.")
    return next(group for group in found.groups() if group)


def post_type(platform: str) -> ArtifactType:
    return POST_TYPE.get(platform.lower(), ArtifactType.TEXT)
