-- Prefect keeps its runs in a database of its own, beside the fund's book; it needs trigram search.
CREATE DATABASE prefect OWNER fund;
\connect prefect
CREATE EXTENSION IF NOT EXISTS pg_trgm;
