package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var signatures = map[string]string{}

// open returns the text that all these keys have signed.
func open(text []byte, verifiers []note.Verifier) (string, error) {
	key := string(text)
	for _, verifier := range verifiers {
		key += fmt.Sprintf("\x00%s %x", verifier.Name(), verifier.KeyHash())
	}
	if found, ok := signatures[key]; ok {
		return found, nil
	}
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return "", err
	}
	// The library takes several spellings of one signature, also of those that it does not know.
	for _, signature := range append(opened.Sigs, opened.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return "", err
		}
	}
	if len(opened.Sigs) != len(verifiers) || len(opened.UnverifiedSigs) > 0 {
		return "", errors.New("a signature is missing, or one of another key is there")
	}
	signatures[key] = opened.Text
	return opened.Text, nil
}

func hash(text string) (tlog.Hash, error) {
	var value tlog.Hash
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != tlog.HashSize || value != (tlog.Hash{}) {
		return value, errors.New("not a hash")
	}
	copy(value[:], data)
	return value, nil
}

// head reads the first three lines of a text.
func (l *log) head(text string) (tlog.Tree, string, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) != 4 || lines[0] != l.stable.Name() {
		return tlog.Tree{}, "", errors.New("not a head of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, "", errors.New("not a size")
	}
	root, err := hash(lines[2])
	return tlog.Tree{N: size, Hash: root}, lines[3], err
}

// signed opens a note over a tree: the keys depend on its size.
func (l *log) signed(data []byte) (tlog.Tree, string, error) {
	lines := strings.SplitN(string(data), "\n", 3)
	if len(lines) != 3 {
		return tlog.Tree{}, "", errors.New("not a note")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, "", err
	}
	epoch := 0
	for epoch < len(l.ends) && l.ends[epoch].size < size {
		epoch++
	}
	text, err := open(data, []note.Verifier{l.stable, l.keys[epoch]})
	if err != nil {
		return tlog.Tree{}, "", err
	}
	return l.head(text)
}

func (l *log) identity() error {
	data, err := l.files.read("log.vkey")
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[2] != "" {
		return errors.New("not two keys")
	}
	for _, line := range lines[:2] {
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return err
		}
		blob := line[strings.LastIndex(line, "+")+1:]
		key := strings.SplitN(line, "+", 3)
		if len(key) == 3 {
			blob = key[2]
		}
		if _, err := base64.StdEncoding.Strict().DecodeString(blob); err != nil || strings.ToLower(key[1]) != key[1] {
			return errors.New("another spelling of a key")
		}
		l.keys = append(l.keys, verifier)
	}
	l.stable, l.keys = l.keys[0], l.keys[1:]
	if l.keys[0].Name() != l.stable.Name()+"/epoch-000000" {
		return errors.New("not the keys of one log")
	}
	return nil
}

// proof is a record that a file of its own proves.
type proof struct {
	line  []byte
	index int64
	path  []tlog.Hash
	note  []byte
	time  string
	what  struct {
		Operation string `json:"op"`
		Details   struct {
			Epoch  int    `json:"epoch"`
			Key    string `json:"key"`
			First  int64  `json:"first"`
			Last   int64  `json:"last"`
			Seal   string `json:"seal"`
			ID     string `json:"id"`
			Until  any    `json:"until"`
			Months int    `json:"months"`
		} `json:"det"`
	}
}

// parts reads a C2SP tlog-proof whose extra is a record.
func parts(data []byte) (*proof, error) {
	halves := strings.SplitN(string(data), "\n\n", 2)
	lines := strings.Split(halves[0], "\n")
	if len(halves) != 2 || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" ||
		!strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return nil, errors.New("not a proof")
	}
	found := &proof{note: []byte(halves[1])}
	var err error
	if found.line, err = base64.StdEncoding.Strict().DecodeString(lines[1][6:]); err != nil {
		return nil, err
	}
	found.index, err = strconv.ParseInt(lines[2][6:], 10, 64)
	if err != nil || strconv.FormatInt(found.index, 10) != lines[2][6:] {
		return nil, errors.New("no index")
	}
	if found.path, err = readHashes(lines[3:]); err != nil {
		return nil, err
	}
	var record struct {
		Number int64  `json:"_s"`
		Time   string `json:"_t"`
		What   json.RawMessage
	}
	if err := json.Unmarshal(found.line, &record); err != nil || record.Number != found.index {
		return nil, errors.New("not the record of that number")
	}
	found.time = record.Time
	return found, json.Unmarshal(record.What, &found.what)
}

func readHashes(lines []string) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, text := range lines {
		value, err := hash(text)
		if err != nil {
			return nil, err
		}
		found = append(found, value)
	}
	return found, nil
}

// proven reads a record that a file proves under a head of the log.
func (l *log) proven(data []byte, operation string) (*proof, tlog.Tree, error) {
	found, err := parts(data)
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	tree, rest, err := l.signed(found.note)
	if err != nil || rest != "" || found.what.Operation != operation {
		return nil, tlog.Tree{}, errors.New("it does not prove such a record")
	}
	return found, tree, tlog.CheckRecord(found.path, tree.N, tree.Hash, found.index, tlog.RecordHash(found.line))
}

// addEpoch takes the seal of the epoch that is open.
func (l *log) addEpoch(data []byte) error {
	found, err := parts(data)
	if err != nil {
		return err
	}
	details := found.what.Details
	if found.what.Operation != "key.rotate" || details.Epoch != len(l.keys) {
		return errors.New("another record")
	}
	next, err := note.NewVerifier(details.Key)
	if err != nil || next.Name() != fmt.Sprintf("%s/epoch-%06d", l.stable.Name(), details.Epoch) {
		return errors.New("another key")
	}
	text, err := open(found.note, []note.Verifier{l.stable, l.keys[len(l.keys)-1], next})
	if err != nil {
		return err
	}
	tree, rest, err := l.head(text)
	if err != nil || rest != "" {
		return errors.New("not a checkpoint")
	}
	index := found.index
	if err := tlog.CheckRecord(found.path, tree.N, tree.Hash, index, tlog.RecordHash(found.line)); err != nil {
		return err
	}
	if len(l.ends) > 0 && index < l.ends[len(l.ends)-1].size || tree.N < index+1 || tree.N > index+2 {
		return errors.New("the epoch ends before it begins")
	}
	l.keys = append(l.keys, next)
	l.ends = append(l.ends, end{tree.N, index, tree.Hash, found.line})
	return nil
}
