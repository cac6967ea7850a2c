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
	"encoding/json"
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

// epochs says which keys sign what.
type epochs struct {
	stable note.Verifier
	keys   []note.Verifier
	ends   []int64
	heads  []tlog.Tree
}

func (e *epochs) open(text []byte) (tlog.Tree, error) {
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) != 3 {
		return tlog.Tree{}, errors.New("not a note")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	epoch := 0
	for epoch < len(e.ends) && e.ends[epoch] < size {
		epoch++
	}
	return open(text, []note.Verifier{e.stable, e.keys[epoch]})
}

// add takes the seal of the epoch that is open.
func (e *epochs) add(data []byte) error {
	parts := strings.SplitN(string(data), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" ||
		!strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return errors.New("not the proof of an epoch's end")
	}
	line, err := base64.StdEncoding.Strict().DecodeString(lines[1][6:])
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(lines[2][6:], 10, 64)
	if err != nil || strconv.FormatInt(index, 10) != lines[2][6:] {
		return errors.New("no index")
	}
	var record struct {
		Number int64 `json:"_s"`
		What   struct {
			Operation string `json:"op"`
			Details   struct {
				Epoch int    `json:"epoch"`
				Key   string `json:"key"`
			} `json:"det"`
		} `json:"what"`
	}
	if err := json.Unmarshal(line, &record); err != nil {
		return err
	}
	details := record.What.Details
	if record.Number != index || record.What.Operation != "key.rotate" || details.Epoch != len(e.keys) {
		return errors.New("another record")
	}
	next, err := note.NewVerifier(details.Key)
	if err != nil || next.Name() != fmt.Sprintf("%s/epoch-%06d", e.stable.Name(), details.Epoch) {
		return errors.New("another key")
	}
	tree, err := open([]byte(parts[1]), []note.Verifier{e.stable, e.keys[len(e.keys)-1], next})
	if err != nil {
		return err
	}
	path, err := hashes([]byte(strings.Join(append(lines[3:], ""), "\n")))
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(line)); err != nil {
		return err
	}
	e.keys = append(e.keys, next)
	e.ends = append(e.ends, tree.N)
	e.heads = append(e.heads, tree)
	return nil
}

// follow checks that each epoch's end leads to the next one's, and the last to the head.
func (e *epochs) follow(data []byte, head tlog.Tree) error {
	if len(e.heads) == 0 {
		return nil
	}
	paths := strings.Split(string(data), "\n\n")
	if len(paths) != len(e.heads) {
		return errors.New("not one proof for each epoch")
	}
	for index, old := range e.heads {
		next, text := head, paths[index]
		if index+1 < len(e.heads) {
			next, text = e.heads[index+1], text+"\n"
		}
		path, err := hashes([]byte(text))
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(path, next.N, next.Hash, old.N, old.Hash); err != nil {
			return err
		}
	}
	return nil
}

// open returns the tree that all these keys have signed.
func open(text []byte, verifiers []note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return tlog.Tree{}, err
	}
	for _, signature := range opened.Sigs {
		// The library takes several spellings of one signature.
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return tlog.Tree{}, err
		}
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
	chain := &epochs{stable: verifiers[0], keys: verifiers[1:]}
	for number := 0; ; number++ {
		data, exists := content[fmt.Sprintf("epochs/epoch-%06d.tlog-proof", number)]
		if !exists {
			break
		}
		if err := chain.add(data); err != nil {
			return err
		}
	}
	head, err := chain.open(content["checkpoint"])
	if err != nil {
		return err
	}
	if err := chain.follow(content["consistency/epochs"], head); err != nil {
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
		old, err := chain.open(kept)
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
	for _, kind := range []string{"outside/cosigned", "outside/stamped"} {
		earlier, exists := content[kind+".checkpoint"]
		if !exists {
			continue
		}
		old, err := chain.open(earlier)
		if err != nil {
			return err
		}
		proof, err := hashes(content[kind])
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
		if name == "outside/cosigned.checkpoint" || name == "outside/stamped.tsr" {
			continue // signed by others, with keys that are not given here
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
