"""One file per page: its layout and nothing else; the data comes through `dashboards.live`."""
