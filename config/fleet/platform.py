"""A platform to post to, simulated: it takes whatever it is given, as platforms do, and remembers all of it."""

import json
import os
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Platform:
    """Its memory is a file with one line for each post. Several processes write it, and any of them may be killed."""

    def __init__(self, place: Path, name: str) -> None:
        self.name, self.file = name, place / f"{name}.jsonl"

    def post(self, *, publish_id: str, artifact_id: str, task_id: str, content_sha256: str) -> str:
        """The new post's id."""
        post_id = uuid.uuid4().hex[:16]
        told = {
            "post_id": post_id,
            "publish_id": publish_id,
            "artifact_id": artifact_id,
            "task_id": task_id,
            "content_sha256": content_sha256,
            "posted_at": datetime.now(UTC).isoformat(),
        }
        line = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(line, f"{json.dumps(told)}\n".encode())  # one write: it is there as a whole or not at all
        finally:
            os.close(line)
        return post_id

    def posts(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.file.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def doubles(self) -> list[str]:
        """The contents that it was given more than once."""
        counts = Counter(post["content_sha256"] for post in self.posts())
        return [content for content, count in counts.items() if count > 1]


def views(post: dict[str, Any], now: datetime) -> int:
    """How often a post has been seen: some are liked more than others, and it only ever grows."""
    age = now - datetime.fromisoformat(post["posted_at"])
    return int(age.total_seconds() * (1 + int(post["post_id"][:2], 16)) / 8)
