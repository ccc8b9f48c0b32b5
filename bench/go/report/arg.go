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

// ArgCollections is for argument i, "on" or "off"; a twin is run with "on" alone, and refuses the rest.
func ArgCollections(i int) {
	if word := Word(i, "on"); word != "on" {
		Fail("argument %d is %q, and Go is run with on", i, word)
	}
}

// Die says on standard error what has gone wrong, and exits with 1.
func Die(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// Fail says on standard error what is wrong with the command line, and exits with 2.
func Fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, os.Args[0]+": "+format+"\n", arguments...)
	os.Exit(2)
}
