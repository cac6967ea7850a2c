package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type log struct {
	files  *files
	stable note.Verifier
	keys   []note.Verifier
	ends   []end
	tree   hashes
	size   int64
	last   tlog.Hash
	pruned map[int64]*proof
	gaps   [][2]int64
}

// end of an epoch.
type end struct {
	size, index int64
	root        tlog.Hash
	line        []byte
}

func (l *log) root() (tlog.Hash, error) { return tlog.TreeHash(l.size, &l.tree) }

func (l *log) verify() error {
	if err := l.identity(); err != nil {
		return &bad{"log.vkey", -1, err.Error()}
	}
	epochs := 0
	for _, name := range l.files.names {
		if strings.HasPrefix(name, "epochs/") {
			epochs++
		}
	}
	for number := 0; number < epochs; number++ {
		name := fmt.Sprintf("epochs/epoch-%06d.tlog-proof", number)
		data, err := l.files.read(name)
		if err == nil {
			err = l.addEpoch(data)
		}
		if err != nil {
			return &bad{name, -1, err.Error()}
		}
	}
	heads := map[int64]tlog.Hash{}
	var covered int64
	for _, end := range l.ends {
		heads[end.size] = end.root
		covered = end.size
	}
	if data, err := l.files.read("checkpoint"); err == nil {
		head, rest, err := l.signed(data)
		if err != nil || rest != "" {
			return &bad{"checkpoint", -1, "not a checkpoint of this log"}
		}
		if known, ok := heads[head.N]; ok && known != head.Hash {
			return &bad{"checkpoint", -1, "another history"}
		}
		heads[head.N] = head.Hash
		if head.N > covered {
			covered = head.N
		}
	} else if epochs > 0 {
		return &bad{"checkpoint", -1, "it is missing"}
	}
	if err := l.certificates(heads); err != nil {
		return err
	}
	segments, err := l.segments()
	if err != nil {
		return err
	}
	for _, entry := range segments {
		read := l.segment
		if entry.data == "" {
			read = l.skip
		} else {
			delete(l.pruned, entry.first)
		}
		if err := read(entry, heads); err != nil {
			return err
		}
	}
	if len(l.pruned) > 0 {
		return &bad{"pruned", -1, "there is no segment that it could speak of"}
	}
	for size := range heads {
		if size > covered {
			covered = size
		}
	}
	if covered > l.size {
		return &bad{"checkpoint", l.size, "the end was cut off"}
	}
	return l.tiles()
}

func (l *log) segment(entry *segment, heads map[int64]tlog.Hash) error {
	if entry.first != l.size {
		return &bad{entry.data, l.size, "records are missing"}
	}
	data, err := l.content(entry.data)
	if err != nil {
		return &bad{entry.data, l.size, err.Error()}
	}
	epochEnd := int64(-1)
	previous := l.last
	for rest := data; len(rest) > 0; {
		feed := bytes.IndexByte(rest, '\n')
		if feed < 0 {
			return &bad{entry.data, l.size, "the last line has no line feed"}
		}
		line := rest[:feed]
		rest = rest[feed+1:]
		match := lineStart.FindSubmatch(line)
		if match == nil || string(match[2]) != strconv.FormatInt(l.size, 10) || !json.Valid(line) {
			return &bad{entry.data, l.size, "it is not JSON that begins with its number"}
		}
		if string(match[1]) != base64.StdEncoding.EncodeToString(l.last[:]) {
			return &bad{entry.data, l.size, "it does not follow the record before"}
		}
		if epochEnd >= 0 && l.size >= epochEnd {
			return &bad{entry.data, l.size, "its epoch has ended"}
		}
		for _, end := range l.ends {
			if end.index == l.size {
				if !bytes.Equal(end.line, line) {
					return &bad{entry.data, l.size, "another record ends the epoch"}
				}
				epochEnd = end.size
			}
		}
		l.last = tlog.RecordHash(line)
		if err := l.tree.add(l.size, l.last); err != nil {
			return err
		}
		l.size++
		if wanted, ok := heads[l.size]; ok {
			if root, err := l.root(); err != nil || root != wanted {
				return &bad{entry.data, l.size - 1, "another history"}
			}
		}
	}
	if entry.seal == "" {
		return nil
	}
	note, err := l.files.read(entry.seal)
	if err != nil {
		return err
	}
	head, rest, err := l.signed(note)
	if err != nil {
		return &bad{entry.seal, -1, err.Error()}
	}
	root, err := l.root()
	if err != nil {
		return err
	}
	var seal struct {
		Bytes int64  `json:"bytes"`
		First int64  `json:"first"`
		Last  int64  `json:"last"`
		Leaf  string `json:"leaf"`
		Prev  string `json:"prev"`
	}
	if json.Unmarshal([]byte(rest), &seal) != nil {
		return &bad{entry.seal, entry.first, "not a seal"}
	}
	if head.N != l.size || head.Hash != root || seal.Bytes != int64(len(data)) || seal.First != entry.first ||
		seal.Last != l.size-1 || seal.Leaf != base64.StdEncoding.EncodeToString(l.last[:]) ||
		seal.Prev != base64.StdEncoding.EncodeToString(previous[:]) {
		return &bad{entry.seal, entry.first, "the records are not the ones that were sealed"}
	}
	return nil
}

// tiles that lie in the folder hold the hashes of the tree.
func (l *log) tiles() error {
	for _, name := range l.files.names {
		if !strings.HasPrefix(name, "tree/") {
			continue
		}
		tile, err := tlog.ParseTilePath("tile/8/" + strings.TrimPrefix(name, "tree/"))
		if err != nil || tile.L < 1 || tile.W != 256 {
			return &bad{name, -1, "not a full tile"}
		}
		begin := tile.N << (8 * uint(tile.L+1))
		if l.size>>(8*uint(tile.L+1)) <= tile.N {
			return &bad{name, l.size, "it covers more records than there are"}
		}
		isGone := false
		for _, gap := range l.gaps {
			isGone = isGone || gap[0] < (tile.N+1)<<(8*uint(tile.L+1)) && begin < gap[1]
		}
		if isGone {
			continue
		}
		wanted, err := tlog.ReadTileData(tile, &l.tree)
		if err != nil {
			return err
		}
		if data, err := l.files.read(name); err != nil || !bytes.Equal(data, wanted) {
			return &bad{name, begin, "it does not hold the hashes of the records"}
		}
	}
	return nil
}
