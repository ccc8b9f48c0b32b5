package report

import (
	"fmt"
	"os"
	"strconv"
)

// Arg gives argument i as a whole number of at least 1, or fallback when it is not given.
func Arg(i, fallback int) int {
	if i >= len(os.Args) {
		return fallback
	}
	value, err := strconv.Atoi(os.Args[i])
	if err != nil || value < 1 {
		Fail("argument %d is %q, not a whole number of at least 1", i, os.Args[i])
	}
	return value
}

// Word gives argument i as it is, or fallback when it is not given.
func Word(i int, fallback string) string {
	if i >= len(os.Args) {
		return fallback
	}
	return os.Args[i]
}

// Fail says on standard error what is wrong with the command line, and exits with 2.
func Fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, os.Args[0]+": "+format+"\n", arguments...)
	os.Exit(2)
}
