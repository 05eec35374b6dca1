"""Pure domain logic: values in, decisions out; no clock, no network, no database, no orchestrator."""
