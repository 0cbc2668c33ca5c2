"""What `thongsuot discover` does: looks at something once, and proposes checks for it.

Each engine here is for one sort of thing. What it proposes it has tried, with the very probe that will run later, or
it says that it has not; whoever reads the proposal decides.
"""
