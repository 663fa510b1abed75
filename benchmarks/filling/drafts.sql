-- ## How each task goes
-- Tasks are told by their number, from the oldest to the newest. One that fails at an odd number is tried again at the
-- next: its root is the number of the first try, from which it has its campaign, its agent and its name.

-- Why a person is asked, where one is.
CREATE FUNCTION filling.reason(n bigint) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN (SELECT CASE WHEN c < 0.20 THEN 'escalated' WHEN c < 0.60 THEN 'low_confidence' WHEN c < 0.75 THEN 'policy_hit'
                        WHEN c < 0.82 THEN 'no_judge' ELSE 'blind_sample' END
            FROM (SELECT filling.chance(n, 'reason') AS c) x);

CREATE FUNCTION filling.confidence(n bigint, reason text) RETURNS numeric LANGUAGE sql IMMUTABLE
    RETURN (SELECT round((CASE reason WHEN 'low_confidence' THEN 0.40 + 0.449 * c WHEN 'escalated' THEN 0.50 + 0.40 * c
                                      WHEN 'policy_hit' THEN 0.60 + 0.39 * c ELSE 0.85 + 0.149 * c END)::numeric, 3)
            FROM (SELECT filling.chance(n, 'confidence') AS c) x);

-- pending, working, judging, waiting (for a person), accepted and turned_down (by a person), refused and trusted (by a
-- judge), lost (with its lease), routine (nothing that anybody reviews).
CREATE FUNCTION filling.story(n bigint, tasks int) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN (SELECT CASE
                WHEN place > 0.97 AND c < 0.80 THEN 'pending'
                WHEN place > 0.97 AND c < 0.90 THEN 'working'
                WHEN place > 0.9999 THEN 'judging'
                WHEN place > 0.60 AND c < 0.243 THEN 'waiting'
                WHEN c > 0.97 THEN 'lost'
                WHEN c > 0.92 THEN 'routine'
                WHEN c > 0.84 THEN 'refused'
                WHEN c > 0.65 THEN
                    CASE WHEN filling.chance(n, 'verdict') < 0.05 + 0.9 * filling.confidence(n, filling.reason(n))
                         THEN 'accepted' ELSE 'turned_down' END
                ELSE 'trusted' END
            FROM (SELECT filling.chance(n, 'story') AS c, n / tasks::float8 AS place) x);

CREATE FUNCTION filling.fails(n bigint, tasks int) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN n % 2 = 1 AND filling.story(n, tasks) IN ('lost', 'refused', 'turned_down');

-- What is tried again was planned some hours before its next try.
CREATE FUNCTION filling.planned(n bigint, tasks int) RETURNS timestamptz LANGUAGE sql STABLE
    RETURN filling.moment(n) - CASE WHEN filling.fails(n, tasks) THEN interval '10 hours' ELSE interval '0' END;

