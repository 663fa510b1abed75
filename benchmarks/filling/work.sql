-- ## drafts
TRUNCATE filling.draft;
INSERT INTO filling.draft SELECT * FROM filling.thought ORDER BY n;
ANALYZE filling.draft;

-- ## tasks
INSERT INTO task (task_id, campaign_id, agent_id, task_type, priority, status, context, attempt, max_attempts,
                  parent_task_id, created_at, updated_at, trace_id, title, error, not_before, reserve_etb, cost_etb,
                  created_by, lease_id, lease_expires_at, lease_epoch, claimed_at, completed_at)
SELECT task_id, campaign_id, agent_id, task_type,
       filling.pick(root, 'priority', '{medium,medium,medium,low,low,high}'), status,
       jsonb_build_object('goal_description', filling.pick(root, 'goal', '{Fill the places.,Tell one story a week.,Say what it costs.,Thank those who came.}'), 'persona_constraints', '["plain words", "no promises"]'::jsonb)
       || CASE WHEN attempt = 1 THEN '{"feedback": "no source for the price"}' ELSE '{}' END::jsonb,
       attempt, CASE WHEN status = 'failed' AND n % 2 = 0 THEN attempt + 1 ELSE 3 END, parent_task_id, at,
       CASE status WHEN 'pending' THEN at WHEN 'in_progress' THEN claimed ELSE settled END, trace_id,
       filling.pick(root, 'form', '{Caption,Story,Reel,Thread,Text,Poster,Clip}') || ': ' ||
       filling.pick(root, 'topic', '{three fees to avoid,coffee before sunrise,what to bring,the bonfire is ready,
          who brings the flowers,the price of a sack,an umbrella for two,a seat on the bus,
          the first lesson,how to save ten birr,what the market sells,a thank you,
          the evening in pictures,a letter from home}') || ' ' || root,
       CASE story WHEN 'lost' THEN 'The lease ended, and the worker did not come back.'
                  WHEN 'refused' THEN 'Rejected: no source for the price'
                  WHEN 'turned_down' THEN 'Rejected: not in the voice of the brand'
                  WHEN 'withdrawn' THEN 'The campaign was stopped.' END,
       CASE WHEN story = 'pending' AND n % 6 = 0 THEN ended + filling.minutes(n, 'later', 10, 9000) END,
       CASE WHEN story IN ('pending', 'working') THEN money ELSE 0 END,
       CASE WHEN story IN ('pending', 'working', 'lost') THEN 0 ELSE money END,
       CASE WHEN root % 33 = 0 THEN filling.somebody(root, 'planned by', 'Operator') END,
       CASE WHEN story = 'working' THEN filling.id(claimed, n, 'lease') END,
       CASE WHEN story = 'working' THEN ended + filling.minutes(n, 'lease', 60, 1500) END,
       CASE WHEN story <> 'pending' THEN 0 END, CASE WHEN story <> 'pending' THEN claimed END,
       CASE WHEN makes OR story = 'routine' THEN made END
FROM filling.draft, LATERAL (
    SELECT CASE WHEN story = 'pending' THEN 'pending' WHEN story = 'working' THEN 'in_progress'
                WHEN story IN ('waiting', 'judging') THEN 'review'
                WHEN story IN ('trusted', 'accepted', 'routine') THEN 'done' ELSE 'failed' END AS status
) s;

-- ## artifacts
INSERT INTO artifact (artifact_id, task_id, campaign_id, artifact_type, version, content_ref, metadata, sources,
                      created_at, content_sha256)
SELECT artifact_id, task_id, campaign_id, artifact_type,
       1 + (attempt = 1 AND filling.story(root, tasks) <> 'lost')::int, content_ref,
       jsonb_build_object('language', filling.pick(n, 'language', '{en,am,om}'), 'words', words),
       jsonb_build_array('https://www.example.org/brief/' || number), made, content_sha256
FROM filling.draft WHERE makes;

