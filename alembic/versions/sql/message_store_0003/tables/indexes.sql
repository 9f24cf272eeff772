CREATE INDEX operations_kind ON {schema}.operations (kind, id);
