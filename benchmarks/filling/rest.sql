-- ## What campaigns have spent
UPDATE campaign c SET spent_etb = t.spent, reserved_etb = t.reserved,
    budget_cap_etb = ceil((t.spent + t.reserved) * (1 + filling.chance(f.number, 'cap')) / 1000 + 1) * 1000
FROM filling.campaign f, (
    SELECT campaign_id, sum(cost_etb) AS spent, COALESCE(sum(reserve_etb) FILTER (WHERE status = 'in_progress'), 0)
        AS reserved
    FROM task GROUP BY campaign_id
) t WHERE t.campaign_id = c.campaign_id AND f.campaign_id = c.campaign_id;

-- ## What was done to campaigns
INSERT INTO audit_log (audit_id, trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,
                       created_at, campaign_id, changes)
SELECT filling.id(at, number, 'audit' || action), md5('campaign' || number || action), 'human',
       'user:' || COALESCE(controlled_by, filling.somebody(number, 'made by', 'Operator')), 'campaign',
       campaign_id::text, action, 'console', severity, at, campaign_id, changes
FROM public.campaign k JOIN filling.campaign f USING (campaign_id), LATERAL (VALUES
    (true, created_at, 'create', 'info', jsonb_build_object('name', jsonb_build_array(NULL, name))),
    (controlled_at IS NOT NULL, controlled_at, CASE WHEN halted THEN 'halt' WHEN k.status = 'paused' THEN 'pause'
        WHEN k.status = 'stopped' THEN 'stop' ELSE 'complete' END,
        CASE WHEN halted OR k.status = 'stopped' THEN 'warning' ELSE 'info' END,
        jsonb_build_object('status', jsonb_build_array('active', k.status),
                           'control_reason', jsonb_build_array(NULL, control_reason)))
) e (happened, at, action, severity, changes) WHERE happened;

-- ## Notifications
INSERT INTO notification (notification_id, user_id, type, payload_json, is_read, created_at, about, happened_at,
                          updated_at)
SELECT filling.id(at, number, type || n), user_id, type, jsonb_build_object('text', words, 'url', url), n > 6, at,
       type || n, at, at
FROM filling.world, filling.person, generate_series(1, 40) n, LATERAL (
    SELECT ended - n * interval '7 hours' AS at,
           (ARRAY['review_due', 'review_overdue', 'publish_failed', 'publish_unknown', 'campaign_halted'])[1 + n % 5]
               AS type,
           (ARRAY['12 reviews are due within the hour.', '40 reviews are overdue.', 'A post failed.',
                  'Nobody knows whether a post is out.', 'A campaign was halted.'])[1 + n % 5] AS words,
           '/admin/content/' || CASE WHEN n % 5 < 2 THEN 'reviewitem/' ELSE 'publishrecord/' END AS url
) x;

-- ## Receipts, sign-ins, jobs
INSERT INTO metric_archive (metric_archive_id, table_name, range_start, range_end, row_count, byte_count, files,
                            schema_fingerprint, state, created_by, created_at, updated_at)
SELECT filling.id(ended, n, 'archive'), 'metric_event', start, start + interval '1 month', 900000 + n, 41000000 + n,
       jsonb_build_array(jsonb_build_object('name', 'metric_event-' || n || '.csv.gz', 'sha256', md5('a') || md5('b'))),
       md5('columns'), 'dropped', 'archive_partitions', start + interval '3 months', start + interval '3 months'
FROM filling.world, generate_series(1, 6) n,
     LATERAL (SELECT date_trunc('month', began, 'UTC') - n * interval '1 month' AS start) s;

INSERT INTO axes_accesslog (user_agent, ip_address, username, http_accept, path_info, attempt_time, session_hash)
SELECT 'Firefox', '10.0.0.9', email, 'text/html', '/admin/login/', ended - n * interval '5 hours', ''
FROM filling.world, "user", generate_series(1, 40) n;

INSERT INTO axes_accessfailurelog (user_agent, ip_address, username, http_accept, path_info, attempt_time, locked_out)
SELECT 'Firefox', '10.0.0.9', email, 'text/html', '/admin/login/', ended - n * interval '50 hours', false
FROM filling.world, "user", generate_series(1, 4) n;

INSERT INTO axes_accessattempt (user_agent, ip_address, username, http_accept, path_info, attempt_time, get_data,
                                post_data, failures_since_start)
SELECT 'Firefox', '10.0.0.9', email, 'text/html', '/admin/login/', ended - interval '5 minutes', '', '', 1
FROM filling.world, "user";

INSERT INTO cron_job (name, started_at, succeeded_at, said, created_at, updated_at)
SELECT name, ended, ended, 'Nothing was due.', began, ended
FROM filling.world, unnest('{run_due,archive_partitions}'::text[]) name ON CONFLICT DO NOTHING;