INSERT INTO video_asset (video_asset_id, agent_id, task_id, artifact_id, platform, tier, character_reference_id, status,
                         metadata, created_at, updated_at)
SELECT filling.id(claimed, n, 'video'), agent_id, task_id, artifact_id, platform,
       filling.pick(n, 'tier', '{hero,standard,standard,draft}'), 'look-' || n % 40,
       CASE story WHEN 'trusted' THEN 'archived' WHEN 'withdrawn' THEN 'failed' ELSE 'ready' END,
       jsonb_build_object('seconds', filling.draw(n, 'seconds', 90)), claimed, made
FROM filling.draft WHERE makes AND artifact_type = 'video';

-- ## decisions
INSERT INTO judge_lease (judge_lease_id, artifact_id, agent_id, lease_id, lease_expires_at, lease_epoch, created_at,
                         updated_at)
SELECT filling.id(made, n, 'judge'), artifact_id, judge, filling.id(made, n, 'judging'), made + interval '15 minutes', 0,
       made, made
FROM filling.draft WHERE is_judged;

INSERT INTO review_decision (review_id, task_id, artifact_id, decision, confidence_score, reasons, policy_hits,
                             next_action, reviewer_type, reviewer_id, created_at, artifact_sha256, trace_id)
SELECT judgment_id, task_id, artifact_id,
       CASE WHEN story = 'refused' THEN 'reject' WHEN reason = 'escalated' THEN 'escalate' ELSE 'approve' END, confidence,
       CASE WHEN story = 'refused' THEN '["no source for the price"]' WHEN confidence < 0.85
            THEN '["tone: sounds like a warning", "not in the brief"]' ELSE '["on brief", "sources dated"]' END::jsonb,
       CASE WHEN reason = 'policy_hit' THEN jsonb_build_array(filling.pick(n, 'policy',
            '{financial promise (v2),health claims,a competitor by name,minors in the picture}')) END,
       CASE WHEN asked THEN 'human_review' WHEN story = 'refused' THEN 'retry' ELSE 'publish' END, 'judge', judge, judged,
       content_sha256, trace_id
FROM filling.draft WHERE is_judged;

-- Those of people: on what is settled, what went to the next level, and what was taken back.
CREATE TEMP TABLE verdict AS
SELECT d.*, step, step = level AS is_last,
       CASE WHEN step = level THEN decision_id ELSE filling.id(judged, n, 'decided' || step) END AS review_id,
       CASE WHEN step = level THEN review_item_id ELSE filling.id(judged, n, 'item' || step) END AS item_id,
       CASE WHEN step < level THEN 'escalate' WHEN story = 'turned_down' THEN 'reject' ELSE 'approve' END AS decision,
       CASE WHEN step = level THEN decided ELSE judged + step * interval '1 minute' END AS said,
       story = 'waiting' AND step = level AS undone,
       filling.decider(n, step) AS person
FROM (SELECT *, story = 'waiting' AND n % 100 = 0 AS taken_back FROM filling.draft WHERE asked) d,
     LATERAL generate_series(1, CASE WHEN story IN ('accepted', 'turned_down') OR taken_back THEN level ELSE level - 1 END)
         step;

INSERT INTO review_decision (review_id, task_id, artifact_id, decision, confidence_score, reasons, next_action,
                             reviewer_type, reviewer_id, created_at, artifact_sha256, trace_id)
SELECT review_id, task_id, artifact_id, decision, 1, CASE decision WHEN 'approve' THEN '[]'
           WHEN 'reject' THEN '["not in the voice of the brand"]' ELSE '["wants a second opinion"]' END::jsonb,
       CASE decision WHEN 'approve' THEN 'publish' WHEN 'reject' THEN 'retry' ELSE 'human_review' END, 'human',
       'user:' || person, said, content_sha256, trace_id
FROM verdict;

-- ## review items
INSERT INTO review_item (review_item_id, artifact_id, task_id, campaign_id, reason, status, risk, opened_at, due_at,
                         overdue_at, claimed_by, claimed_until, decision_id, level, undone_at, undone_by, version,
                         created_at, updated_at)
