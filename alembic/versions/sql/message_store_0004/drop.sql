DROP TABLE {schema}.consumers;
