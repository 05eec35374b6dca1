"""Versions of the schema; run by `state.database`, without an ini file."""