SELECT item_id, artifact_id, task_id, campaign_id, reason, CASE WHEN undone THEN 'open' ELSE 'decided' END, risk, judged,
       judged + interval '4 hours', CASE WHEN said > judged + interval '4 hours' THEN judged + interval '4 hours' END,
       NULL, NULL, review_id, step, CASE WHEN undone THEN LEAST(said + interval '30 seconds', ended) END,
       CASE WHEN undone THEN person END, CASE WHEN undone THEN 2 ELSE 1 END, judged, said
FROM verdict, LATERAL (SELECT CASE reason WHEN 'no_judge' THEN 0.5 WHEN 'blind_sample' THEN 0 ELSE 1 - confidence END
                       AS risk) r
UNION ALL
SELECT review_item_id, artifact_id, task_id, campaign_id, reason,
       CASE story WHEN 'waiting' THEN 'open' ELSE 'withdrawn' END,
       CASE reason WHEN 'no_judge' THEN 0.5 WHEN 'blind_sample' THEN 0 ELSE 1 - confidence END, judged, due,
       CASE WHEN due < ended THEN due END,
       CASE WHEN story = 'waiting' AND n % 2000 = 3 THEN filling.somebody(n, 'at it', 'Reviewer') END,
       CASE WHEN story = 'waiting' AND n % 2000 = 3 THEN ended + interval '10 minutes' END, NULL, level, NULL, NULL, 0,
       judged, judged
FROM filling.draft, LATERAL (SELECT judged + (ARRAY[240, 1440, 20000, 200000])[1 + n % 4] * interval '1 minute' AS due) x
WHERE asked AND story IN ('waiting', 'withdrawn') AND (story = 'withdrawn' OR n % 100 <> 0);

-- ## posts
INSERT INTO publish_record (publish_id, campaign_id, artifact_id, platform, platform_post_id, disclosure_level, status,
                            published_at, created_at, updated_at, decision_id, adopted, content_sha256, scheduled_for,
                            hold, error, attempt, lease_id, lease_expires_at, lease_epoch, claimed_at)
SELECT CASE WHEN again THEN filling.id(posted, n, 'again') ELSE publish_id END, campaign_id, artifact_id, platform,
       CASE WHEN status = 'published' THEN platform_post_id END,
       filling.pick(n, 'disclosure', '{automated,automated,assisted,none}'), status,
       CASE WHEN status = 'published' THEN posted END, CASE WHEN again THEN posted ELSE decided END,
       CASE WHEN status = 'queued' AND post <> 'unknown' THEN decided ELSE posted END,
       CASE WHEN adopted THEN NULL WHEN story = 'accepted' THEN decision_id ELSE judgment_id END, adopted, content_sha256,
       CASE WHEN post = 'queued' THEN ended + filling.minutes(n, 'slot', -600, 12000)
            ELSE decided + interval '1 minute' END,
       CASE post WHEN 'unknown' THEN 'outcome_unknown' WHEN 'held' THEN 'operator' END,
       CASE WHEN status = 'failed' THEN 'The platform answered 503 three times.'
            WHEN post = 'unknown' THEN 'The publisher lost its lease while it was posting.' END,
       again::int, CASE WHEN post = 'leased' THEN filling.id(posted, n, 'post lease') END,
       CASE WHEN post = 'leased' THEN ended + filling.minutes(n, 'post lease', 60, 1500) END,
       CASE WHEN post NOT IN ('queued', 'held') THEN 0 END,
       CASE WHEN post NOT IN ('queued', 'held') THEN posted - interval '1 minute' END
FROM filling.draft, LATERAL (VALUES (false), (true)) t (again), LATERAL (
    SELECT CASE WHEN post = 'failed' AND NOT again THEN 'failed' WHEN post IN ('failed', 'published') THEN 'published'
                ELSE 'queued' END AS status, post = 'published' AND n % 250 = 0 AS adopted
) s
WHERE post IS NOT NULL AND (NOT again OR (post = 'failed' AND filling.chance(n, 'again') < 0.7));

