-- Whether a function has to raise NOTICEs: its kind's setting is on, or that of all. Inlined, so that
-- where neither was ever set, nothing is called.
CREATE OR REPLACE FUNCTION {schema}.is_debugging(setting text)
RETURNS boolean
LANGUAGE sql STABLE
RETURN concat(current_setting(setting, true), current_setting('message_store.debug', true)) <> ''
  AND ({schema}.is_on(setting) OR {schema}.is_on('message_store.debug'));
