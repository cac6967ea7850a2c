package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// certificates reads what proves that segments were pruned and records held.
func (l *log) certificates(heads map[int64]tlog.Hash) error {
	for _, name := range l.files.names {
		isPrune := strings.HasPrefix(name, "pruned/") && !strings.HasSuffix(name, ".nodes")
		if !isPrune && !strings.HasPrefix(name, "hold/") {
			continue
		}
		data, err := l.files.read(name)
		if err != nil {
			return err
		}
		operation := "hold.set"
		if isPrune {
			operation = "prune"
		}
		found, tree, err := l.proven(data, operation)
		if err != nil {
			return &bad{name, -1, err.Error()}
		}
		details := found.what.Details
		wanted := "hold/" + details.ID
		if isPrune {
			wanted = fmt.Sprintf("pruned/%012d", details.First)
			l.pruned[details.First] = found
		}
		if known, ok := heads[tree.N]; ok && known != tree.Hash {
			return &bad{name, -1, "another history"}
		}
		heads[tree.N] = tree.Hash
		if name != wanted+".tlog-proof" {
			return &bad{name, -1, "another record's name"}
		}
	}
	return nil
}

// isOld says whether a moment lies so many months of the calendar before another.
func isOld(until, now string, months int) bool {
	old, err := time.Parse(time.RFC3339Nano, until)
	said, failure := time.Parse(time.RFC3339Nano, now)
	if err != nil || failure != nil || months < 6 || months > 36 {
		return false
	}
	month := said.Year()*12 + int(said.Month()) - 1 - months
	for day := said.Day(); ; day-- {
		cut := time.Date(month/12, time.Month(month%12+1), day, said.Hour(), said.Minute(), said.Second(),
			said.Nanosecond(), time.UTC)
		// The last day of a shorter month.
		if cut.Day() == day {
			return !old.After(cut)
		}
	}
}

// skip goes on behind a segment that was pruned.
func (l *log) skip(entry *segment, heads map[int64]tlog.Hash) error {
	found := l.pruned[entry.first]
	if found == nil {
		return &bad{entry.seal, entry.first, "a seal without its segment"}
	}
	if err := l.gap(entry, found); err != nil {
		return &bad{entry.seal, entry.first, err.Error()}
	}
	root, err := l.root()
	if wanted, ok := heads[l.size]; err != nil || ok && wanted != root {
		return &bad{entry.seal, l.size - 1, "another history"}
	}
	return nil
}

func (l *log) gap(entry *segment, found *proof) error {
	note, err := l.files.read(entry.seal)
	if err != nil {
		return err
	}
	head, rest, err := l.signed(note)
	if err != nil {
		return err
	}
	var seal struct {
		First int64    `json:"first"`
		Last  int64    `json:"last"`
		Leaf  string   `json:"leaf"`
		Prev  string   `json:"prev"`
		Time  []string `json:"time"`
	}
	if err := json.Unmarshal([]byte(rest), &seal); err != nil {
		return err
	}
	details, digest := found.what.Details, sha256.Sum256(note)
	if len(seal.Time) != 2 || details.Until != any(seal.Time[1]) || !isOld(seal.Time[1], found.time, details.Months) {
		return errors.New("it was not old enough")
	}
	if seal.First != l.size || details.First != seal.First || details.Last != seal.Last || found.index <= seal.Last ||
		details.Seal != base64.StdEncoding.EncodeToString(digest[:]) || head.N != seal.Last+1 ||
		seal.Prev != base64.StdEncoding.EncodeToString(l.last[:]) {
		return errors.New("another segment")
	}
	data, err := l.files.read(fmt.Sprintf("pruned/%012d.nodes", entry.first))
	if err != nil || !strings.HasSuffix(string(data), "\n") {
		return errors.New("no hashes of the gap")
	}
	nodes, err := readHashes(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if l.size >= head.N {
			return errors.New("too many hashes")
		}
		level := bits.Len64(uint64(head.N-l.size)) - 1
		if low := bits.TrailingZeros64(uint64(l.size)); low < level {
			level = low
		}
		if err := l.tree.addSubtree(level, l.size>>uint(level), node); err != nil {
			return err
		}
		l.size += 1 << uint(level)
	}
	root, err := l.root()
	if err != nil || l.size != head.N || root != head.Hash {
		return errors.New("its hashes do not lead to the tree behind the gap")
	}
	if l.last, err = hash(seal.Leaf); err != nil {
		return err
	}
	l.gaps = append(l.gaps, [2]int64{entry.first, head.N})
	delete(l.pruned, entry.first)
	return nil
}
