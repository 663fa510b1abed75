-- ## a task in progress without a lease, or a lease without one
SELECT 1 FROM task WHERE (status = 'in_progress') <> (lease_id IS NOT NULL);

-- ## an open review item whose task is not in review
SELECT 1 FROM review_item i JOIN task t USING (task_id) WHERE i.status = 'open' AND t.status <> 'review';

-- ## work of another campaign
SELECT 1 FROM artifact a JOIN task t USING (task_id) WHERE a.campaign_id <> t.campaign_id
UNION ALL SELECT 1 FROM publish_record p JOIN artifact a USING (artifact_id) WHERE a.campaign_id <> p.campaign_id;

-- ## a retry on another trace
SELECT 1 FROM task t JOIN task p ON p.task_id = t.parent_task_id
WHERE t.trace_id <> p.trace_id OR t.created_at < p.created_at OR t.attempt <> p.attempt + 1;

-- ## a post that nothing allows
SELECT 1 FROM publish_record p LEFT JOIN review_decision d ON d.review_id = p.decision_id
WHERE NOT p.adopted AND (d.decision, d.next_action, d.artifact_sha256)
    IS DISTINCT FROM ('approve', 'publish', p.content_sha256);

-- ## an approval by its maker
SELECT 1 FROM review_decision d JOIN task t USING (task_id) JOIN agent a USING (agent_id)
WHERE d.decision = 'approve' AND d.reviewer_id IN (t.agent_id, 'user:' || t.created_by, 'user:' || a.owner_id);

-- ## somebody who decided twice on one artifact
SELECT 1 FROM review_decision d JOIN review_item i ON i.decision_id = d.review_id
WHERE i.undone_at IS NULL GROUP BY d.artifact_id, d.reviewer_id HAVING count(*) > 1;

-- ## work in progress on a campaign that does not run
SELECT 1 FROM task t JOIN campaign c USING (campaign_id) WHERE t.status = 'in_progress' AND c.status <> 'active';

-- ## something open in a campaign that is over
SELECT 1 FROM task t JOIN campaign c USING (campaign_id)
WHERE t.status IN ('pending', 'in_progress', 'review') AND c.status IN ('stopped', 'completed');

-- ## counters that differ from the sums of their events
SELECT 1 FROM metric_counter k JOIN publish_record p USING (publish_id)
LEFT JOIN (SELECT content_id, metric_type, sum(sum) AS total FROM metric_rollup GROUP BY 1, 2) r
    ON r.content_id = p.artifact_id AND r.metric_type = k.metric_type
WHERE r.total IS DISTINCT FROM k.highest_total;

-- ## something from the future
SELECT 1 FROM audit_log, filling.world WHERE created_at > ended + interval '1 second'
UNION ALL SELECT 1 FROM task, filling.world WHERE created_at > ended + interval '1 second';
