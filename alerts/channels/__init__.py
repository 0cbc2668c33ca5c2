"""One module per notification channel, each with one `send`."""
