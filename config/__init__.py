"""Configuration: frozen models, the loader, the schema and sample inventories. Runs nothing."""
