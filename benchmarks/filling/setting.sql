-- ## People
CREATE TABLE filling.person (number serial, user_id uuid, works_as text);

INSERT INTO "user" (user_id, email, display_name, password, is_superuser, is_active, created_at, updated_at, time_zone,
                    last_login)
SELECT filling.id(began, n, 'user'), 'person-' || n || '@example.org',
       filling.pick(n, 'given', '{Abebe,Almaz,Bekele,Chaltu,Dawit,Eden,Fikru,Genet,Hanna,Kebede,Liya,Meron,Rahel,Sara}')
       || ' ' || filling.pick(n, 'family', '{Alemu,Bekele,Desta,Girma,Haile,Kebede,Lemma,Mekonnen,Tadesse,Worku}'),
       '!filled', false, n % 19 <> 0, began, began,
       filling.pick(n, 'zone', '{Africa/Addis_Ababa,Africa/Addis_Ababa,Europe/Berlin,America/New_York,""}'),
       ended - filling.minutes(n, 'seen', 1, 20000)
FROM filling.world, generate_series(1, people) n;

INSERT INTO user_groups (user_id, group_id)
SELECT filling.id(began, n, 'user'), id
FROM filling.world, generate_series(1, people) n JOIN auth_group ON name =
    CASE WHEN n % 20 = 0 THEN 'Administrator' WHEN n % 10 = 9 THEN 'Auditor' WHEN n % 4 = 3 THEN 'Operator'
         ELSE 'Reviewer' END;

-- Every other reviewer decides at the second level only, so that nobody decides twice on one artifact.
INSERT INTO filling.person (user_id, works_as)
SELECT user_id, CASE WHEN name = 'Reviewer' AND row_number() OVER (PARTITION BY name ORDER BY user_id) % 2 = 0
                     THEN 'Second reviewer' ELSE name END
FROM user_groups JOIN auth_group g ON g.id = group_id ORDER BY user_id;

CREATE FUNCTION filling.somebody(n bigint, about text, role text) RETURNS uuid LANGUAGE sql STABLE
    RETURN (SELECT (array_agg(user_id ORDER BY number))[filling.draw(n, about, count(*)::int, 1.7)]
            FROM filling.person WHERE works_as = role);

CREATE FUNCTION filling.decider(n bigint, level int) RETURNS uuid LANGUAGE sql STABLE
    RETURN filling.somebody(n, 'decider', (ARRAY['Reviewer', 'Second reviewer', 'Administrator'])[level]);

-- ## Campaigns
-- Half of them run or are paused, a few are drafts, the others are over. The first ones have the most work.
CREATE TABLE filling.campaign AS
SELECT number, filling.id(started, number, 'campaign') AS campaign_id, started, live, status, halted,
       CASE number % 3 WHEN 0 THEN '{tiktok,instagram}' WHEN 1 THEN '{instagram}' ELSE '{x,youtube,tiktok}' END::text[]
           AS platforms
FROM filling.world, generate_series(1, campaigns) number, LATERAL (
    SELECT began - filling.minutes(number, 'started', 0, 30000) AS started, number <= campaigns / 2 AS live,
           number <= campaigns / 2 AND number % 15 = 0 AS halted,
           CASE WHEN number <= campaigns / 2 THEN CASE WHEN number % 5 = 0 THEN 'paused' ELSE 'active' END
                WHEN number > campaigns - campaigns / 20 THEN 'draft'
                WHEN number % 7 = 0 THEN 'stopped' ELSE 'completed' END AS status
) c;

INSERT INTO campaign (campaign_id, name, goal, target_platforms, budget_cap_etb, status, constraints, created_at,
                      updated_at, start_time, end_time, epoch, control_reason, controlled_by, controlled_at, halted_at,
                      resume_at)
