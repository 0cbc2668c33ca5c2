"""`python -m monitor` is `thongsuot`."""

from monitor.cli import main

main()