-- ## measurements
CREATE TEMP TABLE measured AS
SELECT filling.id(observed, n, 'event' || step) AS event_id, n, campaign_id, agent_id, artifact_id, publish_id, platform,
       metric, filling.draw(n, 'value' || step, CASE metric WHEN 'views' THEN 40000 WHEN 'likes' THEN 2500 ELSE 300 END, 3)
       AS value, observed, trace_id
FROM filling.draft, LATERAL (VALUES (1, 'views', 8), (2, 'views', 70), (3, 'likes', 70), (4, 'comments', 70))
    v (step, metric, hours), LATERAL (SELECT posted + hours * interval '1 hour' AS observed) o
WHERE post = 'published' AND filling.chance(n, 'measured') < 0.6 AND observed < ended - interval '2 minutes';

INSERT INTO metric_event (event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at,
                          ingested_at, source)
SELECT event_id, campaign_id, agent_id, artifact_id, platform, metric, value, observed, observed + interval '1 minute',
       'collector'
FROM measured;

-- In the order in which they would have come in, which their index relies on.
INSERT INTO metric_rollup (bucket, campaign_id, content_id, agent_id, platform, metric_type, sum, count, max,
                           last_observed_at, updated_at)
SELECT date_trunc('hour', observed, 'UTC') AS hour, campaign_id, artifact_id, agent_id, platform, metric, sum(value),
       count(*), max(value), max(observed), max(observed)
FROM measured GROUP BY hour, campaign_id, artifact_id, agent_id, platform, metric ORDER BY hour;

INSERT INTO metric_rollup_daily (bucket, campaign_id, content_id, agent_id, platform, metric_type, sum, count, max,
                                 last_observed_at, updated_at)
SELECT date_trunc('day', observed, 'UTC') AS day, campaign_id, artifact_id, agent_id, platform, metric, sum(value),
       count(*), max(value), max(observed), max(observed)
FROM measured GROUP BY day, campaign_id, artifact_id, agent_id, platform, metric;

INSERT INTO metric_rollup_campaign (bucket, campaign_id, agent_id, platform, metric_type, sum, count, max,
                                    last_observed_at, updated_at)
SELECT date_trunc('day', observed, 'UTC') AS day, campaign_id, agent_id, platform, metric, sum(value), count(*),
       max(value), max(observed), max(observed)
FROM measured GROUP BY day, campaign_id, agent_id, platform, metric
-- Campaigns go on from one part of the world to the next.
ON CONFLICT (metric_type, bucket, campaign_id, agent_id, platform) DO UPDATE
SET sum = metric_rollup_campaign.sum + EXCLUDED.sum, count = metric_rollup_campaign.count + EXCLUDED.count,
    max = greatest(metric_rollup_campaign.max, EXCLUDED.max),
    last_observed_at = greatest(metric_rollup_campaign.last_observed_at, EXCLUDED.last_observed_at);

INSERT INTO metric_counter (metric_counter_id, publish_id, campaign_id, agent_id, platform, metric_type, source,
                            highest_total, last_total, last_observed_at, first_total, first_observed_at, updated_at)
SELECT filling.id(min(observed), min(n), 'counter' || metric), publish_id, campaign_id, agent_id, platform, metric,
       'collector', sum(value), sum(value), max(observed), (array_agg(value ORDER BY observed, n))[1], min(observed),
       max(observed)
FROM measured GROUP BY publish_id, campaign_id, agent_id, platform, metric;

INSERT INTO metric_correction (metric_correction_id, publish_id, metric_type, source, from_total, to_total, observed_at,
                               created_at)
SELECT filling.id(observed, n, 'correction'), publish_id, metric, 'collector', value + 1, value, observed, observed
FROM measured WHERE metric = 'likes' AND n % 500 = 0;
