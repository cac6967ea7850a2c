// Checks whole audit logs with the note and tree code of Go's own checksum database (golang.org/x/mod/sumdb).
//
// usage: verify_log            folders on standard input, one JSON object for each on standard output
//
//	verify_log flip FOLDER    changes every bit of every file of the log in memory and prints one line for each:
//	                          file, bit number, and - (valid) or the record to blame or ? (none)
//
// Of a line it reads only number and previous hash: a record that was changed and still is JSON shows in the next one.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

type verdict struct {
	Valid   bool   `json:"valid"`
	Records int64  `json:"records"`
	Root    string `json:"root"`
	Record  *int64 `json:"record"`
	Reason  string `json:"reason"`
}

func judge(found *files) verdict {
	l := &log{files: found, tree: hashes{map[int64]tlog.Hash{}, map[int64]tlog.Hash{}}, pruned: map[int64]*proof{}}
	err := l.verify()
	result := verdict{Valid: err == nil, Records: l.size}
	if root, err := l.root(); err == nil && l.size > 0 {
		result.Root = base64.StdEncoding.EncodeToString(root[:])
	}
	if err != nil {
		result.Reason = err.Error()
		var blame *bad
		if errors.As(err, &blame) && blame.record >= 0 {
			result.Record = &blame.record
		}
	}
	return result
}

func flip(folder string) error {
	found, err := list(folder)
	if err != nil {
		return err
	}
	for _, name := range found.names {
		if found.held[name], err = found.read(name); err != nil {
			return err
		}
	}
	if result := judge(found); !result.Valid {
		return errors.New("the log itself: " + result.Reason)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, name := range found.names {
		data := found.held[name]
		for bit := 0; bit < 8*len(data); bit++ {
			data[bit/8] ^= 1 << (bit % 8)
			result := judge(found)
			data[bit/8] ^= 1 << (bit % 8)
			blame := "?"
			if result.Valid {
				blame = "-"
			} else if result.Record != nil {
				blame = strconv.FormatInt(*result.Record, 10)
			}
			fmt.Fprintf(out, "%s %d %s\n", name, bit, blame)
		}
	}
	return nil
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "flip" {
		if err := flip(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		found, err := list(lines.Text())
		if err != nil {
			out.Encode(verdict{Reason: err.Error()})
			continue
		}
		out.Encode(judge(found))
	}
}
