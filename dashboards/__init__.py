"""Dashboards: the web process. It reads through `monitor.queries` and writes through `monitor.commands`."""
