-- Apart from `server`, which is asked every two seconds: to list the settings is dear.
SELECT count(*) AS pending_restart FROM pg_settings WHERE pending_restart
