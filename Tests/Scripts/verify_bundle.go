// Checks proof bundles with the note and tree code of Go's own checksum database (golang.org/x/mod/sumdb).
//
// usage: verify_bundle LOG.VKEY BUNDLE.tar [mutate]
//
// With mutate, changes one bit of each byte of every member that is proven and expects each change to be rejected.
// Prints "valid" and the number of changes; exit status 1 otherwise.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func members(data []byte) (map[string][]byte, []string, error) {
	found, order := map[string][]byte{}, []string{}
	reader := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return found, order, nil
		}
		if err != nil {
			return nil, nil, err
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return nil, nil, err
		}
		name := strings.TrimPrefix(header.Name, "coffre-audit/")
		found[name] = content
		order = append(order, name)
	}
}

func hash(text string) (tlog.Hash, error) {
	var value tlog.Hash
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != tlog.HashSize {
		return value, errors.New("not a hash")
	}
	copy(value[:], data)
	return value, nil
}

func hashes(data []byte) ([]tlog.Hash, error) {
	var found []tlog.Hash
	if len(data) == 0 {
		return found, nil
	}
	if data[len(data)-1] != '\n' {
		return nil, errors.New("cut off")
	}
	for _, line := range strings.Split(string(data[:len(data)-1]), "\n") {
		value, err := hash(line)
		if err != nil {
			return nil, err
		}
		found = append(found, value)
	}
	return found, nil
}

// open returns the tree that both keys have signed.
func open(text []byte, verifiers []note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(opened.Sigs) != len(verifiers) {
		return tlog.Tree{}, errors.New("a signature is missing")
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifiers[0].Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, errors.New("not a size")
	}
	root, err := hash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func merge(frontier []tlog.Hash) tlog.Hash {
	result := frontier[len(frontier)-1]
	for index := len(frontier) - 2; index >= 0; index-- {
		result = tlog.NodeHash(frontier[index], result)
	}
	return result
}

func verify(content map[string][]byte, verifiers []note.Verifier) error {
	head, err := open(content["checkpoint"], verifiers)
	if err != nil {
		return err
	}
	start := strings.SplitN(string(content["range/frontier"]), "\n", 2)
	first, err := strconv.ParseInt(start[0], 10, 64)
	if err != nil || len(start) != 2 || first < 0 || strconv.FormatInt(first, 10) != start[0] {
		return errors.New("no frontier")
	}
	frontier, err := hashes([]byte(start[1]))
	if err != nil {
		return err
	}
	if strings.Count(strconv.FormatInt(first, 2), "1") != len(frontier) {
		return errors.New("not a frontier of that size")
	}
	text := string(content["range/records.jsonl"])
	if !strings.HasSuffix(text, "\n") {
		return errors.New("no records")
	}
	size, leaves := first, map[int64]tlog.Hash{}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		leaf := tlog.RecordHash([]byte(line))
		if !strings.HasPrefix(line, "{") {
			if leaf, err = hash(line); err != nil {
				return err
			}
		}
		leaves[size] = leaf
		for bits := size; bits&1 == 1; bits >>= 1 {
			leaf = tlog.NodeHash(frontier[len(frontier)-1], leaf)
			frontier = frontier[:len(frontier)-1]
		}
		frontier = append(frontier, leaf)
		size++
	}
	end := merge(frontier)
	proof, err := hashes(content["consistency/range"])
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, head.N, head.Hash, size, end); err != nil {
		return err
	}
	if kept, exists := content["consistency/kept.checkpoint"]; exists {
		old, err := open(kept, verifiers)
		if err != nil {
			return err
		}
		proof, err := hashes(content["consistency/kept"])
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash); err != nil {
			return err
		}
	}
	for name, data := range content {
		if strings.HasPrefix(name, "proofs/") {
			if err := single(name, data, content["checkpoint"], leaves, head); err != nil {
				return err
			}
		}
	}
	return nil
}

func single(name string, data, checkpoint []byte, leaves map[int64]tlog.Hash, head tlog.Tree) error {
	index := strings.TrimSuffix(strings.TrimPrefix(name, "proofs/"), ".tlog-proof")
	number, err := strconv.ParseInt(index, 10, 64)
	if err != nil {
		return err
	}
	begin := "c2sp.org/tlog-proof@v1\nindex " + index + "\n"
	parts := strings.SplitN(string(data), "\n\n", 2)
	if len(parts) != 2 || !strings.HasPrefix(parts[0]+"\n", begin) || parts[1] != string(checkpoint) {
		return errors.New("not a proof")
	}
	path, err := hashes([]byte(strings.TrimPrefix(parts[0]+"\n", begin)))
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, head.N, head.Hash, number, leaves[number])
}

func run() error {
	keys, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var verifiers []note.Verifier
	for _, line := range strings.Fields(string(keys)) {
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return err
		}
		verifiers = append(verifiers, verifier)
	}
	data, err := os.ReadFile(os.Args[2])
	if err != nil {
		return err
	}
	content, order, err := members(data)
	if err != nil {
		return err
	}
	if err := verify(content, verifiers); err != nil {
		return err
	}
	count := 0
	for _, name := range order {
		if len(os.Args) < 4 || !strings.Contains(name, "/") && name != "checkpoint" {
			continue
		}
		text := content[name]
		for place := range text {
			text[place] ^= 1 << (place % 8)
			if verify(content, verifiers) == nil {
				return fmt.Errorf("accepted: bit %d of byte %d of %s", place%8, place, name)
			}
			text[place] ^= 1 << (place % 8)
			count++
		}
	}
	fmt.Println("valid", count)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
