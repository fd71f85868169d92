"""Configuration: one TOML file parsed once into frozen models. Knows no other room."""
