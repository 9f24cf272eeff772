-- Whether PostgreSQL reads a setting as true. NULL is not, nor is the empty string that remains after SET LOCAL. It is
-- inlined, so that nothing is called where the setting was never set.
CREATE OR REPLACE FUNCTION {schema}.is_on(setting text)
RETURNS boolean
LANGUAGE sql STABLE
RETURN CASE WHEN current_setting(setting, true) <> '' THEN {schema}.boolean_setting(setting) ELSE false END;
