-- Run by config/embedded.py as superuser in each database of the embedded server; safe to run again.

SET LOCAL client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

-- The texts of everybody's statements, for the console's page of slow ones. Nobody else gets that right.
GRANT pg_read_all_stats TO gatehouse_migrator WITH INHERIT TRUE, SET FALSE;

-- A schema of the superuser's: whoever owns "public" may drop what is in it, whoever made it.
CREATE SCHEMA IF NOT EXISTS gatehouse_guard;

CREATE OR REPLACE FUNCTION gatehouse_guard.refuse_disabled_triggers() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    disabled record;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
        RETURN;
    END IF;
    -- 'O' fires for everybody, 'A' always; 'D' never, and 'R' only on a logical replica, which is never here.
    SELECT t.tgname, t.tgrelid::regclass AS on_table INTO disabled
      FROM pg_trigger t
      JOIN pg_proc p ON p.oid = t.tgfoid
      JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE NOT t.tgisinternal AND t.tgenabled NOT IN ('O', 'A') AND n.nspname = 'public'
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'trigger "%" on % must stay enabled', disabled.tgname, disabled.on_table
            USING ERRCODE = '42501', CONSTRAINT = 'gatehouse_triggers_enabled',
                  HINT = 'Only a superuser switches the rules of Gatehouse off.';
    END IF;
END $$;

DROP EVENT TRIGGER IF EXISTS gatehouse_triggers_enabled;
CREATE EVENT TRIGGER gatehouse_triggers_enabled ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION gatehouse_guard.refuse_disabled_triggers();