SELECT campaign_id,
       filling.pick(number, 'what', '{Meskel launch,Coffee stories,Diaspora remittance,Rainy season tips,School bags,
          Timket invitations,Market day,Health week,Savings club,Bus routes,Seed fair,
          Reading hour}') || ' ' ||
       filling.pick(number, 'where', '{Addis Ababa,Bahir Dar,Hawassa,Mekelle,Jimma,Dire Dawa,Adama,Gondar,Harar}') || ' '
       || number,
       'Fill ' || filling.draw(number, 'goal', 40) * 100 || ' places before the end of the season.',
       to_jsonb(platforms), 50000, status,
       jsonb_build_object('languages', '["am", "en"]'::jsonb, 'review_policy', jsonb_build_object(
           'approve_threshold', 0.85, 'blind_share', 0.05, 'due_minutes', 240)),
       started, started, started, CASE WHEN NOT live AND status <> 'draft' THEN ended - interval '40 days' END,
       halted::int, why, CASE WHEN why IS NOT NULL THEN filling.somebody(number, 'control', 'Operator') END,
       CASE WHEN why IS NOT NULL THEN since END, CASE WHEN halted THEN since END,
       CASE WHEN status = 'paused' AND number % 10 = 0 AND NOT halted THEN ended + interval '3 days' END
FROM filling.world, filling.campaign, LATERAL (
    SELECT CASE status WHEN 'paused' THEN 'legal wants another look' WHEN 'stopped' THEN 'the client left'
                       WHEN 'completed' THEN 'the season is over' END AS why,
           CASE WHEN live THEN ended - filling.minutes(number, 'paused', 30, 4000) ELSE ended - interval '40 days' END
               AS since
) c;

-- ## Agents and tokens
-- Planners, judges and publishers are a few; the rest make things.
CREATE TABLE filling.agent AS
SELECT number, row_number() OVER (PARTITION BY role ORDER BY number)::int AS place, role,
       role || '-' || row_number() OVER (PARTITION BY role ORDER BY number) AS agent_id
FROM filling.world, generate_series(1, agents) number, LATERAL (
    SELECT CASE WHEN number % 12 = 1 THEN 'judge' WHEN number % 20 = 2 THEN 'planner' WHEN number % 20 = 4
           THEN 'publisher' WHEN number % 4 = 3 THEN 'studio' ELSE 'writer' END AS role
) a;
CREATE UNIQUE INDEX ON filling.agent (role, place);

INSERT INTO agent (agent_id, display_name, persona_ref, status, created_at, updated_at, agent_group, owner_id)
SELECT agent_id, initcap(role) || ' ' || place, 's3://personas/' || agent_id || '/soul.md',
       CASE WHEN number > agents * 0.97 THEN 'retired' WHEN number > agents * 0.92 THEN 'suspended' ELSE 'active' END,
       began, began, filling.pick(number, 'group', '{north,south,night shift,""}'),
       filling.somebody(number, 'owner', 'Operator')
FROM filling.world, filling.agent;

INSERT INTO api_token (api_token_id, name, role, prefix, token_sha256, expires_at, revoked_at, last_used_at, created_at,
                       updated_at, agent_id)
SELECT filling.id(began, number, 'token'), agent_id || ' on host ' || number % 9,
       CASE WHEN role IN ('judge', 'planner', 'publisher') THEN role ELSE 'worker' END,
       'gh_' || substr(md5('token' || number), 1, 9), encode(sha256(convert_to('token' || number, 'UTF8')), 'hex'),
       CASE WHEN number % 3 = 0 THEN ended + interval '90 days' END,
       CASE WHEN number % 17 = 0 THEN ended - interval '9 days' END,
       ended - filling.minutes(number, 'used', 0, 600), began, began, agent_id
FROM filling.world, filling.agent;

CREATE FUNCTION filling.agent_named(n bigint, about text, wanted text, lean float8) RETURNS text LANGUAGE sql STABLE
    RETURN wanted || '-' || filling.draw(n, about, (SELECT max(place) FROM filling.agent WHERE role = wanted), lean);
