"""One module per probe kind; the registry finds them by their file name."""
