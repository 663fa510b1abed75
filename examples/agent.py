"""One story from its plan to its numbers, by five agents; GATEHOUSE and their tokens are in the environment."""

import json
import os
import time
import urllib.error
import urllib.request
from hashlib import sha256
from typing import Any


def call(role: str, path: str, body: object = None) -> Any:
    """Ask as this role. A POST carries a key, so it can be sent again until there is an answer, and is done once."""
    headers = {"Authorization": f"Bearer {os.environ[role]}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = os.urandom(16).hex()
    data = None if body is None else json.dumps(body).encode()
    while True:
        try:
            request = urllib.request.Request(f"{os.environ['GATEHOUSE']}/{path}", data, headers)
            content = urllib.request.urlopen(request, timeout=60).read()
            return content if path.endswith("/content") else json.loads(content)
        except OSError as error:  # no answer, or a refusal; with Retry-After it is only: not now
            if isinstance(error, urllib.error.HTTPError) and "Retry-After" not in error.headers:
                raise SystemExit(f"{path}: {json.load(error)['detail']}") from None
        time.sleep(1)


[campaign] = [each for each in call("PLANNER", "campaigns")["items"] if each["name"] == "Coffee stories"]
plan = {"campaign_id": campaign["campaign_id"], "agent_id": "writer-4", "task_type": "draft_post", "priority": "high"}
call("PLANNER", "tasks", plan | {"title": "Story: the second cup", "context": {"subject": "the second cup"}})
for task in call("WORKER", "tasks/claim", {"wait": 20})["tasks"]:
    lease, story = {"lease_id": task["lease_id"]}, f"Slowly now: {task['context']['subject']}."
    call("WORKER", f"tasks/{task['task_id']}/artifacts", lease | {"artifact_type": "text", "text": story})
    call("WORKER", f"tasks/{task['task_id']}/complete", lease)
for made in call("JUDGE", "artifacts/claim", {"wait": 20})["artifacts"]:
    verdict = {"decision": "approve", "confidence": "0.950", "reasons": ["on brief"], "lease_id": made["lease_id"]}
    call("JUDGE", f"artifacts/{made['artifact_id']}/decision", verdict)
for post in call("PUBLISHER", "posts/claim", {"platform": "instagram", "limit": 10, "wait": 20})["posts"]:
    content = call("PUBLISHER", f"artifacts/{post['artifact_id']}/content")
    post_id = f"demo-{os.urandom(4).hex()}"  # here the platform would take the content, and name the post
    out = {"lease_id": post["lease_id"], "platform_post_id": post_id, "content_sha256": sha256(content).hexdigest()}
    print(call("PUBLISHER", f"posts/{post['publish_id']}/published", out)["status"], post_id, content.decode())
    seen = {"platform": "instagram", "platform_post_id": post_id, "metric_type": "views", "total": 1200}
    seen |= {"observed_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "source": "example"}
    print(call("METRICS", "metrics/events", {"events": [seen]}))
