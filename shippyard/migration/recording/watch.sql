-- Looks at the locks of the watched sessions until it is cancelled, and tells each change in a notice.
--
-- Every turn is a transaction of its own, so that no concurrent build waits for our snapshot. While
-- something has just begun it does not sleep. A session that is about to begin a command, or has not
-- let go of its locks yet, knocks: it waits for an advisory lock of ours until two turns saw it.
-- Locks are read in two steps by the server; the second turn makes sure that nothing fell between.
DO $watch$
DECLARE
    watched_prefix CONSTANT text := current_setting('shippyard_recording.prefix');
    door CONSTANT integer := 1397248594;
    rewriting CONSTANT integer := 1397248595;
    here CONSTANT oid := (SELECT oid FROM pg_database WHERE datname = current_database());
    hot_for CONSTANT interval := '4 ms';
    late_after CONSTANT interval := '10 ms';
    hot_until timestamptz := clock_timestamp();
    before timestamptz := clock_timestamp();
    at timestamptz;
    watched integer [] := '{}';
    busy boolean;
    fresh boolean;
    sessions text;
    locks text;
    knocks text;
    knocked integer [];
    to_open integer [] := '{}';
    doors integer [] := '{}';
    opened_at timestamptz;
    rewrites text;
    told text;
    state text;
    late integer := 0;
    each integer;
BEGIN
    FOREACH each IN ARRAY ARRAY[1, 2, 3] LOOP
        PERFORM pg_advisory_lock(door, each);
    END LOOP;
    LOOP
        SELECT
            coalesce(array_agg(a.pid), '{}'),
            coalesce(bool_or(a.state = 'active'), false),
            string_agg(concat_ws(' ', a.pid, a.state, a.query_start, a.state_change), ',')
        INTO watched, busy, sessions
        FROM pg_stat_get_activity(NULL) AS a
        WHERE a.datid = here AND a.backend_type = 'client backend'
        AND (starts_with(a.application_name, watched_prefix) OR a.pid = ANY (watched));

        at := clock_timestamp();
        SELECT
            string_agg(concat_ws(' ', l.pid, l.virtualtransaction, l.relation, l.mode), ',')
            FILTER (WHERE l.locktype = 'relation' AND l.granted AND l.pid = ANY (watched)),
            string_agg(concat_ws(' ', l.pid, l.objid, extract(EPOCH FROM l.waitstart)), ',')
            FILTER (WHERE l.locktype = 'advisory' AND NOT l.granted),
            array_agg(l.objid::integer)
            FILTER (WHERE l.locktype = 'advisory' AND NOT l.granted),
            string_agg(l.objid::text, ',')
            FILTER (WHERE l.locktype = 'advisory' AND l.granted AND l.classid = rewriting)
        INTO locks, knocks, knocked, rewrites
        FROM pg_lock_status() AS l
        WHERE l.database = here AND (
            (l.locktype = 'relation' AND l.relation >= 16384)
            OR (l.locktype = 'advisory' AND l.classid IN (door, rewriting) AND l.objsubid = 2)
        );

        IF at - before > late_after THEN
            late := late + 1;
        END IF;
        state := concat_ws('|', sessions, locks, knocks, rewrites);
        fresh := knocked IS NOT NULL AND to_open = '{}';
        IF fresh OR state IS DISTINCT FROM told OR at - before > late_after THEN
            RAISE NOTICE '%', json_build_object(
                'before', extract(EPOCH FROM before), 'at', extract(EPOCH FROM at),
                'told', extract(EPOCH FROM clock_timestamp()),
                'locks', coalesce(locks, ''), 'knocks', coalesce(knocks, ''),
                'rewrites', coalesce(rewrites, ''), 'late', late,
                'opened', doors, 'opened_at', extract(EPOCH FROM opened_at),
                'sessions', (
                    SELECT coalesce(json_agg(json_build_array(
                        a.pid, a.state, extract(EPOCH FROM a.query_start),
                        extract(EPOCH FROM a.state_change), a.query_id, left(a.query, 1000)
                    )), '[]')
                    FROM pg_stat_get_activity(NULL) AS a WHERE a.pid = ANY (watched)
                )
            );
            told := state;
        END IF;
        before := at;
        COMMIT;

        IF to_open <> '{}' THEN
            opened_at := clock_timestamp();
            doors := to_open;
        END IF;
        FOREACH each IN ARRAY to_open LOOP
            PERFORM pg_advisory_unlock(door, each);
            PERFORM pg_advisory_lock(door, each);
        END LOOP;
        to_open := CASE WHEN fresh THEN ARRAY(SELECT DISTINCT unnest(knocked)) ELSE '{}' END;
        IF knocked IS NOT NULL THEN
            hot_until := at + hot_for;
        ELSIF clock_timestamp() > hot_until THEN
            PERFORM pg_sleep(CASE WHEN busy THEN 0.001 ELSE 0.002 END);
        END IF;
    END LOOP;
END
$watch$
