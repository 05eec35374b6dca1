"""Settings, instruments and venues from YAML, checked strictly; secrets from the environment."""