-- The tasks from `first` to `last` of filling.world, thought out before they are written.
CREATE VIEW filling.thought AS
WITH a AS MATERIALIZED (
    SELECT n, n - retried::int AS root, retried::int AS attempt, filling.story(n, tasks) AS told, w.*
    FROM filling.world w, LATERAL generate_series(w.first, w.last) n,
         LATERAL (SELECT filling.fails(n - 1, tasks) AS retried) r
), b AS MATERIALIZED (
    SELECT a.*, root / tasks::float8 AS place, filling.planned(n, tasks) AS at, filling.draw(root, 'type', 100) AS dice,
           CASE WHEN root / tasks::float8 <= 0.58 AND filling.chance(root, 'over') < 0.45
                THEN campaigns / 2 + filling.draw(root, 'campaign', campaigns - campaigns / 2 - campaigns / 20, 1.5)
                ELSE filling.draw(root, 'campaign', campaigns / 2, 2) END AS number
    FROM a
), c AS MATERIALIZED (
    SELECT b.*, c.campaign_id, c.status AS campaign_status, c.platforms,
           CASE WHEN told = 'working' AND c.status <> 'active' THEN 'pending'
                WHEN told = 'routine' AND attempt = 1 THEN 'trusted'
                WHEN told = 'trusted' AND c.status = 'stopped' AND filling.chance(n, 'cut') < 0.2 THEN 'withdrawn'
                ELSE told END AS story
    FROM b JOIN filling.campaign c USING (number)
), d AS MATERIALIZED (
    SELECT c.*, story IN ('waiting', 'accepted', 'turned_down', 'withdrawn') AS asked,
           CASE WHEN story IN ('waiting', 'accepted', 'turned_down', 'withdrawn') THEN filling.reason(n) END AS reason,
           story NOT IN ('pending', 'working', 'lost', 'routine') AS makes,
           CASE WHEN story = 'routine' THEN filling.pick(root, 'routine', '{trend_fetch,collect_metrics,publish_post}')
                WHEN dice <= 70 THEN 'draft_post' ELSE 'generate_media' END AS task_type,
           CASE WHEN dice <= 64 THEN 'text' WHEN dice <= 67 THEN 'plan' WHEN dice <= 70 THEN 'metrics_batch'
                WHEN dice <= 90 THEN 'image' ELSE 'video' END AS artifact_type,
           LEAST(at + filling.minutes(n, 'claimed', 0.2, 30), ended - interval '5 minutes') AS claimed
    FROM c
), e AS MATERIALIZED (
    SELECT d.*, LEAST(claimed + filling.minutes(n, 'made', 0.5, 40), ended - interval '4 minutes') AS made,
           makes AND story <> 'judging' AND reason IS DISTINCT FROM 'no_judge' AS is_judged,
           filling.confidence(n, CASE story WHEN 'refused' THEN 'policy_hit' ELSE reason END) AS confidence,
           CASE WHEN reason IS DISTINCT FROM 'escalated' OR story NOT IN ('waiting', 'accepted') THEN 1
                WHEN filling.chance(n, 'level') < 0.1 THEN 3 WHEN filling.chance(n, 'level') < 0.4 THEN 2 ELSE 1 END
               AS level,
           CASE WHEN artifact_type IN ('plan', 'metrics_batch') OR story NOT IN ('trusted', 'accepted') THEN NULL
                WHEN p > 0.76 THEN NULL
                WHEN p < 0.025 THEN 'failed'
                WHEN place > 0.80 AND p < 0.045 THEN 'unknown'
                WHEN place > 0.95 AND p < 0.065 AND campaign_status = 'active' THEN 'leased'
                WHEN place > 0.95 AND p < 0.10 THEN 'held'
                WHEN place > 0.95 AND (p < 0.30 OR campaign_status = 'paused') THEN 'queued'
                ELSE 'published' END AS post
    FROM d, LATERAL (SELECT filling.chance(n, 'post') AS p) x
), f AS MATERIALIZED (
    SELECT e.*, LEAST(made + filling.minutes(n, 'judged', 0.3, 10), ended - interval '3 minutes') AS judged FROM e
), g AS MATERIALIZED (
    SELECT f.*, CASE WHEN story IN ('accepted', 'turned_down')
                     THEN LEAST(judged + filling.minutes(n, 'decided', 2, 330), ended - interval '2 minutes')
                     ELSE judged END AS decided
    FROM f
)
SELECT g.*, LEAST(decided + interval '1 minute', ended) AS settled,
       LEAST(decided + filling.minutes(n, 'posted', 5, 2000), ended - interval '1 minute') AS posted,
       filling.id(at, n, 'task') AS task_id, md5('trace' || root) AS trace_id,
       CASE WHEN attempt = 1 THEN filling.id(filling.planned(root, tasks), root, 'task') END AS parent_task_id,
       filling.id(made, n, 'artifact') AS artifact_id, filling.id(judged, n, 'judged') AS judgment_id,
       filling.id(decided, n, 'decided') AS decision_id, filling.id(judged, n, 'item') AS review_item_id,
       filling.id(decided, n, 'post') AS publish_id, 'P' || upper(substr(md5('post' || n), 1, 11)) AS platform_post_id,
       filling.agent_named(root, 'maker', CASE WHEN dice <= 70 THEN 'writer' ELSE 'studio' END, 1.5) AS agent_id,
       filling.agent_named(n, 'judge', 'judge', 2) AS judge,
       filling.agent_named(root, 'planner', 'planner', 1.5) AS planner,
       filling.agent_named(n, 'publisher', 'publisher', 1.2) AS publisher,
       CASE WHEN story IN ('accepted', 'turned_down') THEN filling.decider(n, level) END AS decider,
       platforms[filling.draw(n, 'platform', cardinality(platforms))] AS platform,
       CASE WHEN artifact_type IN ('image', 'video') THEN 'https://cdn.example.org/renders/' || n || '/master'
            ELSE t.ref END AS content_ref,
       CASE WHEN artifact_type IN ('image', 'video') THEN encode(sha256(('render' || n)::bytea), 'hex')
            ELSE t.sha256 END AS content_sha256,
       CASE WHEN artifact_type IN ('image', 'video') THEN 0 ELSE t.words END AS words,
       round((5 + 45 * filling.chance(n, 'cost'))::numeric, 2) AS money
FROM g JOIN filling.content t ON t.number = filling.draw(g.n, 'text', g.texts);

CREATE UNLOGGED TABLE filling.draft AS SELECT * FROM filling.thought LIMIT 0;
