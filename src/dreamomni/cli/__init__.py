"""The command line: argv only, one file per verb, everything heavy imported when a verb runs."""
