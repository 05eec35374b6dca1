"""The imperative shell: one Prefect task per daily step; fetch, decide, store."""
