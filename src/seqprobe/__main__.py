"""`python -m seqprobe` is the command line."""

from seqprobe_cli.main import main

main()
