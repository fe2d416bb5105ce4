-- Tables to copy the same rows into as the lake gets: without indexes, and with the lake's own indexes and partitions.
DROP SCHEMA IF EXISTS sangha_bench CASCADE;
CREATE SCHEMA sangha_bench;
CREATE TABLE sangha_bench.plain (LIKE public.eustress_entity_versions INCLUDING DEFAULTS);
CREATE TABLE sangha_bench.indexed (LIKE public.eustress_entity_versions INCLUDING ALL) PARTITION BY HASH (space_name);
CREATE TABLE sangha_bench.indexed_0 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE sangha_bench.indexed_1 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE sangha_bench.indexed_2 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE sangha_bench.indexed_3 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE sangha_bench.indexed_4 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE sangha_bench.indexed_5 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE sangha_bench.indexed_6 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE sangha_bench.indexed_7 PARTITION OF sangha_bench.indexed FOR VALUES WITH (MODULUS 8, REMAINDER 7);
