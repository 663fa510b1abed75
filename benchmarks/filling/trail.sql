-- ## audit rows
-- One for each change, as the services write them.
CREATE TEMP TABLE trail AS
SELECT t.* FROM filling.draft d, LATERAL (VALUES
    (true, 1, at, 'planner', planner, 'task', task_id, 'create', 'info', jsonb_build_object(
        'title', jsonb_build_array(NULL, 'Task ' || root), 'status', '[null, "pending"]'::jsonb,
        'task_id', jsonb_build_array(NULL, task_id), 'agent_id', jsonb_build_array(NULL, agent_id),
        'campaign_id', jsonb_build_array(NULL, campaign_id))),
    (story <> 'pending', 2, claimed, 'worker', agent_id, 'task', task_id, 'claim', 'info', jsonb_build_object(
        'status', '["pending", "in_progress"]'::jsonb, 'lease_epoch', '[null, 0]'::jsonb)),
    (story <> 'pending', 3, claimed, 'worker', agent_id, 'context_snapshot', task_id, 'give', 'info', jsonb_build_object(
        'context', '[null, {"goal_description": "Fill the places."}]'::jsonb)),
    (story = 'lost', 4, made, 'system', 'run_due', 'task', task_id, 'expire', 'warning', jsonb_build_object(
        'error', '[null, "The lease ended, and the worker did not come back."]'::jsonb,
        'status', '["in_progress", "failed"]'::jsonb)),
    (makes, 5, made, 'worker', agent_id, 'artifact', artifact_id, 'submit', 'info', jsonb_build_object(
        'version', jsonb_build_array(NULL, 1 + attempt), 'content_ref', jsonb_build_array(NULL, content_ref),
        'artifact_type', jsonb_build_array(NULL, artifact_type))),
    (makes OR story = 'routine', 6, made, 'worker', agent_id, 'task', task_id, 'complete', 'info', jsonb_build_object(
        'status', jsonb_build_array('in_progress', CASE WHEN makes THEN 'review' ELSE 'done' END))),
    (is_judged, 7, made, 'judge', judge, 'judge_lease', filling.id(made, n, 'judge'), 'claim', 'info', NULL),
    (is_judged, 8, judged, 'judge', judge, 'review_decision', judgment_id,
        CASE WHEN story = 'refused' THEN 'reject' WHEN reason = 'escalated' THEN 'escalate' ELSE 'approve' END,
        CASE WHEN story = 'refused' OR reason = 'escalated' THEN 'warning' ELSE 'info' END,
        jsonb_build_object('confidence_score', jsonb_build_array(NULL, confidence))),
    (asked, 9, judged, CASE WHEN is_judged THEN 'judge' ELSE 'system' END, CASE WHEN is_judged THEN judge ELSE 'run_due'
        END, 'review_item', review_item_id, 'create', 'info', jsonb_build_object(
        'reason', jsonb_build_array(NULL, reason))),
    (story IN ('trusted', 'refused', 'accepted', 'turned_down'), 10, settled,
        CASE WHEN decider IS NULL THEN 'judge' ELSE 'system' END, CASE WHEN decider IS NULL THEN judge ELSE 'run_due' END,
        'task', task_id, CASE WHEN story IN ('trusted', 'accepted') THEN 'approve' ELSE 'reject' END,
        CASE WHEN story IN ('trusted', 'accepted') THEN 'info' ELSE 'warning' END,
        jsonb_build_object('status', '["review", "done"]'::jsonb)),
    (post IS NOT NULL, 11, decided, CASE WHEN decider IS NULL THEN 'judge' ELSE 'human' END,
        CASE WHEN decider IS NULL THEN judge ELSE 'user:' || decider END, 'publish_record', publish_id, 'queue', 'info',
        jsonb_build_object('platform', jsonb_build_array(NULL, platform), 'status', '[null, "queued"]'::jsonb)),
    (post IN ('published', 'failed', 'unknown', 'leased'), 12, posted - interval '1 minute', 'worker', publisher,
        'publish_record', publish_id, 'claim', 'info', NULL),
    (post IN ('published', 'failed', 'unknown'), 13, posted, 'worker', publisher, 'publish_record', publish_id,
        CASE post WHEN 'published' THEN 'publish' WHEN 'failed' THEN 'fail' ELSE 'unknown' END,
        CASE post WHEN 'published' THEN 'info' ELSE 'warning' END, jsonb_build_object(
        'status', jsonb_build_array('queued', post), 'platform_post_id', jsonb_build_array(NULL, platform_post_id)))
) e (happened, step, at, actor_type, actor_id, entity_type, entity_id, action, severity, changes),
LATERAL (SELECT filling.id(e.at, n, 'audit' || step) AS audit_id, trace_id, e.actor_type, e.actor_id, e.entity_type,
                e.entity_id, e.action, e.severity, e.at, campaign_id, e.changes) t
WHERE e.happened
UNION ALL
SELECT filling.id(said, n, 'audit verdict' || step || x.entity_type), trace_id, 'human', 'user:' || person,
       x.entity_type, x.entity_id, decision, CASE decision WHEN 'approve' THEN 'info' ELSE 'warning' END, said,
       campaign_id, '{"status": ["open", "decided"]}'
FROM verdict, LATERAL (VALUES ('review_decision', review_id), ('review_item', item_id)) x (entity_type, entity_id)
UNION ALL
SELECT filling.id(said, n, 'audit undo'), trace_id, 'human', 'user:' || person, 'review_item', item_id, 'undo', 'warning',
       LEAST(said + interval '30 seconds', ended), campaign_id, '{"status": ["decided", "open"]}'
FROM verdict WHERE undone
UNION ALL
SELECT filling.id(observed, n, 'audit' || event_id), trace_id, 'system', 'collector', 'metric_event', event_id, 'ingest',
       'info', observed + interval '1 minute', campaign_id, jsonb_build_object(
           'metric_type', jsonb_build_array(NULL, metric), 'metric_value', jsonb_build_array(NULL, value))
FROM measured;

INSERT INTO audit_log (audit_id, trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, inputs_hash,
                       severity, created_at, campaign_id, changes)
SELECT audit_id, trace_id, actor_type, actor_id, entity_type, entity_id::text, action,
       CASE actor_type WHEN 'human' THEN 'console' WHEN 'system' THEN NULL ELSE 'api' END,
       encode(sha256(convert_to(changes::text, 'UTF8')), 'hex'), severity, at, campaign_id, changes
FROM trail ORDER BY at;

DROP TABLE trail, measured, verdict;
