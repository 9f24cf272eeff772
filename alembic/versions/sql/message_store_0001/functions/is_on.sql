-- Whether a setting is what PostgreSQL reads as true. NULL and the empty string, which a setting is
-- after SET LOCAL has ended, are not. Inlined, so that where it was never set, nothing is called.
CREATE OR REPLACE FUNCTION {schema}.is_on(setting text)
RETURNS boolean
LANGUAGE sql STABLE
RETURN CASE WHEN current_setting(setting, true) <> '' THEN {schema}.boolean_setting(setting) ELSE false END;
