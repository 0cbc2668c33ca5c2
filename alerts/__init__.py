"""Alerts: pure decisions over plain values. No clock, no database, no I/O outside `channels/`."""
