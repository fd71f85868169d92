-- What a watched database gets for the time of a recording: everything is in this schema, which goes
-- with its triggers at the end. A command of theirs knocks before it begins, before it rewrites and
-- before it lets go of its locks; it goes on when the watcher has looked. Without a watcher nobody
-- holds the door, and with a watcher that hangs the command goes on after two seconds.
CREATE SCHEMA shippyard_recording;

CREATE FUNCTION shippyard_recording.began() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(1397248594, 1);
    PERFORM pg_advisory_unlock_shared(1397248594, 1);
EXCEPTION WHEN lock_not_available THEN
    NULL;
END
$$;

CREATE FUNCTION shippyard_recording.ended() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000 THEN
        PERFORM pg_stat_force_next_flush();
    END IF;
    PERFORM pg_advisory_lock_shared(1397248594, 2);
    PERFORM pg_advisory_unlock_shared(1397248594, 2);
EXCEPTION WHEN lock_not_available THEN
    NULL;
END
$$;

CREATE FUNCTION shippyard_recording.rewrites() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    relation CONSTANT integer := pg_event_trigger_table_rewrite_oid()::bigint::bit(32)::integer;
BEGIN
    PERFORM pg_advisory_lock_shared(1397248595, relation);
    BEGIN
        PERFORM pg_advisory_lock_shared(1397248594, 2);
        PERFORM pg_advisory_unlock_shared(1397248594, 2);
    EXCEPTION WHEN lock_not_available THEN
        NULL;
    END;
    PERFORM pg_advisory_unlock_shared(1397248595, relation);
END
$$;

CREATE EVENT TRIGGER shippyard_recording_began ON ddl_command_start
EXECUTE FUNCTION shippyard_recording.began();
CREATE EVENT TRIGGER shippyard_recording_rewrites ON table_rewrite
EXECUTE FUNCTION shippyard_recording.rewrites();
CREATE EVENT TRIGGER shippyard_recording_ended ON ddl_command_end
EXECUTE FUNCTION shippyard_recording.ended();
ALTER EVENT TRIGGER shippyard_recording_began ENABLE ALWAYS;
ALTER EVENT TRIGGER shippyard_recording_rewrites ENABLE ALWAYS;
ALTER EVENT TRIGGER shippyard_recording_ended ENABLE ALWAYS;
