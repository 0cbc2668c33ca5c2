"""`make bench`: what the design's budgets promise, measured, with the peers on the same sockets."""
