"""What was reviewed is what is posted: hashes are copied and compared, and nobody approves what they made."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from tests.contract.rows import CONTENT, Row, Sql, advance, approved, column_of, insert, now, refused, update

OTHER = "0" * 63 + "1"


def test_an_artifact_is_hashed_by_its_reference_when_no_hash_is_given(sql: Sql) -> None:
    for given in ({}, {"content_sha256": None}, {"content_sha256": ""}):
        artifact = insert(sql, "artifact", content_ref="s3://bucket/ድርሰት.txt", **given)
        assert artifact["content_sha256"] == hashlib.sha256("s3://bucket/ድርሰት.txt".encode()).hexdigest()
    assert insert(sql, "artifact", content_sha256=CONTENT)["content_sha256"] == CONTENT


# --- Decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [{}, {"artifact_sha256": None}, {"artifact_sha256": CONTENT}])
def test_a_decision_is_about_exactly_this_content(sql: Sql, claim: Row) -> None:
    artifact = insert(sql, "artifact", content_sha256=CONTENT)
    decision = insert(sql, "review_decision", artifact_id=artifact["artifact_id"], **claim)
    assert decision["artifact_sha256"] == CONTENT


def test_a_decision_about_other_content_is_refused(sql: Sql) -> None:
    artifact = insert(sql, "artifact", content_sha256=CONTENT)
    with refused(sql, "23514", "review_decision_artifact_sha256_match"):
        insert(sql, "review_decision", artifact_id=artifact["artifact_id"], artifact_sha256=OTHER)


def test_a_decision_is_on_the_task_of_its_artifact(sql: Sql) -> None:
    artifact, other = insert(sql, "artifact"), insert(sql, "task")
    with refused(sql, "23514", "review_decision_task_of_artifact"):
        insert(sql, "review_decision", artifact_id=artifact["artifact_id"], task_id=other["task_id"])


def test_an_agent_does_not_approve_what_it_made(sql: Sql) -> None:
    artifact = insert(sql, "artifact")
    maker = column_of(sql, "task", "agent_id", artifact["task_id"])
    with refused(sql, "23514", "review_decision_not_by_maker"):
        insert(sql, "review_decision", artifact_id=artifact["artifact_id"], reviewer_id=maker)
    for decision, next_action in (("reject", "retry"), ("escalate", "human_review")):
        insert(
            sql,
            "review_decision",
            artifact_id=artifact["artifact_id"],
            reviewer_id=maker,
            decision=decision,
            next_action=next_action,
        )


@pytest.mark.parametrize("relation", ["created_by", "owner_id"])
def test_a_person_does_not_approve_what_they_answer_for(owner: Sql, relation: str) -> None:
    person = insert(owner, "user")["user_id"]
    other = insert(owner, "user")["user_id"]
    agent_id = insert(owner, "agent", **({"owner_id": person} if relation == "owner_id" else {}))["agent_id"]
    task = insert(owner, "task", agent_id=agent_id, **({"created_by": person} if relation == "created_by" else {}))
    artifact = insert(owner, "artifact", task_id=task["task_id"])
    human = {"reviewer_type": "human", "confidence_score": Decimal(1), "artifact_id": artifact["artifact_id"]}
    for role in ("gatehouse_agent", "NONE"):
        owner.execute(f"SET ROLE {role}")
        with refused(owner, "23514", "review_decision_not_by_maker"):
            insert(owner, "review_decision", reviewer_id=f"user:{person}", **human)
    insert(owner, "review_decision", reviewer_id=f"user:{other}", **human)


# --- Posts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [{}, {"content_sha256": None}, {"content_sha256": CONTENT}])
def test_a_post_is_of_exactly_this_content(sql: Sql, claim: Row) -> None:
    artifact = insert(sql, "artifact", content_sha256=CONTENT)
    assert insert(sql, "publish_record", artifact_id=artifact["artifact_id"], **claim)["content_sha256"] == CONTENT


def test_a_post_of_other_content_is_refused(sql: Sql) -> None:
    artifact = insert(sql, "artifact", content_sha256=CONTENT)
    with refused(sql, "23514", "publish_record_content_sha256_match"):
        insert(sql, "publish_record", artifact_id=artifact["artifact_id"], content_sha256=OTHER)


def test_a_post_belongs_to_the_campaign_of_its_artifact(sql: Sql) -> None:
    with refused(sql, "23514", "publish_record_campaign_of_artifact"):
        insert(sql, "publish_record", campaign_id=insert(sql, "campaign")["campaign_id"])


def test_an_approval_allows_a_post(sql: Sql) -> None:
    artifact, decision = approved(sql)
    record = insert(sql, "publish_record", artifact_id=artifact["artifact_id"], decision_id=decision["review_id"])
    assert record["decision_id"] == decision["review_id"]


@pytest.mark.parametrize(("decision", "next_action"), [("reject", "retry"), ("escalate", "human_review")])
def test_only_an_approval_allows_a_post(sql: Sql, decision: str, next_action: str) -> None:
    artifact = insert(sql, "artifact", content_sha256=CONTENT)
    given = {"artifact_id": artifact["artifact_id"], "decision": decision, "next_action": next_action}
    key = insert(sql, "review_decision", **given)["review_id"]
    with refused(sql, "23514", "publish_record_decision_allows"):
        insert(sql, "publish_record", artifact_id=artifact["artifact_id"], decision_id=key)


def test_an_approval_of_another_artifact_allows_nothing(sql: Sql) -> None:
    _, decision = approved(sql)
    other = insert(sql, "artifact", content_sha256=CONTENT)
    with refused(sql, "23514", "publish_record_decision_allows"):
        insert(sql, "publish_record", artifact_id=other["artifact_id"], decision_id=decision["review_id"])


def test_a_reference_whose_hash_nobody_gave_is_not_posted_by_an_approval(sql: Sql) -> None:
    artifact = insert(sql, "artifact")
    decision = insert(sql, "review_decision", artifact_id=artifact["artifact_id"])
    with refused(sql, "23514", "publish_record_decision_allows"):
        insert(sql, "publish_record", artifact_id=artifact["artifact_id"], decision_id=decision["review_id"])


@pytest.mark.parametrize(
    "change", ["campaign_id", "artifact_id", "platform", "content_sha256", "decision_id", "adopted"]
)
def test_what_is_posted_and_where_never_changes(sql: Sql, change: str) -> None:
    artifact, decision = approved(sql)
    key = insert(sql, "publish_record", artifact_id=artifact["artifact_id"])["publish_id"]
    other = {
        "campaign_id": insert(sql, "campaign")["campaign_id"],
        "artifact_id": insert(sql, "artifact", content_sha256=CONTENT)["artifact_id"],
        "platform": "tiktok",
        "content_sha256": OTHER,
        "decision_id": decision["review_id"],
        "adopted": True,
    }
    with refused(sql, "23514", "publish_record_what_is_fixed"):
        update(sql, "publish_record", key, **{change: other[change]})


def test_an_approval_that_was_taken_back_publishes_nothing(owner: Sql) -> None:
    artifact, decision = approved(owner)
    record = insert(owner, "publish_record", artifact_id=artifact["artifact_id"], decision_id=decision["review_id"])
    item = insert(owner, "review_item", artifact_id=artifact["artifact_id"])["review_item_id"]
    update(owner, "review_item", item, status="decided", decision_id=decision["review_id"])
    update(owner, "review_item", item, status="open", undone_at=datetime.now(UTC))
    for role in ("gatehouse_agent", "NONE"):
        owner.execute(f"SET ROLE {role}")
        with refused(owner, "23514", "publish_record_decision_allows"):
            advance(owner, "publish_record", record["publish_id"], "published")


def test_a_post_that_was_out_before_is_adopted(sql: Sql) -> None:
    record = insert(sql, "publish_record", adopted=True, platform_post_id=f"yt-{uuid4()}")
    out = update(
        sql,
        "publish_record",
        record["publish_id"],
        status="published",
        published_at=datetime.now(UTC) - timedelta(days=40),
    )
    assert (out["adopted"], out["decision_id"]) == (True, None)


@pytest.mark.parametrize(
    "change", [{"platform_post_id": None}, {"published_at": None}, {"platform_post_id": "another"}]
)
def test_where_and_when_a_post_appeared_is_never_erased(sql: Sql, change: Row) -> None:
    post = insert(sql, "publish_record")["publish_id"]
    update(sql, "publish_record", post, status="published", platform_post_id="7x", published_at=now())
    with refused(sql, "23514", "publish_record_what_is_fixed"):
        update(sql, "publish_record", post, **change)
