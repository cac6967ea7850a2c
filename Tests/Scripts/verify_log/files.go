package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// files of a log by their path in it, read when asked for, or held.
type files struct {
	folder string
	names  []string
	held   map[string][]byte
}

func (f *files) read(name string) ([]byte, error) {
	if data, ok := f.held[name]; ok {
		return data, nil
	}
	return os.ReadFile(filepath.Join(f.folder, name))
}

func list(folder string) (*files, error) {
	found := &files{folder: folder, held: map[string][]byte{}}
	for _, part := range []string{"log.vkey", "checkpoint", "epochs", "seg", "tree", "pruned", "hold"} {
		err := filepath.WalkDir(filepath.Join(folder, part), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".new") {
				name, _ := filepath.Rel(folder, path)
				found.names = append(found.names, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	sort.Strings(found.names)
	return found, nil
}

var segmentName = regexp.MustCompile(`^seg/[0-9]{4}/[0-9]{2}/[0-9]{2}/([0-9]{12,})\.(jsonl|jsonl\.zst|seal)$`)
var lineStart = regexp.MustCompile(`^\{"_p":"([A-Za-z0-9+/]{43}=)","_s":(0|[1-9][0-9]*),"_t":"`)

type segment struct {
	first              int64
	data, packed, seal string
}

func (l *log) segments() ([]*segment, error) {
	found := map[int64]*segment{}
	for _, name := range l.files.names {
		if !strings.HasPrefix(name, "seg/") {
			continue
		}
		match := segmentName.FindStringSubmatch(name)
		if match == nil {
			return nil, &bad{name, -1, "not a file of the log"}
		}
		first, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil || fmt.Sprintf("%012d", first) != match[1] {
			return nil, &bad{name, -1, "not a number"}
		}
		entry := found[first]
		if entry == nil {
			entry = &segment{first: first}
			found[first] = entry
		}
		place := &entry.data
		if match[2] == "seal" {
			place = &entry.seal
		} else if match[2] == "jsonl.zst" {
			place = &entry.packed
		}
		if *place != "" {
			return nil, &bad{name, -1, "two segments with one number"}
		}
		*place = name
	}
	var sorted []*segment
	for _, entry := range found {
		sorted = append(sorted, entry)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a].first < sorted[b].first })
	for index, entry := range sorted {
		if entry.packed != "" {
			if entry.seal == "" {
				return nil, &bad{entry.packed, entry.first, "an open segment is never compressed"}
			}
			if entry.data == "" {
				entry.data = entry.packed
			} else if err := l.same(entry.data, entry.packed); err != nil {
				return nil, &bad{entry.packed, entry.first, err.Error()}
			}
		}
		if entry.seal == "" && index < len(sorted)-1 {
			return nil, &bad{entry.data, -1, "the seal is missing"}
		}
	}
	if len(sorted) == 0 {
		return nil, &bad{"seg", 0, "there is no segment"}
	}
	return sorted, nil
}

func (l *log) content(name string) ([]byte, error) {
	if !strings.HasSuffix(name, ".zst") {
		return l.files.read(name)
	}
	data, err := l.files.read(name)
	if err != nil {
		return nil, err
	}
	if !whole(data) {
		return nil, errors.New("a byte of the compressed file is another")
	}
	command := exec.Command("zstd", "-dc")
	command.Stdin = bytes.NewReader(data)
	return command.Output()
}

// whole says whether every byte of a compressed segment is the one that its digest frame covers.
func whole(data []byte) bool {
	if len(data) < 17+40 {
		return false
	}
	frames := int(binary.LittleEndian.Uint32(data[len(data)-9:]))
	table := 17 + 8*frames
	end := len(data) - table - 40
	if frames < 1 || frames > 1<<20 || end < 1 {
		return false
	}
	place := 0
	for frame := 0; frame < frames; frame++ {
		entry := data[len(data)-table+8+8*frame:]
		packed, raw := int(binary.LittleEndian.Uint32(entry)), int64(binary.LittleEndian.Uint32(entry[4:]))
		if packed < 1 || packed > end-place || frameBytes(data[place:place+18]) != raw || raw > 131072 ||
			frame+1 < frames && raw != 131072 {
			return false
		}
		place += packed
	}
	if place != end {
		return false
	}
	digest := sha256.Sum256(append(append([]byte{}, data[:end]...), data[end+40:]...))
	head := append([]byte{0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0}, digest[:]...)
	return bytes.Equal(head, data[end:end+40])
}

// frameBytes is what a zstd frame says of its content's size (RFC 8878, section 3.1.1.1); -1 when it says nothing.
func frameBytes(head []byte) int64 {
	if !bytes.Equal(head[:4], []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return -1
	}
	single, width := head[4]&32 != 0, []int{0, 2, 4, 8}[head[4]>>6]
	place := 5 + []int{0, 1, 2, 4}[head[4]&3]
	if !single {
		place++
	} else if width == 0 {
		width = 1
	}
	if width == 0 {
		return -1
	}
	var value int64
	for offset := width - 1; offset >= 0; offset-- {
		value = value<<8 | int64(head[place+offset])
	}
	if width == 2 {
		value += 256
	}
	return value
}

// same says whether a compressed segment is the one that lies beside it.
func (l *log) same(name, packed string) error {
	data, err := l.files.read(name)
	if err != nil {
		return err
	}
	other, err := l.content(packed)
	if err != nil || !bytes.Equal(data, other) {
		return errors.New("the compressed file is not the segment beside it")
	}
	return nil
}
