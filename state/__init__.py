"""The book of record: SQL tables, transactions and the send gate."""
