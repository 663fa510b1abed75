"""What is particular to a platform: where its posts are seen, and what a post of it is."""

from urllib.parse import quote

from content.choices import ArtifactType

POST_URL = {
    "youtube": "https://www.youtube.com/watch?v={}",
    "tiktok": "https://www.tiktok.com/video/{}",
    "instagram": "https://www.instagram.com/p/{}/",
    "x": "https://x.com/i/status/{}",
}
POST_TYPE = {
    "youtube": ArtifactType.VIDEO,
    "tiktok": ArtifactType.VIDEO,
    "instagram": ArtifactType.IMAGE,
}


def post_url(platform: str, platform_post_id: str) -> str:
    """Where people see the post; empty for a platform that we know no address of."""
    template = POST_URL.get(platform.lower())
    return template.format(quote(platform_post_id, safe="")) if template else ""


def post_type(platform: str) -> ArtifactType:
    return POST_TYPE.get(platform.lower(), ArtifactType.TEXT)
