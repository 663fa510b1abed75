-- What the hot tables' keys would have to become before they can be distributed by campaign (Citus, or what shards as it
-- does): every primary key, unique index and foreign key between distributed tables carries campaign_id.
-- A dry run, as a superuser, in one transaction, on a copy; tests/contract/test_distribute.py runs it and looks.
-- It is no migration: the program does not know such keys. docs/scaling.md says what else would have to change.

SET LOCAL session_replication_role = replica;  -- rows that never change get a column

-- Tables that know their campaign only through another.
ALTER TABLE review_decision ADD campaign_id uuid;
UPDATE review_decision d SET campaign_id = a.campaign_id FROM artifact a WHERE a.artifact_id = d.artifact_id;
ALTER TABLE video_asset ADD campaign_id uuid;
UPDATE video_asset v SET campaign_id = a.campaign_id FROM artifact a WHERE a.artifact_id = v.artifact_id;
ALTER TABLE judge_lease ADD campaign_id uuid;
UPDATE judge_lease l SET campaign_id = a.campaign_id FROM artifact a WHERE a.artifact_id = l.artifact_id;
ALTER TABLE metric_correction ADD campaign_id uuid;
UPDATE metric_correction c SET campaign_id = p.campaign_id FROM publish_record p WHERE p.publish_id = c.publish_id;
-- Rows of the log that belong to no campaign (people, tokens, settings) go where a campaign of zeros would be.
UPDATE audit_log SET campaign_id = '00000000-0000-0000-0000-000000000000' WHERE campaign_id IS NULL;
ALTER TABLE audit_log ALTER campaign_id SET NOT NULL;

-- The keys; what refers to them falls with them, and comes back below.
ALTER TABLE task DROP CONSTRAINT task_pkey CASCADE, ADD PRIMARY KEY (campaign_id, task_id);
ALTER TABLE artifact DROP CONSTRAINT artifact_pkey CASCADE, ADD PRIMARY KEY (campaign_id, artifact_id),
    DROP CONSTRAINT artifact_task_id_artifact_type_version_key,
    ADD UNIQUE (campaign_id, task_id, artifact_type, version);
ALTER TABLE review_decision DROP CONSTRAINT review_decision_pkey CASCADE, ADD PRIMARY KEY (campaign_id, review_id);
ALTER TABLE review_item DROP CONSTRAINT review_item_pkey, ADD PRIMARY KEY (campaign_id, review_item_id);
ALTER TABLE publish_record DROP CONSTRAINT publish_record_pkey CASCADE, ADD PRIMARY KEY (campaign_id, publish_id);
ALTER TABLE video_asset DROP CONSTRAINT video_asset_pkey, ADD PRIMARY KEY (campaign_id, video_asset_id);
ALTER TABLE judge_lease DROP CONSTRAINT judge_lease_pkey, ADD PRIMARY KEY (campaign_id, judge_lease_id),
    DROP CONSTRAINT judge_lease_artifact_id_key, ADD UNIQUE (campaign_id, artifact_id);
ALTER TABLE metric_counter DROP CONSTRAINT metric_counter_pkey, ADD PRIMARY KEY (campaign_id, metric_counter_id),
    DROP CONSTRAINT metric_counter_key, ADD UNIQUE (campaign_id, publish_id, metric_type, source);
ALTER TABLE metric_correction DROP CONSTRAINT metric_correction_pkey,
    ADD PRIMARY KEY (campaign_id, metric_correction_id),
    DROP CONSTRAINT metric_correction_key, ADD UNIQUE (campaign_id, publish_id, metric_type, source, observed_at);
ALTER TABLE metric_event DROP CONSTRAINT metric_event_pkey, ADD PRIMARY KEY (campaign_id, event_id, observed_at);
ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey, ADD PRIMARY KEY (campaign_id, audit_id, created_at);

DROP INDEX review_item_one_open_key;
CREATE UNIQUE INDEX review_item_one_open_key ON review_item (campaign_id, artifact_id) WHERE status = 'open';
DROP INDEX publish_record_live_key;
CREATE UNIQUE INDEX publish_record_live_key ON publish_record (campaign_id, artifact_id, platform)
    WHERE status <> 'failed';
-- A platform's post belongs to one campaign in the whole world, which no shard alone can see: a table of its own,
-- distributed by the platform's key, takes the name first.
DROP INDEX publish_record_platform_post_key;
CREATE TABLE platform_post (platform text, platform_post_id text, campaign_id uuid NOT NULL, publish_id uuid NOT NULL,
                            PRIMARY KEY (platform, platform_post_id));
INSERT INTO platform_post SELECT platform, platform_post_id, campaign_id, publish_id FROM publish_record
WHERE platform_post_id IS NOT NULL AND status <> 'failed';

-- Between distributed tables every reference stays inside its campaign, and so on its machine.
ALTER TABLE task ADD FOREIGN KEY (campaign_id, parent_task_id) REFERENCES task;
ALTER TABLE artifact ADD FOREIGN KEY (campaign_id, task_id) REFERENCES task;
ALTER TABLE review_decision ADD FOREIGN KEY (campaign_id, artifact_id) REFERENCES artifact,
    ADD FOREIGN KEY (campaign_id, task_id) REFERENCES task;
ALTER TABLE review_item ADD FOREIGN KEY (campaign_id, artifact_id) REFERENCES artifact,
    ADD FOREIGN KEY (campaign_id, task_id) REFERENCES task,
    ADD FOREIGN KEY (campaign_id, decision_id) REFERENCES review_decision;
ALTER TABLE publish_record ADD FOREIGN KEY (campaign_id, artifact_id) REFERENCES artifact,
    ADD FOREIGN KEY (campaign_id, decision_id) REFERENCES review_decision;
ALTER TABLE video_asset ADD FOREIGN KEY (campaign_id, artifact_id) REFERENCES artifact,
    ADD FOREIGN KEY (campaign_id, task_id) REFERENCES task;
ALTER TABLE judge_lease ADD FOREIGN KEY (campaign_id, artifact_id) REFERENCES artifact;
ALTER TABLE metric_counter ADD FOREIGN KEY (campaign_id, publish_id) REFERENCES publish_record;
ALTER TABLE metric_correction ADD FOREIGN KEY (campaign_id, publish_id) REFERENCES publish_record;
ALTER TABLE metric_event ADD FOREIGN KEY (campaign_id, content_id) REFERENCES artifact NOT ENFORCED;
ALTER TABLE metric_rollup ADD FOREIGN KEY (campaign_id, content_id) REFERENCES artifact NOT ENFORCED;
ALTER TABLE metric_rollup_daily ADD FOREIGN KEY (campaign_id, content_id) REFERENCES artifact NOT ENFORCED;
-- agent is on every machine, and cannot refer to what lies on one of them.
ALTER TABLE agent DROP CONSTRAINT agent_campaign_id_fkey;
